"""The corpus artifact: documents-*.parquet read by global row number, so that a shard can name its input as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenization.dialogues.values import stable_hash
from tokenization.records import LANGUAGES, SPLITS, Document, Language, Split
from tokenization.threads import map_threads

COLUMNS = ["id", "text", "language", "source", "licence", "split"]
READ_ROWS = 1024


def split_of(key: int, validation_fraction: float, test_fraction: float) -> Split:
    """By the key of a text or conversation: those with the same words, of whatever source, are in the same split."""
    place = stable_hash(f"split {key}") / 2**64
    if place < test_fraction:
        return "test"
    return "validation" if place < test_fraction + validation_fraction else "train"


def document_id(source: str, text: str) -> str:
    """Stable: the same text of the same source has the same id."""
    return f"{source}-{stable_hash(text):016x}"


class CorpusError(ValueError):
    """No corpus where one was expected."""


@dataclass(frozen=True)
class Catalogue:
    """One entry per document: a stable 64-bit hash of its id, position in LANGUAGES, SPLITS and `names`, UTF-8 bytes.
    `names`: of all sources, sorted."""

    hashes: np.ndarray
    languages: np.ndarray
    splits: np.ndarray
    bytes: np.ndarray
    sources: np.ndarray
    names: tuple[str, ...]

    def select(self, split: Split, language: Language) -> np.ndarray:
        """Row numbers in the order of their hashes: a shuffle that is the same everywhere."""
        mine = (self.splits == SPLITS.index(split)) & (self.languages == LANGUAGES.index(language))
        rows = np.flatnonzero(mine)
        return rows[np.argsort(self.hashes[rows], kind="stable")]

    def rows_of(self, sources: Collection[str]) -> np.ndarray:
        """Row numbers of all documents of these sources."""
        return np.flatnonzero(np.isin(self.sources, [i for i, name in enumerate(self.names) if name in sources]))


@dataclass(frozen=True)
class RowGroup:
    """Rows [start, stop) of a row group: how far a corpus can be cut without reading it."""

    url: str
    number: int
    start: int
    stop: int

    def read(self, columns: Sequence[str] = COLUMNS, batch_rows: int = READ_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows, a few at a time. All of a row group fit into memory: stage `corpus` bounds their bytes."""
        with fsspec.open(self.url, "rb") as file:
            at = 0
            for batch in pq.ParquetFile(file).iter_batches(batch_rows, row_groups=[self.number], columns=list(columns)):
                wanted = batch[max(0, self.start - at) : max(0, self.stop - at)]
                at += batch.num_rows
                if wanted.num_rows:
                    yield wanted
                if at >= self.stop:
                    return


class Corpus:
    """Documents in the order of the files and of the rows in them."""

    def __init__(self, uri: str) -> None:
        self._fs, folder = fsspec.url_to_fs(uri)
        paths = sorted(self._fs.glob(f"{folder}/documents-*.parquet"))
        if not paths:
            raise CorpusError(f"{uri} holds no documents-*.parquet")
        self._groups = [group for of_file in map_threads(self._footer, paths) for group in of_file]
        self._ends = np.cumsum([group.stop for group, _ in self._groups])
        if not len(self):
            raise CorpusError(f"{uri} holds no documents")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def catalogue(self) -> Catalogue:
        """One pass over all texts, none of which is kept."""

        def entries(group: RowGroup) -> tuple[np.ndarray | pa.DictionaryArray, ...]:
            table = self._read(group, ["id", "text", "language", "split", "source"])
            return (
                np.array([stable_hash(name) for name in table["id"].to_pylist()], dtype=np.uint64),
                pc.index_in(table["language"], pa.array(LANGUAGES)).to_numpy().astype(np.int8),
                pc.index_in(table["split"], pa.array(SPLITS)).to_numpy().astype(np.int8),
                pc.binary_length(table["text"]).to_numpy().astype(np.int64),
                table["source"].combine_chunks().dictionary_encode(),
            )

        *columns, sources = zip(*map_threads(entries, [group for group, _ in self._groups]), strict=True)
        names = sorted({name for part in sources for name in part.dictionary.to_pylist()})
        codes = [pc.index_in(part.dictionary, pa.array(names)).to_numpy()[part.indices.to_numpy()] for part in sources]
        return Catalogue(*map(np.concatenate, columns), np.concatenate(codes), tuple(names))

    def read(self, rows: Sequence[int]) -> Iterator[Document]:
        """The documents at these row numbers, in ascending order; row groups without any are not touched."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        for (group, _), end in zip(self._groups, self._ends, strict=True):
            start = end - group.stop
            here = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)] - start
            if len(here):
                for row in self._read(group, COLUMNS).take(pa.array(here)).to_pylist():
                    yield Document(**row)

    def row_groups(self) -> list[tuple[RowGroup, int]]:
        """All row groups with the bytes of their texts, which the footers know within a few percent."""
        return list(self._groups)

    def _footer(self, path: str) -> list[tuple[RowGroup, int]]:
        with self._fs.open(path, "rb") as file:
            footer = pq.read_metadata(file)
        text, url = footer.schema.names.index("text"), self._fs.unstrip_protocol(path)
        groups = map(footer.row_group, range(footer.num_row_groups))
        return [
            (RowGroup(url, number, 0, group.num_rows), group.column(text).total_uncompressed_size)
            for number, group in enumerate(groups)
        ]

    def _read(self, group: RowGroup, columns: list[str]) -> pa.Table:
        with self._fs.open(group.url, "rb") as file:
            return pq.ParquetFile(file).read_row_group(group.number, columns=columns)
