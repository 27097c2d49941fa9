"""Run tools in a process of their own, each call with a limit of time and of length."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tokenization.tools.calls import ERROR, ToolCall
from tokenization.tools.search import Passage

SECONDS = 5.0  # for a call
SECONDS_TO_START = 60.0  # with the passages of all documents
CHARACTERS = 400  # of a result
CUT = " … (cut)"
_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from tokenization.tools.worker import main; main()"


@dataclass(frozen=True)
class ToolResult:
    """What the model is told, the file that it comes from (empty if there is none), and whether the call failed."""

    text: str
    source: str = ""
    failed: bool = False

    @classmethod
    def error(cls, reason: str) -> ToolResult:
        """The result of a call that failed."""
        return cls(f"{ERROR}{reason}", failed=True)


class _NoAnswer(RuntimeError):
    """The process did not answer in time, or it ended. The message says which."""


class Toolbox:
    """A calculator, and with `passages` a look-up in them. The process (`tokenization.tools.worker`) starts at the
    first call. One that does not answer is killed, and the next call starts another. Usable as a context manager."""

    def __init__(
        self, passages: Sequence[Passage] = (), seconds: float = SECONDS, characters: int = CHARACTERS
    ) -> None:
        self.passages, self.seconds, self.characters = passages, seconds, characters
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, call: ToolCall) -> ToolResult:
        """Run a call. Whatever happens to it is a result, for the model to hear of."""
        try:
            if self._process is None:
                self._start()
            answer = self._ask([call.name, call.argument], self.seconds)
            result = ToolResult(**answer)
        except BaseException as error:  # an interrupt, too, would leave an answer behind for the next call to read
            self.close()
            if isinstance(error, _NoAnswer):
                return ToolResult.error(f"{call.name} {error}")
            if isinstance(error, OSError):
                return ToolResult.error(f"{call.name} cannot be started: {error.strerror}")
            raise
        if len(result.text) > self.characters:
            return ToolResult(result.text[: self.characters] + CUT, result.source, result.failed)
        return result

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        """Start the process, away from our environment, folder, standard error and Ctrl-C."""
        command = [sys.executable, "-I", "-S", "-c", _START, str(_ROOT)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
        self._ask([astuple(passage) for passage in self.passages], SECONDS_TO_START)

    def _ask(self, message: object, seconds: float) -> dict[str, Any]:
        """Write a line and read one, both before the time is up."""
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        inward, outward = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(inward, False)
        unsent, received = memoryview(json.dumps(message).encode() + b"\n"), bytearray()
        end = time.monotonic() + seconds
        while not received.endswith(b"\n"):
            left = end - time.monotonic()
            readable, writable, _ = select.select([outward], [inward] if unsent else [], [], max(0.0, left))
            if not readable and not writable:
                raise _NoAnswer(f"took longer than {seconds:g} s")
            try:
                if writable:
                    unsent = unsent[os.write(inward, unsent) :]
            except BrokenPipeError:
                raise _NoAnswer("stopped") from None
            if readable:
                received += (piece := os.read(outward, 1 << 16))
                if not piece:
                    raise _NoAnswer("stopped")
        return json.loads(received)
