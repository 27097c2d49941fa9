"""Prints what the user sees: the stage table, and a line for each running stage that is live on a terminal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.guard.secrets import redacted
from pipelines.guard.terminal import printable
from pipelines.planner import StageStatus
from pipelines.tracker.database import sqlite_path

SECONDS_BETWEEN_LINES = 5.0
COLOURS = {
    "complete": "green",
    "running": "cyan",
    "stale": "yellow",
    "interrupted": "yellow",
    "failed": "red",
    "missing": "default",
    "blocked": "bright_black",
}


def console_on(file: TextIO) -> Console:
    """A console on `file`. Without a terminal it folds no lines."""
    width = None if file.isatty() else 1000
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


class Board:
    """Shows the progress of the running stages. It is a context; any thread may call its methods."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._running: dict[str, _Progress] = {}
        self._lock = threading.RLock()  # a signal handler may print while its thread does
        self._live = Live(console=console, get_renderable=self._lines, refresh_per_second=4, transient=True)

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def line(self, text: str, style: str | None = None) -> None:
        """Prints one line that stays."""
        with self._lock:
            self.console.print(Text(printable(redacted(text)), style=style or ""), soft_wrap=True)

    def started(self, stage: str) -> None:
        with self._lock:
            self._running[stage] = _Progress(stage)

    def progress(self, stage: str, done: int, total: int, note: str = "") -> None:
        with self._lock:
            running = self._running.get(stage)
            if running is None:
                return
            running.update(done, total, note)
            say = not self.console.is_terminal and running.is_due()
        if say:
            self.line(str(running))

    def finished(self, stage: str) -> None:
        with self._lock:
            self._running.pop(stage, None)

    def _lines(self) -> Group:
        running = list(self._running.values())  # no lock: `line` holds it while it waits for this thread's
        return Group(*(Text(printable(str(progress)), no_wrap=True, overflow="ellipsis") for progress in running))


@dataclass
class _Progress:
    """The line of one stage. Its estimate of the time left uses the pace since the first report of this session. A
    count that falls back begins a new pass, and the pace is measured anew."""

    stage: str
    done: int = 0
    total: int = 0
    note: str = ""
    first: int | None = None
    since: float = 0.0
    printed: float = 0.0

    def update(self, done: int, total: int, note: str) -> None:
        if self.first is None or done < self.done:
            self.first, self.since = done, time.monotonic()
        self.done, self.total, self.note = done, total, note

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self.printed < SECONDS_BETWEEN_LINES and self.done != self.total:
            return False
        self.printed = now
        return True

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.stage}: starting"
        parts = [f"{self.stage}: {self.done:,}/{self.total:,}", self.note]
        if self.first < self.done < self.total:
            left = (time.monotonic() - self.since) / (self.done - self.first) * (self.total - self.done)
            parts.append(f"{duration(left)} left")
        return "   ".join(part for part in parts if part)


def stage_table(statuses: Iterable[StageStatus]) -> Table:
    """Where each stage stands, a row per stage."""
    table = _table("stage", "state", "artifact", "took", "result", "note")
    for status in statuses:
        manifest = status.manifest
        table.add_row(
            status.stage.name,
            Text(status.state, style=COLOURS[status.state]),
            status.attempt.artifact_id if status.attempt else "-",
            duration(manifest["seconds"]) if manifest else "-",
            printable(manifest["result"]) if manifest else "",
            printable(status.reason),
        )
    return table


def training_share(statuses: Iterable[StageStatus]) -> str | None:
    """One line about all stages that trained, now or earlier: which share of the time in `fit` they spent in steps.
    None if no such stage is complete."""
    metrics = {status.stage.name: status.made.manifest["metrics"] for status in statuses if status.is_complete}
    trained = {stage: found for stage, found in metrics.items() if "seconds_in_fit" in found}
    if not trained:
        return None
    in_steps, whole = (sum(found[key] for found in trained.values()) for key in ("seconds_in_steps", "seconds_in_fit"))
    return f"{in_steps / whole:.0%} of {duration(whole)} of training were spent in steps: {', '.join(trained)}"


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> Table:
    """A table. With `numbers`, all columns but the first are aligned on the right."""
    table = _table(*header)
    for column in table.columns[1:] if numbers else ():
        column.justify = "right"
    for row in rows:
        table.add_row(*map(printable, row))
    return table


def print_table(console: Console, table: Table) -> None:
    """Prints a table without the spaces that fill its last column."""
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")


def duration(seconds: float) -> str:
    """`48 s`, `2 min 5 s`, `1 h 05 min`."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 and whole < 600 else "")
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def byte_size(count: int) -> str:
    """`24.0 KiB`, `2.73 GiB`: three digits."""
    power = min(3, max(0, count.bit_length() - 1) // 10)
    shown = count / 1024**power
    decimals = 0 if power == 0 or shown >= 100 else 1 if shown >= 10 else 2
    return f"{shown:,.{decimals}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def short_path(url: str) -> str:
    """A local path relative to the current folder, if that is shorter. URLs stay as they are."""
    path = str(sqlite_path(url)) if url.startswith("sqlite:///") else url
    if "://" in path:
        return url
    try:
        relative = os.path.relpath(path)
    except FileNotFoundError:  # somebody deleted the current folder
        return path
    return path if relative.startswith("..") or path == f"/{relative}" else relative


def _table(*header: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    return table
