"""What reaches a terminal: text of data, reports and logs without the characters that would command it, and an output
that may be closed, full or gone."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class OutputBroken(RuntimeError):
    """Standard output or standard error takes no more text."""


def printable(text: str) -> str:
    """`text` with a mark in place of every character that is not shown, except ends of lines and tabs: escape
    sequences, other control characters, and marks that turn the direction of writing."""
    text = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else REPLACEMENT for c in text)


def say(text: str = "", file: TextIO | None = None) -> None:
    """Print a line of text that may come from anywhere."""
    print(printable(text), file=file or sys.stdout, flush=True)


class StandardStream(io.TextIOWrapper):
    """A standard stream. A character that its encoding lacks is spelled out. The first write that fails raises
    OutputBroken, and what follows goes nowhere.

    While it is `patient`, as a run needs it, a write that fails raises nothing: the run goes on, or saves what it has
    and leaves if its reader has left (`rxt run | head`).
    """

    patient = False

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        message = f"{self.name.strip('<>')} cannot be written: {error.strerror}"
        if not self.patient:
            raise OutputBroken(message)
        has_left = isinstance(error, BrokenPipeError)
        if self is not sys.stderr:
            what = "saves what it has and leaves" if has_left else "goes on"
            print(f"warning: {message}; the run {what}", file=sys.stderr)
        if has_left:
            os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def patient(stream: TextIO) -> Generator[None]:
    """Let a stream be `patient` while the block lasts."""
    streams = [stream for stream in (stream, sys.stderr) if isinstance(stream, StandardStream)]
    for stream in streams:
        stream.patient = True
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
            stream.patient = False


def prepare_streams() -> None:
    """Make standard output and standard error a `StandardStream`. What was closed before this process began goes
    nowhere, and gives nothing to read."""
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:  # else the next file that is opened would be standard output
        os.set_inheritable(free, True)
    os.close(free)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        raw = stream.detach() if stream else io.BufferedWriter(io.FileIO(number, "wb", closefd=False))
        encoding = "utf-8" if stream is None else stream.encoding
        is_terminal = raw.isatty()
        setattr(sys, name, StandardStream(raw, encoding, "backslashreplace", line_buffering=is_terminal or number == 2))
