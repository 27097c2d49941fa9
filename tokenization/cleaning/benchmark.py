"""What models will be tested on, as the n-grams of its words: text that shares one with it is not trained on.

Stage `corpus` leaves it beside its documents, so that data sets of conversations are held to the same.
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
    """Texts that the model will be tested on: `hashes` of their n-grams, uint64, sorted, each once."""

    n: int
    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], n: int) -> Benchmark:
        """Texts of fewer than n words cannot be recognised."""
        return cls(n, np.unique(Words(texts).ngrams(n).hashes))

    def found_in(self, words: Words) -> np.ndarray:
        """Whether each document shares an n-gram with a benchmark, bool [D]."""
        ngrams = words.ngrams(self.n)
        hits = np.isin(ngrams.hashes, self.hashes)
        return np.bincount(ngrams.documents[hits], minlength=len(ngrams.counts)) > 0


def write_benchmark(uri: str, benchmark: Benchmark) -> None:
    """Beside the documents of the corpus at `uri`."""
    table = pa.table({"ngram": benchmark.hashes}).replace_schema_metadata({"words": str(benchmark.n)})
    publish(f"{uri}/{FILE}", lambda file: pq.write_table(table, file))


def read_benchmark(uri: str) -> Benchmark:
    """That of the corpus at `uri`, without n-grams where it has none. Raises CorpusError for a damaged file."""
    url = f"{uri}/{FILE}"
    try:
        with fsspec.open(url, "rb") as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        return Benchmark.of([], 1)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{url} is damaged: {error}") from error
    return Benchmark(int(table.schema.metadata[b"words"]), table["ngram"].to_numpy())
