"""Thinking in `rxt chat`: the commands that choose between fast and thinking answers, and how thoughts are shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines.guard.terminal import printable
from rxt_model.generate import Mode, in_circles
from tokenization.bpe.special_tokens import ANSWER, SPECIAL_TOKENS, THINK
from tokenization.bpe.tokenizer import INCOMPLETE, Tokenizer

MODES: dict[str, tuple[Mode, str]] = {
    "/think": ("thinking", "from now on I think before I answer"),
    "/fast": ("fast", "from now on I answer at once"),
    "/auto": ("auto", "from now on I choose whether to think before I answer"),
}
HELP = "/think /fast think before each answer, or answer at once; /auto lets the model choose, as at the start"
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class Thoughts:
    """Prints the thoughts of one answer as they are made: `(thinks: …)`, dimmed on a terminal, and the answer below."""

    def __init__(self, tokenizer: Tokenizer, limit: int) -> None:
        self._tokenizer, self._limit = tokenizer, limit
        self._dim, self._plain = (DIM, PLAIN) if sys.stdout.isatty() else ("", "")
        self._shown = ""
        self._open = False

    def show(self, ids: Sequence[int]) -> None:
        """Print what is new in the ids of the answer so far."""
        if ids[:1] != [THINK]:
            return
        if len(ids) == 1:
            self._open = True
            print(f"{self._dim}(thinks: ", end="", flush=True)
        elif self._open:
            end = next((place for place, token in enumerate(ids[1:], 1) if token < len(SPECIAL_TOKENS)), None)
            thoughts = ids[1:end]
            text = self._tokenizer.decode(thoughts).rstrip(INCOMPLETE)
            print(printable(text.removeprefix(self._shown)), end="", flush=True)
            self._shown = text
            if end is not None:  # an answer, or a call without one
                self.end(_why_stopped(thoughts, self._limit) if ids[end] == ANSWER else "")

    def end(self, why: str = "") -> None:
        """Close the bracket, if it is open."""
        if self._open:
            self._open = False
            print(f"{why}){self._plain}\n     ", end="", flush=True)


def _why_stopped(thoughts: Sequence[int], limit: int) -> str:
    if len(thoughts) >= limit:
        return f" … stopped after {limit} tokens, as thinking may not take more"
    return " … stopped, as it went in circles" if in_circles(thoughts) else ""
