"""Write the documents of a clean piece that stay, and beside them the tags and the fate of every document."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.corpus.judging import TAG_COLUMNS, Fate, names_of_fates, row_groups
from tokenization.cleaning.duplicates import DUPLICATE, KEEP, NEAR_DUPLICATE
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.removals import Removals
from tokenization.files.integrity import sha256_of
from tokenization.files.storage import publish, write_json
from tokenization.records import SPLITS, Document
from tokenization.sources.source import Source

_DOCUMENTS = pa.schema({field.name: pa.string() for field in fields(Document)})
_TAGS = pa.schema([
    *pa.schema({"id": pa.string(), "bytes": pa.int32(), "fate": pa.string(), "similarity": pa.float32()}),
    *pa.schema({name.removeprefix("tag_"): pa.float32() for name in TAG_COLUMNS}),
])  # fmt: skip


@dataclass(frozen=True)
class WriteTask:
    """The clean texts at `clean`, with digest `sha256`, become the documents at `documents`, with the tags of all at
    `tags`; `record` is their report."""

    source: Source
    policy: FilterPolicy
    clean: str
    sha256: str
    documents: str
    tags: str
    record: str


def write_documents(task: WriteTask, fate: Fate, similarity: np.ndarray, split: np.ndarray) -> dict[str, Any]:
    """Write the texts that are kept, each with its `split` (int8 [D], places in SPLITS), and return the report. Texts
    after the first len(fate) are dropped."""
    names = names_of_fates(task.policy)
    decided = hashlib.sha256(fate.tobytes() + similarity.tobytes() + split.tobytes()).hexdigest()
    identity = {"clean": task.sha256, "decided": decided, "fates": names}
    if report := _finished(task, identity):
        return report
    piece = _Written(task)
    digests = [publish(task.documents, lambda out: piece.write(out, fate, split))[1]]
    digests.append(publish(task.tags, lambda out: _write_tags(out, task, fate, similarity, names))[1])
    report = {"identity": identity, "sha256": digests, **piece.counts, "removed": piece.removed.as_dict()}
    write_json(task.record, report)
    return report


def _finished(task: WriteTask, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The report of an earlier attempt, if it did the same work and its files are unchanged."""
    try:
        with fsspec.open(task.record, "rb") as file:
            report = json.load(file)
        same = report["identity"] == identity
        return report if same and report["sha256"] == [sha256_of(task.documents), sha256_of(task.tags)] else None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


class _Written:
    """Writes the documents and counts them."""

    def __init__(self, task: WriteTask) -> None:
        self._task = task
        self.counts: dict[str, Any] = {"documents": 0, "bytes": 0, "splits": Counter(dict.fromkeys(SPLITS, 0))}
        self.removed = Removals()

    def write(self, out: BinaryIO, fate: Fate, split: np.ndarray) -> None:
        source, done = self._task.source, 0
        shared = {"language": source.language, "licence": source.licence, "source": source.name}
        with pq.ParquetWriter(out, _DOCUMENTS, compression="zstd") as writer:
            for batch, mine in _first_rows(self._task.clean, ["id", "text"], fate):
                places = split[done : done + len(batch)][mine == KEEP]
                done += len(batch)
                for reason, code in (("duplicate", DUPLICATE), ("near-duplicate", NEAR_DUPLICATE)):
                    for text in batch["text"].filter(pa.array(mine == code)).to_pylist():
                        self.removed.add(reason, [text])
                kept = batch.filter(pa.array(mine == KEEP))
                if not len(kept):
                    continue
                names = [SPLITS[place] for place in places.tolist()]
                self.counts["documents"] += len(kept)
                self.counts["bytes"] += pc.sum(pc.binary_length(kept["text"])).as_py()
                self.counts["splits"].update(names)
                columns = {name: pa.repeat(value, len(kept)) for name, value in shared.items()}
                columns |= {"id": kept["id"], "text": kept["text"], "split": pa.array(names, pa.string())}
                writer.write_batch(
                    pa.RecordBatch.from_arrays([columns[name] for name in _DOCUMENTS.names], schema=_DOCUMENTS)
                )


def _write_tags(out: BinaryIO, task: WriteTask, fate: Fate, similarity: np.ndarray, names: list[str]) -> None:
    done = 0
    with pq.ParquetWriter(out, _TAGS, compression="zstd") as writer:
        for batch, mine in _first_rows(task.clean, ["id", "bytes", *TAG_COLUMNS], fate):
            told = [names[code] for code in mine.tolist()]
            alike = pa.array(similarity[done : done + len(batch)])
            columns = [batch["id"], batch["bytes"], pa.array(told, pa.string()), alike]
            writer.write_batch(
                pa.RecordBatch.from_arrays([*columns, *(batch[name] for name in TAG_COLUMNS)], schema=_TAGS)
            )
            done += len(batch)


def _first_rows(url: str, columns: list[str], fate: Fate) -> Iterator[tuple[pa.RecordBatch, Fate]]:
    done = 0
    with fsspec.open(url, "rb") as file:
        for batch in row_groups(file, columns):
            batch = batch.slice(0, max(0, len(fate) - done))
            if not len(batch):
                return
            yield batch, fate[done : done + len(batch)]
            done += len(batch)
