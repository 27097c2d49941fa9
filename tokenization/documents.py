"""The corpus artifact: documents-*.parquet. Documents are read by global row number, so a shard can name its rows."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenization.files.integrity import DamagedFile, FileRecord, verify
from tokenization.files.threads import map_threads
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, SPLITS, Document, Language, Split

COLUMNS = ["id", "text", "language", "source", "licence", "split"]
FILES = "documents-*.parquet"
READ_ROWS = 1024


def split_of(key: int, validation_fraction: float, test_fraction: float) -> Split:
    """Choose the split by the key of a text or conversation. Equal keys give equal splits, whatever the source."""
    place = place_of(key)
    if place < test_fraction:
        return "test"
    return "validation" if place < test_fraction + validation_fraction else "train"


def place_of(key: int) -> float:
    """Return where in 0 to 1 a text stands by its key."""
    return stable_hash(f"split {key}") / 2**64


def document_id(source: str, text: str) -> str:
    """Return a stable id: the same text of the same source has the same id."""
    return f"{source}-{stable_hash(text):016x}"


class CorpusError(ValueError):
    """There is no corpus where one was expected."""


@dataclass(frozen=True)
class Catalogue:
    """One entry per document: a stable 64-bit hash of its id; positions in LANGUAGES, SPLITS and `names`; UTF-8 bytes.
    `names` lists all sources, sorted."""

    hashes: np.ndarray
    languages: np.ndarray
    splits: np.ndarray
    bytes: np.ndarray
    sources: np.ndarray
    names: tuple[str, ...]

    def select(self, split: Split, language: Language) -> np.ndarray:
        """Return row numbers in the order of their hashes: a shuffle that is the same everywhere."""
        mine = (self.splits == SPLITS.index(split)) & (self.languages == LANGUAGES.index(language))
        rows = np.flatnonzero(mine)
        return rows[np.argsort(self.hashes[rows], kind="stable")]

    def rows_of(self, sources: Collection[str]) -> np.ndarray:
        """Return the row numbers of all documents of these sources."""
        return np.flatnonzero(np.isin(self.sources, [i for i, name in enumerate(self.names) if name in sources]))


@dataclass(frozen=True)
class RowGroup:
    """Rows [start, stop) of one row group. A corpus can be cut to row groups without reading it."""

    url: str
    number: int
    start: int
    stop: int
    recorded: FileRecord | None = None  # of the file, which is compared with it before it is read

    def read(self, columns: Sequence[str] = COLUMNS, batch_rows: int = READ_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows, a few at a time. A whole row group fits into memory, since stage `corpus` bounds its bytes.
        Raises DamagedFile."""
        with _opened(self.url, self.recorded) as file:
            at = 0
            for batch in file.iter_batches(batch_rows, row_groups=[self.number], columns=list(columns)):
                wanted = batch[max(0, self.start - at) : max(0, self.stop - at)]
                at += batch.num_rows
                if wanted.num_rows:
                    yield wanted
                if at >= self.stop:
                    return


class Corpus:
    """Documents, in the order of the files and of the rows in them. The object can be sent to workers.

    Every file is compared with its record in `recorded`, here and in each process that reads it; without `recorded`,
    whatever lies below `uri` is taken. Raises DamagedFile, and CorpusError if there are no documents.
    """

    def __init__(self, uri: str, recorded: Mapping[str, FileRecord] | None = None) -> None:
        fs, folder = fsspec.url_to_fs(uri)
        if recorded is None:
            there: Mapping[str, FileRecord | None] = dict.fromkeys(
                path.rpartition("/")[2] for path in fs.glob(f"{folder}/{FILES}")
            )
        else:
            there = recorded
        files = [(f"{uri}/{name}", there[name]) for name in sorted(there) if fnmatchcase(name, FILES)]
        if not files:
            raise CorpusError(f"{uri} holds no {FILES}")
        self._groups = [group for of_file in map_threads(_row_groups, files) for group in of_file]
        self._ends = np.cumsum([group.stop for group, _ in self._groups])
        if not len(self):
            raise CorpusError(f"{uri} holds no documents")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def catalogue(self) -> Catalogue:
        """Read all texts once and keep none of them."""

        def entries(group: RowGroup) -> tuple[np.ndarray | pa.DictionaryArray, ...]:
            table = _whole(group, ["id", "text", "language", "split", "source"])
            return (
                np.array([stable_hash(name) for name in table["id"].to_pylist()], dtype=np.uint64),
                pc.index_in(table["language"], pa.array(LANGUAGES)).to_numpy().astype(np.int8),
                pc.index_in(table["split"], pa.array(SPLITS)).to_numpy().astype(np.int8),
                pc.binary_length(table["text"]).to_numpy().astype(np.int64),
                table["source"].combine_chunks().dictionary_encode(),
            )

        *columns, sources = zip(*map_threads(entries, [group for group, _ in self._groups]), strict=True)
        hashes, languages, splits, sizes = (np.concatenate(column) for column in columns)
        names = sorted({name for part in sources for name in part.dictionary.to_pylist()})
        codes = [pc.index_in(part.dictionary, pa.array(names)).to_numpy()[part.indices.to_numpy()] for part in sources]
        return Catalogue(hashes, languages, splits, sizes, np.concatenate(codes), tuple(names))

    def read(self, rows: Sequence[int] | np.ndarray) -> Iterator[Document]:
        """Yield the documents at these row numbers, in ascending order. Row groups without any are not read."""
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        for (group, _), end in zip(self._groups, self._ends, strict=True):
            start = end - group.stop
            here = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)] - start
            if len(here):
                for row in _whole(group, COLUMNS).take(pa.array(here)).to_pylist():
                    yield Document(**row)

    def row_groups(self) -> list[tuple[RowGroup, int]]:
        """Return all row groups, each with the bytes of its texts, which file footers give within a few percent."""
        return list(self._groups)


@contextmanager
def _opened(url: str, recorded: FileRecord | None) -> Generator[pq.ParquetFile]:
    if recorded:
        verify(url, recorded)
    try:
        with fsspec.open(url, "rb") as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, TimeoutError | ConnectionError) or getattr(error, "errno", None) is not None:
            raise  # this error is the filesystem's, not Arrow's
        raise DamagedFile(f"{url} is damaged: {type(error).__name__}: {error}") from error


def _row_groups(file: tuple[str, FileRecord | None]) -> list[tuple[RowGroup, int]]:
    """Return the row groups of one file, each with the bytes of its texts."""
    url, recorded = file
    with _opened(url, recorded) as parquet:
        footer = parquet.metadata
    text, groups = footer.schema.names.index("text"), map(footer.row_group, range(footer.num_row_groups))
    return [
        (RowGroup(url, number, 0, group.num_rows, recorded), group.column(text).total_uncompressed_size)
        for number, group in enumerate(groups)
    ]


def _whole(group: RowGroup, columns: list[str]) -> pa.Table:
    with _opened(group.url, group.recorded) as file:
        return file.read_row_group(group.number, columns=columns)
