"""Read result lines, and make tables and sentences of the documentation from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Line = dict[str, Any]
STATEMENTS: dict[str, Callable[[], str]] = {}


def statement(function: Callable[[], str]) -> Callable[[], str]:
    """Register a function that writes the block of its name."""
    STATEMENTS[function.__name__.replace("_", "-")] = function
    return function


@cache
def lines(name: str) -> list[Line]:
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def newest(name: str, **fields: Any) -> Line:
    """Return the last line with these values. Raises IndexError if there is none."""
    return [line for line in lines(name) if line.items() >= fields.items()][-1]


def of_seeds(name: str, **fields: Any) -> list[Line]:
    """Return the last line with these values for each seed of training by the code of the newest such line, in the
    order of seeds. Raises IndexError if there is none."""
    commit = newest(name, **fields)["artifact_commit"]
    found = [line for line in lines(name) if line.items() >= (fields | {"artifact_commit": commit}).items()]
    return list(
        {line["training_seed"]: line for line in sorted(found, key=lambda line: line["training_seed"])}.values()
    )


def source(name: str, *used: Line) -> str:
    devices, commits = (list(dict.fromkeys(line[key] for line in used)) for key in ("device", "commit"))
    code = " and ".join(f"`{commit[:7]}`" for commit in commits)
    return f"({', '.join(devices)}; code of {code}; [lines](RESULTS/{name}.jsonl))"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Make a table with the first column aligned left, the others right."""
    header = list(header)
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows))


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def span(values: Iterable[float], form: str) -> str:
    values = list(values)
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def listed(values: Iterable[str]) -> str:
    *first, last = values
    return f"{', '.join(first)} and {last}" if first else last


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def interval(line: Line, digits: int = 0) -> str:
    """The 95 % interval of a share, in percent."""
    return f"{100 * line['low']:.{digits}f} to {100 * line['high']:.{digits}f}"
