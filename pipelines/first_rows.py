"""What the previews of texts and of conversations share: how much they look at, and what they say of refused rows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from pipelines.display import console_on
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.quarantine import Rejected

LOOKED_AT = 1_000  # rows that are counted
SHOWN = 5  # documents or conversations that are printed


class Refused:
    """Rows that could not be read or used: how many by reason, and the first of each reason."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self._first: dict[str, Rejected] = {}

    def __bool__(self) -> bool:
        return bool(self._times)

    def __str__(self) -> str:
        return "; ".join(map(str, self._first.values()))

    def add(self, rejected: Rejected) -> None:
        self._times[rejected.reason] += 1
        self._first.setdefault(rejected.reason, rejected)

    def lines(self) -> Iterator[str]:
        """Yield a line for each reason, the most frequent first."""
        for reason, times in self._times.most_common():
            yield f"refused {times:,}: {reason}; the first: {self._first[reason]}"

    def as_object(self) -> dict[str, Any]:
        """Return `{reason: {"rows", "first"}}`."""
        return {reason: {"rows": times, "first": str(self._first[reason])} for reason, times in self._times.items()}


def as_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the tokens as text, with control tokens by their names."""
    parts = []
    for control, run in groupby(ids, lambda token: token < len(SPECIAL_TOKENS)):
        tokens = list(run)
        parts += [SPECIAL_TOKENS[token] for token in tokens] if control else [tokenizer.decode(tokens)]
    return "".join(parts)


def say(*lines: str) -> None:
    """Print lines as they are, however long they are."""
    console = console_on(sys.stdout)
    for line in lines:
        console.print(line, soft_wrap=True)
