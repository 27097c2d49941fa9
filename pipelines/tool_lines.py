"""What the chat shows of tools: the call in the line of the answer that made it, and the result in a line of its own.

you> What is 128 plus 46?
rxt> [calculator: 128 + 46]
tool> 174
rxt> That makes 174.
"""

from __future__ import annotations

from jobs.tools.loop import CalledTooOften, ToolAnswered, ToolCalled
from pipelines.guard.terminal import printable
from tokenization.tools.calls import ToolCall

MOST_SHOWN = 200  # characters of what is no call
ENDLESS = "     (the model calls tools without end, so the turn ends here)"


def line_of(event: ToolCalled | ToolAnswered | CalledTooOften) -> str:
    """What follows in the terminal after what was printed of the answer. After results, a new answer begins."""
    if isinstance(event, ToolCalled):
        call = event.call
        shown = f"{call.name}: {call.argument}" if isinstance(call, ToolCall) else f"call: {call[:MOST_SHOWN]}"
        return f"[{_one_line(shown)}]"
    if isinstance(event, CalledTooOften):
        return f"\n{ENDLESS}"
    results = (f"{result.source}: {result.text}" if result.source else result.text for result in event.results)
    return "".join(f"\ntool> {_one_line(result)}" for result in results)


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())
