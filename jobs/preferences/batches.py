"""Make batches of conversations with accepted and rejected answers."""

from __future__ import annotations

from jobs.stage.context import Artifact
from jobs.stage.inputs import open_index
from jobs.training.batching.batches import Batch, Lengths, conversation_batch, token_counts
from jobs.training.batching.reader import Collate
from tokenization.records import ShardRow

REJECTED, REJECTED_MASK = "rejected", "rejected_mask"


def preference_rows(shards: Artifact, turns: int | None) -> Collate:
    """Return the collate function of conversations with preferences. It takes at most `turns` interactions of each."""
    length = open_index(shards).length

    def collate(rows: list[ShardRow], lengths: Lengths, _step: int) -> Batch:
        return preference_batch(rows, length, turns, lengths)

    return collate


def preference_batch(
    rows: list[ShardRow], length: int, turns: int | None = None, lengths: Lengths | None = None
) -> Batch:
    """Make the tensors of `conversation_batch`, and beside them rejected and rejected_mask [B, N, T]. Accepted and
    rejected interactions have the same T."""
    told = [token_counts(row) for row in rows] if lengths is None else lengths
    longest = max((len(turn[REJECTED]) for row in rows for turn in row["interactions"]), default=0)
    whole = [*told, [longest]]
    accepted = conversation_batch(rows, length, turns, whole)
    others = [{"interactions": [_other(turn) for turn in row["interactions"]]} for row in rows]
    rejected = conversation_batch(others, length, turns, whole)
    return accepted | {REJECTED: rejected["input_ids"], REJECTED_MASK: rejected["loss_mask"]}


def _other(turn: ShardRow) -> ShardRow:
    return {"input_ids": turn[REJECTED], "loss_mask": turn[REJECTED_MASK]}
