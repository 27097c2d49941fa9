"""Begin every result line with where it comes from: when, which code, which machine and which packages."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipelines.revision import commit

RESULTS = Path(__file__).parent / "results"


def environment(*packages: str, device: str = "") -> dict[str, str | int | float]:
    """Return the fields that begin a line. `device` names what was measured, if that is not the CPU of this machine;
    `load` says what else the machine was doing. Raises `PackageNotFoundError` for a package that is not installed."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": device or _processor(),
        "cpus": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def append(file: Path, lines: Iterable[dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.writelines(json.dumps(line) + "\n" for line in lines)


def _processor() -> str:
    from jobs.evaluation.latency import device_name  # needs more packages than the benchmarks of a GPU do

    return device_name("cpu")
