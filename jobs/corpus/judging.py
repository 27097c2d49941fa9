"""Apply a policy to clean pieces: which documents it leaves out, what each rule would remove, and which documents
repeat an earlier one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokenization.batching import BATCH_TEXTS
from tokenization.cleaning.duplicates import BAND_COLUMNS, DUPLICATE, KEEP, NEAR_DUPLICATE, decide
from tokenization.cleaning.pii import PII, Pii
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.removals import Removals
from tokenization.cleaning.settings import TAGS, Tag
from tokenization.cleaning.tags import TAG_OF_PII

TAG_COLUMNS = [f"tag_{tag}" for tag in TAGS]
_FATES = {KEEP: "kept", DUPLICATE: "duplicate", NEAR_DUPLICATE: "near-duplicate"}

Fate = np.ndarray  # int8 [D]: a key of _FATES, or len(_FATES) + the place of a reason of the policy
Search = tuple[str, int, FilterPolicy]  # a clean file, how many of its rows go on, and the policy of its source


def names_of_fates(policy: FilterPolicy) -> list[str]:
    """Return what each value of a Fate means."""
    return [*_FATES.values(), *policy.reasons]


def scores_in(rows: pa.RecordBatch) -> dict[Tag, np.ndarray]:
    """Return the scores of rows of a clean file, float32 [D] for each tag."""
    return {tag: rows[f"tag_{tag}"].to_numpy() for tag in TAGS}


def judge(url: str, policy: FilterPolicy, most: int | None) -> dict[str, Any]:
    """Return what the policy makes of a clean file: `rows` that are looked at, the `documents` and `bytes` of them that
    stay, what is `removed`, what each of all known `rules` would remove if it stood alone, and the `pii` found.

    With `most`, the rows end before the first document with which those that stay have more bytes; `cut` says whether
    they do.
    """
    counts = Counter(dict.fromkeys(("rows", "documents", "bytes"), 0))
    rules = {str(rule): Counter(documents=0, bytes=0) for rule in policy.known}
    pii: dict[Pii, Counter[str]] = {kind: Counter(documents=0, found=0) for kind in PII}
    removed, cut = Removals(), False
    with fsspec.open(url, "rb") as file:
        for batch in row_groups(file, ["text", "bytes", *TAG_COLUMNS]):
            fate = policy.decide(scores_in(batch))
            end = rows_within(batch["bytes"].to_numpy(), fate, None if most is None else most - counts["bytes"])
            cut = end < len(batch)
            batch, fate = batch.slice(0, end), fate[:end]
            scores, sizes = scores_in(batch), batch["bytes"].to_numpy()
            counts.update(rows=end, documents=int((fate == 0).sum()), bytes=int(sizes[fate == 0].sum()))
            for number, reason in enumerate(policy.reasons, 1):
                for text in batch["text"].filter(pa.array(fate == number)).to_pylist():
                    removed.add(reason, [text])
            for rule in policy.known:
                bad = rule.broken(scores)
                rules[str(rule)].update(documents=int(bad.sum()), bytes=int(sizes[bad].sum()))
            for kind, found in pii.items():
                score = scores[TAG_OF_PII[kind]]
                found.update(documents=int((score > 0).sum()), found=int(score.sum()))
            if cut:
                break
    applied = set(map(str, policy.rules))
    told = {name: {**found, "applied": int(name in applied)} for name, found in rules.items()}
    return {**counts, "cut": cut, "removed": removed.as_dict(), "rules": told, "pii": pii}


def rows_within(sizes: np.ndarray, fate: np.ndarray, most: int | None) -> int:
    """Return how many of the first rows may be taken so that those of them that stay have at most `most` bytes."""
    if most is None:
        return len(sizes)
    return int(np.searchsorted(np.cumsum(np.where(fate == 0, sizes, 0), dtype=np.int64), most, side="right"))


def rows_of_file_within(url: str, policy: FilterPolicy, most: int) -> int:
    """Return `rows_within` for a whole clean file."""
    return rows_within(_column(url, "bytes"), _policy_fate(url, policy), most)


def find_repeated(searches: Sequence[Search], near_duplicates: float) -> list[tuple[Fate, np.ndarray]]:
    """Decide about the first rows of each clean file, in order: what the policy leaves out, and of what is left, what
    repeats an earlier document (`duplicates.decide`). Return each row's fate and, as float32 [D], its similarity to an
    earlier document."""
    counts = [rows for _, rows, _ in searches]
    fate = np.concatenate([_policy_fate(url, policy)[:rows] for url, rows, policy in searches])
    stays = fate == 0
    fate = np.where(stays, np.int8(KEEP), fate + np.int8(len(_FATES) - 1)).astype(np.int8)
    similarity = np.zeros(len(fate), np.float32)

    def column(name: str) -> np.ndarray:
        return np.concatenate([_column(url, name)[:rows] for url, rows, _ in searches])[stays]

    fate[stays], similarity[stays] = decide(column, near_duplicates)
    ends = np.cumsum(counts)[:-1]
    return list(zip(np.split(fate, ends), np.split(similarity, ends), strict=True))


def row_groups(file: BinaryIO, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a clean file as they were written, each small enough for memory."""
    clean = pq.ParquetFile(file)
    for number in range(clean.num_row_groups):
        yield from clean.iter_batches(BATCH_TEXTS, [number], list(columns))


def _policy_fate(url: str, policy: FilterPolicy) -> np.ndarray:
    with fsspec.open(url, "rb") as file:
        found = [policy.decide(scores_in(batch)) for batch in row_groups(file, TAG_COLUMNS)]
    return np.concatenate([np.empty(0, np.int8), *found])


def _column(url: str, name: str) -> np.ndarray:
    with fsspec.open(url, "rb") as file:
        column = pq.read_table(file, columns=[name])[name].combine_chunks()
    if name not in BAND_COLUMNS:
        return column.to_numpy()
    width = column.type.byte_width
    content = column.buffers()[1] if len(column) else b""
    return np.frombuffer(content, "<u2", len(column) * width // 2, column.offset * width).reshape(-1, width // 2)
