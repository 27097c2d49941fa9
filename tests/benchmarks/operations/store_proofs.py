"""What a store proves about the commands that wrote it, found without the code that wrote it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS_BETWEEN_LOOKS = 0.1
MILLISECONDS = re.compile(r"[\d.,]+ ms")
RULE = re.compile(r"\|[-:| ]+\|")  # the line below the header of a table, as wide as the table is


def complete(store: Path) -> dict[str, dict[str, str]]:
    """Return {stage: {file: sha256}} of all complete artifacts, hashed here. Fails if a manifest promises other bytes,
    or if a stage has more than one artifact."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(store.glob("*/*/manifest.json")):
        outputs = json.loads(path.read_text())["outputs"]
        hashes = {name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest() for name in outputs}
        assert hashes == {name: entry["sha256"] for name, entry in outputs.items()}, path
        assert found.setdefault(path.parents[1].name, hashes) is hashes, path
    return found


def without_times(path: Path) -> Any:
    """Return what a file of a result says, without the times that were measured while it was made: those of answers,
    and how long each stage took. Of the picture of these times nothing is left."""
    if path.name == "latency_by_turn.png":
        return b""
    if path.name == "evaluation.json":
        evaluation = json.loads(path.read_text())
        for record in evaluation["latency"]:
            for key in [key for key in record if key.endswith("_seconds")]:
                del record[key]
        return evaluation
    return list(_rows(path.read_text())) if path.suffix == ".md" else path.read_bytes()


def _rows(page: str) -> Iterator[list[str]]:
    """Give the cells of each line of a page, without the blanks that align them, and without the column `seconds` of a
    table."""
    seconds = None
    for line in page.splitlines():
        if RULE.fullmatch(line):
            continue
        cells = [MILLISECONDS.sub("ms", cell).strip() for cell in line.split("|")]
        if "seconds" in cells or len(cells) == 1:  # another table, or a line outside
            seconds = cells.index("seconds") if "seconds" in cells else None
        yield [cell for number, cell in enumerate(cells) if number != seconds]


def last_step(store: Path, stage: str) -> int:
    """Return the highest step that a stage has reported, 0 without one."""
    lines = (line for path in store.glob(f"{stage}/*/metrics.jsonl") for line in path.read_text().splitlines())
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


class WriterWatch(threading.Thread):
    """Looks at a store many times a second and notes which command made each new file. Each command runs under its own
    group id, and later ones have higher ids, so the group of a file names its command. Use it as a context."""

    def __init__(self, store: Path) -> None:
        super().__init__(name="writer-watch", daemon=True)
        self._store, self._ended = store, threading.Event()
        self._seen: set[tuple[str, int]] = set()
        self._newest: dict[str, int] = {}
        self.violations: list[str] = []  # files that a command made in an attempt after a later command had begun there
        self.files = 0

    def __enter__(self) -> WriterWatch:
        self._look()
        self.violations.clear()  # when and by whom older files were made is not known any more
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._look()

    def run(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        fresh = []
        for entry in _files(self._store):
            attempt, _, name = os.path.relpath(entry.path, self._store).rpartition("/")
            attempt = "/".join(Path(attempt).parts[:2])
            if "/" not in attempt or (attempt, entry.inode()) in self._seen:
                continue
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # replaced meanwhile
                continue
            self._seen.add((attempt, entry.inode()))
            fresh.append((stat.st_ctime_ns, attempt, stat.st_gid, name))
        for _, attempt, group, name in sorted(fresh):
            newest = self._newest.setdefault(attempt, group)
            if group < newest:
                self.violations.append(f"{attempt}/{name}: by command {group}, after {newest} had begun to write there")
            self._newest[attempt] = max(group, newest)
        self.files += len(fresh)


def _files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Give all files below a folder. What vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            yield entry
