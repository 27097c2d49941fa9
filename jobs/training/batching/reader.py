"""Which rows of every global batch a rank reads, and reading them ahead.

A batch is a pure function of (seed, step), and a rank's part of it of (rank, ranks): a resumed run needs no state but
its step, and any number of ranks together reads the same batches. How long rows are is known from the offsets in their
shards, so a rank reads the tokens of its own rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.training.batching.batches import Batch, Lengths
from tokenization.records import ShardRow
from tokenization.shards.reader import ShardReader, global_batch

# rows of one rank, lengths of all rows of the global batch, and the step
Collate = Callable[[list[ShardRow], Lengths, int], Batch]


@dataclass(frozen=True)
class Share:
    """What rank `rank` of `ranks` has of every batch."""

    rank: int
    ranks: int

    def places(self, rows: int) -> np.ndarray:
        """Its places among so many rows; parts differ by at most one row. Rows are dealt to and fro, so that parts of
        a batch in order of length are about equally long, and no rank waits for another."""
        lap, place = np.divmod(np.arange(rows), self.ranks)
        return np.flatnonzero(np.where(lap % 2, self.ranks - 1 - place, place) == self.rank)


WHOLE = Share(0, 1)


def batch_reader(
    reader: ShardReader, seed: int, batch_size: int, collate: Collate, share: Share, alike: int = 1
) -> Callable[[int], Batch]:
    """This rank's part of the global batch of each step, whose rows are dealt out longest first. The rows of `alike`
    batches in a row are exchanged among these, so that each has rows of like length."""
    rows_at = _alike(reader, seed, batch_size, alike)

    def batch_at(step: int) -> Batch:
        rows = rows_at(step)
        lengths = reader.lengths(rows)
        tokens = np.array([turns.sum() for turns in lengths])
        mine = np.argsort(-tokens, kind="stable")[share.places(batch_size)]
        return collate(reader.rows(rows[mine]), lengths, step)

    return batch_at


def _alike(reader: ShardReader, seed: int, batch_size: int, alike: int) -> Callable[[int], np.ndarray]:
    """Return a function from a step to the rows of its global batch. It sorts the rows of `alike` steps by their turns
    and by their longest turn, cuts them into batches, and draws the order of these from the seed."""
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
