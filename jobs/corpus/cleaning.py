"""Clean a piece of a source: repair its texts, drop bad paragraphs, and write what is left with the tags of each
document. Nothing is decided here, so the same clean piece serves every policy.

A clean piece counts once a report with its digest lies beside it. A task that is run again returns that report, and a
new corpus copies the clean pieces of earlier ones that are the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.configs.texts import CorpusConfig
from jobs.corpus.judging import judge, scores_in
from tokenization.batching import batches
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.cleaner import Cleaned, Cleaner
from tokenization.cleaning.duplicates import BAND_COLUMNS, signatures
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.removals import Removals
from tokenization.cleaning.repair import Repairs
from tokenization.cleaning.settings import TAGS
from tokenization.cleaning.tags import tags
from tokenization.cleaning.words import Words, plain
from tokenization.documents import document_id
from tokenization.files.integrity import sha256_of
from tokenization.files.storage import publish, write_json
from tokenization.hashing import stable_hash
from tokenization.quarantine import Quarantine, Rejected
from tokenization.sources.listing import Piece
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import read

RULES = {"min_characters", "mask", "benchmark_words", "without"}  # settings that the clean texts depend on
CLEAN = pa.schema([
    *pa.schema({"id": pa.string(), "text": pa.string(), "bytes": pa.int32(), "key": pa.uint64()}),
    *pa.schema({"split_key": pa.uint64(), "words": pa.int32(), **BAND_COLUMNS}),
    *pa.schema({f"tag_{tag}": pa.float32() for tag in TAGS}),
])  # fmt: skip


@dataclass(frozen=True)
class CleanTask:
    """A piece of a source, and the folder for its clean texts.

    `origin` says where the source came from. `sha256` is the digest of a fetched package, and empty for other sources.
    `earlier` are the folders of clean texts of earlier corpora.
    """

    source: Source
    corpus: CorpusConfig
    piece: Piece
    folder: str
    origin: str
    sha256: str
    benchmarks: str  # digest of the benchmarks' hashes
    earlier: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the clean texts depend on."""
        return {
            "source": self.source.record,
            "piece": [vars(part) for part in self.piece],
            "origin": self.origin,
            "sha256": self.sha256,
            "benchmarks": self.benchmarks,
            "rules": self.corpus.model_dump(mode="json", include=RULES),
        }

    @property
    def name(self) -> str:
        """The name of the clean piece, which follows from its identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:24]

    @property
    def url(self) -> str:
        """Where the clean piece lies, without a file extension."""
        return f"{self.folder}/{self.name}"

    @property
    def is_known(self) -> bool:
        """Whether the identity tells if the content has changed."""
        return bool(self.sha256) or (bool(self.piece) and all(part.version for part in self.piece))

    @property
    def policy(self) -> FilterPolicy:
        """What decides about the documents of the piece."""
        rules = self.corpus.policy
        return FilterPolicy(rules.rules, rules.limits, self.source.skip)


def clean_piece(task: CleanTask, package: bytes, benchmark: Benchmark) -> dict[str, Any]:
    """Write the clean texts with tags and signatures (.parquet), the rejected ones (.jsonl) and a report (.json).
    Return the report, with what the policy leaves out of the piece as `judged`."""
    for folder in (task.folder, *(task.earlier if task.is_known else ())):
        report = _finished(task, folder)
        if report and (judged := _enough(task, report, f"{folder}/{task.name}.parquet")):
            if folder != task.folder:
                _copy(task, folder)
            return report | {"judged": judged}
    with tempfile.TemporaryFile() as bad:
        piece = _Piece(task, package, benchmark, Quarantine(task.source.name, bad))
        _, digest = publish(f"{task.url}.parquet", piece.write)
        bad.seek(0)
        publish(f"{task.url}.jsonl", lambda file: shutil.copyfileobj(bad, file))
    report = {"identity": task.identity, "sha256": digest} | piece.report()
    write_json(f"{task.url}.json", report)
    return report | {"judged": judge(f"{task.url}.parquet", task.policy, task.source.max_bytes)}


def _finished(task: CleanTask, folder: str) -> dict[str, Any] | None:
    """The report of an earlier attempt in this folder, if it did the same work, no input had vanished and its file is
    unchanged."""
    try:
        with fsspec.open(f"{folder}/{task.name}.json", "rb") as file:
            report = json.load(file)
        same = report["identity"] == json.loads(json.dumps(task.identity))
        same = same and report["sha256"] == sha256_of(f"{folder}/{task.name}.parquet")
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    return report if same and not report["gone"] else None


def _enough(task: CleanTask, report: dict[str, Any], url: str) -> dict[str, Any] | None:
    """What the policy leaves out. None if the piece ends early, at `max_bytes` under another policy, and this policy
    leaves too little of it."""
    judged = judge(url, task.policy, task.source.max_bytes)
    return judged if judged["cut"] or not report["ends_early"] else None


def _copy(task: CleanTask, folder: str) -> None:
    for ending in ("parquet", "jsonl", "json"):  # the report makes it count
        with fsspec.open(f"{folder}/{task.name}.{ending}", "rb") as file:
            publish(f"{task.url}.{ending}", lambda out: shutil.copyfileobj(file, out))


class _Piece:
    """One pass over a piece. The source's `max_bytes` limits every piece, since the pieces before it may be empty. It
    counts what the policy does not leave out."""

    def __init__(self, task: CleanTask, package: bytes, benchmark: Benchmark, quarantine: Quarantine) -> None:
        self._task, self._package, self._benchmark, self._quarantine = task, package, benchmark, quarantine
        self._removed, self._repaired = Removals(), Repairs()
        self._counts = Counter(dict.fromkeys(("texts", "bytes_read"), 0))
        self._read = hashlib.sha256()
        self._seen = Seen()
        self._ends_early = False

    def report(self) -> dict[str, Any]:
        return {
            **self._counts,
            "ends_early": self._ends_early,
            "read": self._read.hexdigest(),
            "removed": self._removed.as_dict(),
            "repaired": self._repaired.as_dict(),
            "quarantined": dict(sorted(self._quarantine.counts.items())),
            "first": self._quarantine.first,
            "gone": self._quarantine.gone,
            **self._seen.as_dict(),
        }

    def write(self, file: BinaryIO) -> None:
        most, policy, size = self._task.source.max_bytes, self._task.policy, 0
        with pq.ParquetWriter(file, CLEAN, compression="zstd", compression_level=1) as writer:
            for found in batches(self._clean_texts(), lambda one: one.text):
                rows = self._tagged(found)
                writer.write_batch(rows)
                stays = policy.decide(scores_in(rows)) == 0
                size += int(rows["bytes"].to_numpy()[stays].sum())
                self._ends_early = most is not None and size > most
                if self._ends_early:
                    return

    def _clean_texts(self) -> Iterator[Cleaned]:
        config, rules = self._task.source, self._task.corpus
        clean = Cleaner(config.language, rules.min_characters, config.whole, config.skip, rules.mask,
                        self._removed, self._repaired, with_py3langid="py3langid" not in rules.without)  # fmt: skip
        for raw in read(config, self._task.piece, self._package, self._seen):
            if isinstance(raw, Rejected):
                self._quarantine.add(raw)
                continue
            content = raw.encode()
            self._read.update(content + b"\0")  # no text contains this byte
            self._counts["texts"] += 1
            self._counts["bytes_read"] += len(content)
            found = clean(raw)
            if found.text:
                yield found

    def _tagged(self, found: Sequence[Cleaned]) -> pa.RecordBatch:
        texts = [one.text for one in found]
        words = Words(texts)
        scores = tags(texts, words, [one.scores for one in found], self._benchmark, self._task.source.language)
        columns = {
            "id": [document_id(self._task.source.name, text) for text in texts],
            "text": texts,
            "bytes": [len(text.encode()) for text in texts],
            "key": np.array([stable_hash(plain(text)) for text in texts], np.uint64),
            "split_key": words.keys,
            "words": words.counts.astype(np.int32),
            **signatures(words, "rensa" not in self._task.corpus.without),
            **{f"tag_{tag}": score for tag, score in scores.items()},
        }
        return pa.RecordBatch.from_pydict(columns, schema=CLEAN)
