"""Turn rows of the corpus into packed rows of tokens, in bounded memory.

Documents are read and encoded a few at a time, and packed from a window of some million tokens. Each file is a pure
function of the shard, so the number of workers changes no byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.shards.job import Finished
from jobs.shards.text_counts import TextCounts
from jobs.shards.text_manifest import Stock, TextShard
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.documents import RowGroup
from tokenization.hashing import stable_hash
from tokenization.mixture import SourceOf
from tokenization.records import LANGUAGES, SPLITS, Language, Split
from tokenization.shards.packing import pack
from tokenization.shards.provenance import ProvenanceWriter, piece_columns
from tokenization.shards.writer import ShardWriter

READ = ["id", "text", "language", "source", "split"]
WINDOW = 1 << 21  # tokens that are packed together: more would fill rows better but take more memory
SAMPLE_GROUPS, SAMPLE_DOCUMENTS = 4, 100  # per source, to estimate bytes per token


@dataclass(frozen=True)
class TextShardWriter:
    """Packs a shard's documents per language into rows of `length` tokens, one file per split below `uri`."""

    uri: str
    tokenizer: Tokenizer
    length: int

    def __call__(self, shard: TextShard) -> Finished:
        counts = TextCounts()
        windows: defaultdict[tuple[Split, Language, int], _Window] = defaultdict(_Window)
        with ExitStack() as stack:
            urls = {split: f"{self.uri}/{shard.file(split)}" for split in SPLITS}
            writers = {split: stack.enter_context(ShardWriter(url, "text", split)) for split, url in urls.items()}
            tables = {split: stack.enter_context(ProvenanceWriter(url)) for split, url in urls.items()}

            def flush(split: Split, language: Language, number: int) -> None:
                window = windows.pop((split, language, number))
                rows = pack(*window.documents(), self.length)
                tables[split].write(window.origins(piece_columns(rows, writers[split].rows)))
                rows = rows.select(["input_ids", "document_starts"])
                counts.wrote(split, rows.num_rows, len(rows.column("input_ids").values), self.length)
                code = pa.array(np.full(rows.num_rows, LANGUAGES.index(language), dtype=np.int8))
                writers[split].write(rows.append_column("language", code))

            for chosen in _chosen(shard):
                ids, offsets = self.tokenizer.encode_flat(chosen.texts.to_pylist())
                names = pa.repeat(chosen.source, len(chosen.texts)), chosen.names
                size = pc.sum(pc.binary_length(chosen.texts)).as_py()
                counts.read(chosen.source, chosen.language, chosen.split, size, offsets, chosen.times)
                # each pass has its own window, so that no row holds a document twice
                for number in range(chosen.times):
                    key = chosen.split, chosen.language, number
                    windows[key].add(ids, offsets, *names)
                    if windows[key].tokens >= WINDOW:
                        flush(*key)
            for key in sorted(windows):
                flush(*key)
        return Finished(tuple(writer.record for writer in writers.values()), counts.report, self.tokenizer.slow)


@dataclass(frozen=True)
class Chosen:
    """Documents of one split, source and language that are read the same number of `times`."""

    split: Split
    source: str
    language: Language
    names: pa.StringArray  # ids of the documents
    texts: pa.StringArray
    times: int


def _chosen(shard: TextShard) -> Iterator[Chosen]:
    """Yield the documents of a shard that are read at least once. A fraction of a pass takes documents by hash."""
    for group in shard.groups:
        for batch in group.read(READ):
            for (split, source, language), some in _parts(batch):
                whole, fraction = divmod(shard.passes[source, language] if split == "train" else 1.0, 1)
                once_more = _by_hash(some.column("id"), fraction)
                for mask, times in ((once_more, int(whole) + 1), (~once_more, int(whole))):
                    if times and mask.any():
                        mine = some.filter(pa.array(mask))
                        yield Chosen(split, source, language, mine.column("id"), mine.column("text"), times)


def _parts(batch: pa.RecordBatch) -> Iterator[tuple[tuple[Split, str, Language], pa.RecordBatch]]:
    """Yield the documents of a batch, grouped by split, source and language."""
    for source in batch.column("source").unique().to_pylist():
        of_source = batch.filter(pc.equal(batch.column("source"), source))
        for language in LANGUAGES:
            of_language = of_source.filter(pc.equal(of_source.column("language"), language))
            for split in SPLITS:
                some = of_language.filter(pc.equal(of_language.column("split"), split))
                if some.num_rows:
                    yield (split, source, language), some


def _by_hash(names: pa.StringArray, fraction: float) -> np.ndarray:
    """Whether each name is chosen [n]: a name is if its hash lies in the lowest `fraction` of all hashes."""
    if not fraction:
        return np.zeros(len(names), dtype=bool)
    return np.array([stable_hash(name) < fraction * 2**64 for name in names.to_pylist()])


@dataclass
class _Window:
    """Encoded documents that wait to be packed."""

    parts: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    sources: list[pa.StringArray] = field(default_factory=list)
    names: list[pa.StringArray] = field(default_factory=list)
    tokens: int = 0

    def add(self, ids: np.ndarray, offsets: np.ndarray, sources: pa.StringArray, names: pa.StringArray) -> None:
        self.parts.append((ids, offsets))
        self.sources.append(sources)
        self.names.append(names)
        self.tokens += len(ids)

    def origins(self, pieces: dict[str, np.ndarray]) -> dict[str, Any]:
        """The columns of provenance of these pieces, whose documents are numbered as they were added."""
        document = pa.array(pieces.pop("document"))
        columns = {"source": self.sources, "id": self.names}
        return pieces | {name: pa.concat_arrays(parts).take(document) for name, parts in columns.items()}

    def documents(self) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and offsets of all documents, in the form that `pack` takes."""
        lengths = [np.diff(offsets) for _, offsets in self.parts]
        return np.concatenate([ids for ids, _ in self.parts]), np.concatenate([[0], np.cumsum(np.concatenate(lengths))])


def sample_bytes_per_token(stocks: Sequence[Stock], tokenizer: Tokenizer) -> Mapping[SourceOf, float]:
    """Estimate bytes per token of each source and language from the first documents of a few row groups."""
    groups: defaultdict[SourceOf, list[RowGroup]] = defaultdict(list)
    for stock in stocks:
        for key in dict.fromkeys((source, language) for _, source, language in stock.bytes):
            groups[key].append(stock.group)
    ratios = {}
    for (source, language), found in groups.items():
        texts: list[str] = []
        for group in found[:: -(-len(found) // SAMPLE_GROUPS)]:
            texts += _first_texts(group, source, language)
        tokens = len(tokenizer.encode_flat(texts)[0])
        ratios[source, language] = sum(len(text.encode()) for text in texts) / tokens if tokens else 1.0
    return ratios


def _first_texts(group: RowGroup, source: str, language: Language) -> list[str]:
    for batch in group.read(["text", "source", "language"], batch_rows=SAMPLE_DOCUMENTS):
        mine = pc.and_(pc.equal(batch.column("source"), source), pc.equal(batch.column("language"), language))
        if texts := batch.column("text").filter(mine).to_pylist():
            return texts
    return []
