"""Recognise texts that the model will be tested on, so that it is not trained on them: they share n-grams of words.

Stage `corpus` writes these n-grams beside its documents, so that conversation data sets are checked against the same
benchmark texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokenization.cleaning.words import Words
from tokenization.documents import CorpusError
from tokenization.files.storage import publish

FILE = "benchmark.parquet"


@dataclass(frozen=True)
class Benchmark:
    """`hashes` of the n-grams of all benchmark texts: uint64, sorted, without repetitions."""

    n: int
    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], n: int) -> Benchmark:
        """Hash the n-grams of the texts. A text of fewer than n words has none and cannot be recognised."""
        return cls(n, np.unique(Words(texts).ngrams(n).hashes))

    def found_in(self, words: Words) -> np.ndarray:
        """Return whether each document shares an n-gram with a benchmark text, bool [D]."""
        return self.shared_with(words) > 0

    def shared_with(self, words: Words) -> np.ndarray:
        """Return how many n-grams of each document a benchmark text has, too, int64 [D]."""
        if not len(self.hashes):
            return np.zeros(len(words.counts), np.int64)
        ngrams = words.ngrams(self.n)
        hits = np.isin(ngrams.hashes, self.hashes)
        return np.bincount(ngrams.documents[hits], minlength=len(ngrams.counts))


def write_benchmark(uri: str, benchmark: Benchmark) -> None:
    """Write the benchmark beside the documents of the corpus at `uri`."""
    table = pa.table({"ngram": benchmark.hashes}).replace_schema_metadata({"words": str(benchmark.n)})
    publish(f"{uri}/{FILE}", lambda file: pq.write_table(table, file))


def read_benchmark(uri: str) -> Benchmark:
    """Read the benchmark of the corpus at `uri`; one without n-grams if it has none. Raises CorpusError if damaged."""
    url = f"{uri}/{FILE}"
    try:
        with fsspec.open(url, "rb") as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        return Benchmark.of([], 1)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{url} is damaged: {error}") from error
    return Benchmark(int(table.schema.metadata[b"words"]), table["ngram"].to_numpy())
