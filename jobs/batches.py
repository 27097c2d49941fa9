"""Shard rows -> tensors. Batches are collated globally and then cut by rank, so shapes agree on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenization.reader import ShardReader, global_batch
from tokenization.special_tokens import PAD

Row = dict[str, Any]
Batch = dict[str, Tensor]

ROUND_TO = 8
BESIDE = "text_"  # before the names of what lies beside a batch


def text_batch(rows: Sequence[Row]) -> Batch:
    """input_ids, documents [B, T] int64. `documents` numbers the documents of a row from 0, padding is -1."""
    numbers = []
    for row in rows:
        starts = np.asarray(row["document_starts"], dtype=np.int64)
        number = np.zeros(len(row["input_ids"]), dtype=np.int64)
        number[starts[starts > 0]] = 1
        numbers.append(number.cumsum())
    return {"input_ids": _padded([row["input_ids"] for row in rows], PAD), "documents": _padded(numbers, -1)}


def interaction_batch(rows: Sequence[Row], length: int) -> Batch:
    """input_ids [B, T] int64 and loss_mask [B, T] bool of interactions cut to `length` tokens."""
    return {
        "input_ids": _padded([row["input_ids"][:length] for row in rows], PAD),
        "loss_mask": _padded([row["loss_mask"][:length] for row in rows], 0).bool(),
    }


def conversation_batch(rows: Sequence[Row], length: int, turns: int | None = None) -> Batch:
    """input_ids, loss_mask [B, N, T], turn_mask [B, N] of the first `turns` interactions of each conversation (None:
    all). Shorter conversations are padded with empty turns, never cut to the shortest."""
    talks = [row["interactions"][:turns] for row in rows]
    most = max(map(len, talks))
    empty = {"input_ids": [], "loss_mask": []}
    flat = [turn for talk in talks for turn in [*talk, *[empty] * (most - len(talk))]]
    batch = {name: part.unflatten(0, (len(talks), most)) for name, part in interaction_batch(flat, length).items()}
    batch["turn_mask"] = torch.tensor([[n < len(talk) for n in range(most)] for talk in talks])
    return batch


def history_batch(rows: Sequence[Row], length: int) -> Batch:
    """Whole conversations as one sequence each, for a model without memory: input_ids, loss_mask [B, N * T]."""
    return interaction_batch(
        [
            {
                key: [value for turn in row["interactions"] for value in turn[key][:length]]
                for key in ("input_ids", "loss_mask")
            }
            for row in rows
        ],
        length * max(len(row["interactions"]) for row in rows),
    )


def beside(batch: Batch, text: Batch) -> Batch:
    """The batch with rows of text, of their own number and length, beside it."""
    return batch | {BESIDE + name: tensor for name, tensor in text.items()}


def text_beside(batch: Batch) -> Batch:
    """The text batch that lies beside another one; empty where there is none."""
    return {name.removeprefix(BESIDE): tensor for name, tensor in batch.items() if name.startswith(BESIDE)}


def batch_reader(
    reader: ShardReader, seed: int, batch_size: int, collate: Callable[[list[Row], int], Batch]
) -> Callable[[int], Batch]:
    """The global batch of each step, a pure function of (seed, step); `collate` gets the rows, longest first, and the
    step."""

    def batch_at(step: int) -> Batch:
        rows = reader.rows(global_batch(len(reader), seed, step, batch_size))
        return collate(sorted(rows, key=_tokens, reverse=True), step)

    return batch_at


class Prefetched:
    """The same batches; those of the next `ahead` steps are made by a thread while the caller works on this one."""

    def __init__(self, batch_at: Callable[[int], Batch], ahead: int = 2) -> None:
        self._batch_at, self._ahead = batch_at, ahead
        self._thread = ThreadPoolExecutor(1, "batches")
        self._coming: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """Whatever making this batch raised is raised here, at its own step."""
        wanted = range(step, step + self._ahead + 1)
        for other in self._coming.keys() - set(wanted):
            self._coming.pop(other).cancel()
        for coming in wanted:
            if coming not in self._coming:
                self._coming[coming] = self._thread.submit(self._batch_at, coming)
        return self._coming.pop(step).result()


def rank_slice(batch: Batch, rank: int, world_size: int) -> Batch:
    """This rank's rows of a global batch; parts differ by at most one row. Rows are dealt to and fro, so that parts of
    a batch in order of length are about equally long, and no rank waits for another."""

    def part(tensor: Tensor) -> Tensor:
        rows = torch.arange(len(tensor))
        place = rows % world_size
        dealt = torch.where(rows // world_size % 2 == 0, place, world_size - 1 - place)
        return tensor[dealt == rank]

    return {name: part(tensor) for name, tensor in batch.items()}


def _tokens(row: Row) -> int:
    return sum(len(turn["input_ids"]) for turn in row.get("interactions", [row]))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """[B, T] int64, T the longest row rounded up: few distinct shapes, little padding."""
    longest = max(1, *(len(row) for row in rows)) if rows else 1
    padded = np.full((len(rows), -(-longest // ROUND_TO) * ROUND_TO), fill, dtype=np.int64)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)
