"""The process in which tools run. It reads JSON lines from standard input and answers each with one line.

The first line holds the passages to look things up in, `[[source, text], …]`, and is answered with `{}`. Each other
line is `[tool, argument]`, and its answer `{"text": …, "source": …, "failed": …}`. Python's own modules suffice, so the
process starts in a few hundredths of a second.

Once it has started, it opens no file, no connection and no process, and its memory is limited. This keeps mistakes in;
it is no wall against a tool that wants to break out, as the tools here are ours.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from tokenization.tools.calculator import CalculatorError, calculate
from tokenization.tools.calls import CALCULATOR, ERROR, LOOK_UP, NOTHING_FOUND
from tokenization.tools.search import Index, Passage

MEMORY = 1 << 30  # bytes of addresses
_REFUSED = ("open", "socket.", "os.", "subprocess.", "ctypes.", "shutil.", "urllib.", "import")


def main() -> None:
    """Answer until standard input ends."""
    confine()
    index: Index | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        if index is None:
            index, answer = Index(Passage(*one) for one in asked), {}
        else:
            answer = run(index, *asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(index: Index, tool: str, argument: str) -> dict[str, Any]:
    """Run a tool."""
    if tool == CALCULATOR:
        try:
            return {"text": calculate(argument), "source": "", "failed": False}
        except CalculatorError as error:
            return {"text": f"{ERROR}{error}", "source": "", "failed": True}
    if tool == LOOK_UP and index.passages:
        found = index.best(argument)
        return {
            "text": found.text if found else NOTHING_FOUND,
            "source": found.source if found else "",
            "failed": False,
        }
    return {"text": f"{ERROR}there is no tool {tool!r}", "source": "", "failed": True}


def confine() -> None:
    """Take from this process what no tool needs. There is no way back."""
    for limit, value in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (value, value))
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED):
        raise PermissionError(f"a tool may not: {event}")
