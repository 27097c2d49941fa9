"""Decide which conversations are left out: those that share words with a benchmark, and those equal to an earlier one.

Each partition of a data set gives one key per conversation. One decision over the keys of all partitions, in order,
says what stays. It names keys and not places, so it still holds if less or more of a partition can be read next time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tokenization.cleaning.duplicates import first_alike
from tokenization.cleaning.pii import Pii
from tokenization.cleaning.removals import Removal
from tokenization.quarantine import Rejected


def _none() -> np.ndarray:
    return np.empty(0, np.uint64)


@dataclass(frozen=True, eq=False)
class Survey:
    """What a partition holds: `keys`, uint64 [C], of its conversations in order (equal conversations have equal keys);
    `benchmark`, the keys of those that share words with a benchmark; `lost`, what could not be read; `repaired`
    (`Repairs.as_dict`) and `pii`, what was found in its conversations (`sources.Noted`); and `rejected`, the number of
    rows by reason that are no conversations, with the first."""

    keys: np.ndarray
    benchmark: np.ndarray
    lost: tuple[Rejected, ...]
    repaired: dict[str, dict[str, Any]]
    pii: Mapping[Pii, Counter[str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    first_rejected: Rejected | None = None


@dataclass(frozen=True, eq=False)
class Screen:
    """What is left out of a partition, as sorted uint64 keys: `benchmark` (shares words with a benchmark), `earlier`
    (an earlier partition has it), and `again` (this partition has it more than once, and only the first stays). Two
    screens have the same `repr` if they leave out the same, of the same content, and could read the same."""

    benchmark: np.ndarray = field(default_factory=_none)
    earlier: np.ndarray = field(default_factory=_none)
    again: np.ndarray = field(default_factory=_none)
    lost: tuple[Rejected, ...] = ()
    repaired: dict[str, dict[str, Any]] = field(default_factory=dict)
    pii: Mapping[Pii, Counter[str]] = field(default_factory=dict)
    content: np.ndarray = field(default_factory=_none)  # the keys of all, in order
    rejected: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        parts = self.benchmark, self.earlier, self.again, self.content
        digests = (hashlib.sha256(keys.tobytes()).hexdigest() for keys in parts)
        return f"Screen({', '.join(digests)}, {self.lost})"

    def sieve(self) -> Callable[[int], Removal | None]:
        """Return a function for one pass over the partition. For a key it says why the conversation goes, or None."""
        benchmark, again = set(self.benchmark.tolist()), set(self.again.tolist())
        seen = set(self.earlier.tolist())

        def reason(key: int) -> Removal | None:
            if key in benchmark:
                return "benchmark"
            if key in seen:
                return "duplicate"
            if key in again:
                seen.add(key)
            return None

        return reason


def screens(surveys: Sequence[Survey]) -> list[Screen]:
    """Make a screen for each partition: of equal conversations the first stays. Needs 40 bytes per conversation."""
    keys = np.concatenate([_none(), *(survey.keys for survey in surveys)])
    counts = [len(survey.keys) for survey in surveys]
    partition = np.repeat(np.arange(len(surveys), dtype=np.int32), counts)
    first = first_alike(keys)
    later, elsewhere = first != np.arange(len(keys)), partition[first] != partition
    return [
        Screen(
            np.unique(survey.benchmark),
            np.unique(keys[start:stop][elsewhere[start:stop]]),
            np.unique(keys[start:stop][(later & ~elsewhere)[start:stop]]),
            survey.lost,
            survey.repaired,
            survey.pii,
            survey.keys,
            survey.rejected,
        )
        for survey, (start, stop) in zip(surveys, pairwise(np.cumsum([0, *counts])), strict=True)
    ]
