"""Choose the rows of each global batch that a rank reads, and read them ahead.

A global batch depends only on the seed and the step. A rank's part of it also depends on the rank and the number of
ranks. So a resumed run needs no state except its step, and any number of ranks together reads the same batches. The
offsets in the shards give the length of every row, so a rank reads the tokens of its own rows only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from jobs.training.batching.batches import ROW, Batch, Lengths
from tokenization.records import ShardRow
from tokenization.shards.reader import ShardReader, global_batch

# takes the rows of one rank, the lengths of all rows of the global batch, and the step
Collate = Callable[[list[ShardRow], Lengths, int], Batch]


@dataclass(frozen=True)
class Share:
    """The part of every batch that rank `rank` of `ranks` reads."""

    rank: int
    ranks: int

    def places(self, rows: int) -> np.ndarray:
        """Return this rank's places among `rows` rows. Ranks get equally many rows, or one more.

        Deal rows out by length, forwards then backwards, so that ranks get similar lengths and wait little for each
        other.
        """
        lap, place = np.divmod(np.arange(rows), self.ranks)
        return np.flatnonzero(np.where(lap % 2, self.ranks - 1 - place, place) == self.rank)


WHOLE = Share(0, 1)


def batch_reader(
    reader: ShardReader, seed: int, batch_size: int, collate: Collate, share: Share, alike: int = 1
) -> Callable[[int], Batch]:
    """Return a function from a step to this rank's part of its global batch. Rows are dealt out longest first. Each
    `alike` consecutive batches exchange rows, so that a batch has rows of similar length."""
    rows_at = _alike(reader, seed, batch_size, alike)

    def batch_at(step: int) -> Batch:
        rows = rows_at(step)
        lengths = reader.lengths(rows)
        tokens = np.array([turns.sum() for turns in lengths])
        places = share.places(batch_size)
        mine = np.argsort(-tokens, kind="stable")[places]
        return collate(reader.rows(rows[mine]), lengths, step) | {ROW: torch.from_numpy(places)}

    return batch_at


def _alike(reader: ShardReader, seed: int, batch_size: int, alike: int) -> Callable[[int], np.ndarray]:
    """Return a function from a step to the rows of its global batch. It sorts the rows of `alike` steps by their number
    of turns, then by their longest turn. It cuts them into batches, and draws the order of the batches from the
    seed."""
    if alike == 1:
        return lambda step: global_batch(len(reader), seed, step, batch_size)

    @lru_cache(maxsize=2)
    def group(number: int) -> np.ndarray:
        rows = global_batch(len(reader), seed, number, alike * batch_size)
        lengths = reader.lengths(rows)
        order = np.lexsort(([turns.max(initial=0) for turns in lengths], [len(turns) for turns in lengths]))
        return np.random.default_rng([seed, number]).permutation(rows[order].reshape(alike, batch_size))

    return lambda step: group(step // alike)[step % alike]


class Prefetched:
    """Returns the same batches. A thread makes those of the next `ahead` steps while the caller works on this one."""

    def __init__(self, batch_at: Callable[[int], Batch], ahead: int = 2) -> None:
        self._batch_at, self._ahead = batch_at, ahead
        self._thread = ThreadPoolExecutor(1, "batches")
        self._coming: dict[int, Future[Batch]] = {}

    def __call__(self, step: int) -> Batch:
        """Raise the error of making this batch at the step that uses it."""
        wanted = range(step, step + self._ahead + 1)
        for other in self._coming.keys() - set(wanted):
            self._coming.pop(other).cancel()
        for coming in wanted:
            if coming not in self._coming:
                self._coming[coming] = self._thread.submit(self._batch_at, coming)
        return self._coming.pop(step).result()
