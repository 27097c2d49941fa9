"""The tasks of stage `corpus`: clean a piece, find repeated documents, write documents.

A result counts once a report with its digest lies beside it. A task that is run again returns that report.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.configs.texts import CorpusConfig
from tokenization.batching import BATCH_TEXTS, batches
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.cleaner import Cleaner
from tokenization.cleaning.duplicates import BAND_COLUMNS, DUPLICATE, KEEP, NEAR_DUPLICATE, decide, signatures
from tokenization.cleaning.filters import flaws
from tokenization.cleaning.removals import Removals
from tokenization.cleaning.repair import Repairs
from tokenization.cleaning.words import Words, plain
from tokenization.documents import document_id, split_of
from tokenization.files.integrity import sha256_of
from tokenization.files.storage import publish, write_json
from tokenization.hashing import stable_hash
from tokenization.quarantine import Quarantine, Rejected
from tokenization.records import SPLITS, Document
from tokenization.sources.listing import Piece
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import read

_TEXT = pa.schema({"id": pa.string(), "text": pa.string(), "split": pa.string()})
_CLEAN = pa.schema([*_TEXT, *pa.schema({"bytes": pa.int32(), "key": pa.uint64(), "words": pa.int32(), **BAND_COLUMNS})])
_DOCUMENTS = pa.schema({field.name: pa.string() for field in fields(Document)})


@dataclass(frozen=True)
class CleanTask:
    """A piece of a source, and where its clean texts go.

    `origin` says where the source came from. `sha256` is the digest of a fetched package, and empty for other sources.
    """

    source: Source
    corpus: CorpusConfig
    piece: Piece
    url: str  # without a file extension
    origin: str
    sha256: str
    benchmarks: str  # digest of the benchmarks' hashes

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        rules = self.corpus.model_dump(mode="json", exclude={"sources", "near_duplicates", "benchmarks"})
        return {
            "source": self.source.record,
            "piece": [vars(part) for part in self.piece],
            "origin": self.origin,
            "sha256": self.sha256,
            "benchmarks": self.benchmarks,
        } | rules


@dataclass(frozen=True)
class WriteTask:
    """The clean texts at `clean`, with digest `sha256`, become the documents at `url`; `record` is their report."""

    source: Source
    clean: str
    sha256: str
    url: str
    record: str


def clean_piece(task: CleanTask, package: bytes, benchmark: Benchmark) -> dict[str, Any]:
    """Write the clean texts with signatures (.parquet), the rejected ones (.jsonl) and a report (.json); return it."""
    if report := _finished(f"{task.url}.json", task.identity, f"{task.url}.parquet"):
        return report
    with tempfile.TemporaryFile() as bad:
        piece = _Piece(task, package, benchmark, Quarantine(task.source.name, bad))
        _, digest = publish(f"{task.url}.parquet", piece.write)
        bad.seek(0)
        publish(f"{task.url}.jsonl", lambda file: shutil.copyfileobj(bad, file))
    report = {"identity": task.identity, "sha256": digest} | piece.report()
    write_json(f"{task.url}.json", report)
    return report


class _Piece:
    """One pass over a piece. The source's `max_bytes` limits every piece, since the pieces before it may be empty."""

    def __init__(self, task: CleanTask, package: bytes, benchmark: Benchmark, quarantine: Quarantine) -> None:
        self._task, self._package, self._benchmark, self._quarantine = task, package, benchmark, quarantine
        self._removed, self._repaired = Removals(), Repairs()
        self._counts = Counter(dict.fromkeys(("texts", "bytes_read", "documents", "bytes"), 0))
        self._read = hashlib.sha256()
        self._seen = Seen()
        self._cut = False

    def report(self) -> dict[str, Any]:
        return {
            **self._counts,
            "cut": self._cut,
            "read": self._read.hexdigest(),
            "removed": self._removed.as_dict(),
            "repaired": self._repaired.as_dict(),
            "quarantined": dict(sorted(self._quarantine.counts.items())),
            "first": self._quarantine.first,
            "gone": self._quarantine.gone,
            **self._seen.as_dict(),
        }

    def write(self, file: BinaryIO) -> None:
        most = self._task.source.max_bytes
        with pq.ParquetWriter(file, _CLEAN, compression="zstd", compression_level=1) as writer:
            for texts in batches(self._clean_texts()):
                kept = self._filtered(texts)
                total = self._counts["bytes"] + np.cumsum(kept["bytes"].to_numpy(), dtype=np.int64)
                fits = int(np.searchsorted(total, most, side="right")) if most else len(kept)
                if fits:
                    writer.write_batch(kept.slice(0, fits))
                self._counts["documents"] += fits
                self._counts["bytes"] = int(total[fits - 1]) if fits else self._counts["bytes"]
                self._cut = fits < len(kept)
                if self._cut:
                    return

    def _clean_texts(self) -> Iterator[str]:
        config = self._task.source
        least = self._task.corpus.min_characters
        clean = Cleaner(config.language, least, config.whole, config.skip, self._removed, self._repaired)
        for raw in read(config, self._task.piece, self._package, self._seen):
            if isinstance(raw, Rejected):
                self._quarantine.add(raw)
                continue
            content = raw.encode()
            self._read.update(content + b"\0")  # no text contains this byte
            self._counts["texts"] += 1
            self._counts["bytes_read"] += len(content)
            if text := clean(raw):
                yield text

    def _filtered(self, texts: Sequence[str]) -> pa.RecordBatch:
        words = Words(texts)
        reasons = flaws(texts, words, self._benchmark, self._task.source.skip)
        for text, reason in zip(texts, reasons, strict=True):
            if reason:
                self._removed.add(reason, [text])
        rules = self._task.corpus
        held_out = rules.validation_fraction, rules.test_fraction
        columns = {
            "id": [document_id(self._task.source.name, text) for text in texts],
            "text": texts,
            "split": [split_of(key, *held_out) for key in words.keys.tolist()],
            "bytes": [len(text.encode()) for text in texts],
            "key": np.array([stable_hash(plain(text)) for text in texts], np.uint64),
            "words": words.counts.astype(np.int32),
            **signatures(words),
        }
        return pa.RecordBatch.from_pydict(columns, schema=_CLEAN).filter(pa.array([not r for r in reasons]))


def rows_within(url: str, most: int) -> int:
    """How many of the first texts in a clean file fit into `most` bytes together."""
    return int(np.searchsorted(np.cumsum(_column(url, "bytes"), dtype=np.int64), most, side="right"))


def find_repeated(urls: Sequence[str], rows: Sequence[int], near_duplicates: float) -> list[np.ndarray]:
    """Decide which of the first `rows` texts of each clean file stay, in file order; see `duplicates.decide`."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([_column(url, name)[:count] for url, count in zip(urls, rows, strict=True)])

    return np.split(decide(column, near_duplicates), np.cumsum(rows)[:-1])


def _column(url: str, name: str) -> np.ndarray:
    with fsspec.open(url, "rb") as file:
        column = pq.read_table(file, columns=[name])[name].combine_chunks()
    if name not in BAND_COLUMNS:
        return column.to_numpy()
    width = column.type.byte_width
    content = column.buffers()[1] if len(column) else b""
    return np.frombuffer(content, "<u2", len(column) * width // 2, column.offset * width).reshape(-1, width // 2)


def write_documents(task: WriteTask, decision: np.ndarray) -> dict[str, Any]:
    """Write the texts that `decision` keeps, and return the report. Texts after the first len(decision) are dropped."""
    identity = {"clean": task.sha256, "decision": hashlib.sha256(decision.tobytes()).hexdigest()}
    if report := _finished(task.record, identity, task.url):
        return report
    counts: dict[str, Any] = {"documents": 0, "bytes": 0, "splits": Counter(dict.fromkeys(SPLITS, 0))}
    removed = Removals()
    shared = {name: getattr(task.source, name) for name in ("language", "licence")} | {"source": task.source.name}

    def write(out: BinaryIO) -> None:
        done = 0
        with (
            fsspec.open(task.clean, "rb") as file,
            pq.ParquetWriter(out, _DOCUMENTS, compression="zstd") as writer,
        ):
            for batch in _row_groups(file):
                batch = batch.slice(0, max(0, len(decision) - done))
                fate = decision[done : done + len(batch)]
                done += len(batch)
                for reason, code in (("duplicate", DUPLICATE), ("near-duplicate", NEAR_DUPLICATE)):
                    for text in batch["text"].filter(pa.array(fate == code)).to_pylist():
                        removed.add(reason, [text])
                kept = batch.filter(pa.array(fate == KEEP))
                if not len(kept):
                    continue
                counts["documents"] += len(kept)
                counts["bytes"] += pc.sum(pc.binary_length(kept["text"])).as_py()
                counts["splits"].update(kept["split"].to_pylist())
                columns = [kept[n] if n in _TEXT.names else pa.repeat(shared[n], len(kept)) for n in _DOCUMENTS.names]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_DOCUMENTS))

    _, digest = publish(task.url, write)
    report = {"identity": identity, "sha256": digest, **counts, "removed": removed.as_dict()}
    write_json(task.record, report)
    return report


def _row_groups(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    """The batches of a clean file as they were written, each small enough for memory."""
    clean = pq.ParquetFile(file)
    for number in range(clean.num_row_groups):
        yield from clean.iter_batches(BATCH_TEXTS, [number], _TEXT.names)


def _finished(record: str, identity: dict[str, Any], url: str) -> dict[str, Any] | None:
    """The report of an earlier attempt, if it did the same work, no input had vanished and its file is unchanged."""
    try:
        with fsspec.open(record, "rb") as file:
            report = json.load(file)
        same = report["identity"] == json.loads(json.dumps(identity)) and report["sha256"] == sha256_of(url)
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    return report if same and not report.get("gone") else None
