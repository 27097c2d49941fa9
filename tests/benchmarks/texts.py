"""Texts for benchmarks of the data plane, and what every line about them says."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import fsspec
import pyarrow.parquet as pq

from pipelines.revision import commit

RESULTS = Path(__file__).parent / "results"


def read(places: list[str], languages: tuple[str, ...]) -> dict[str, list[str]]:
    """Texts by language from Parquet files with the columns `text` and `language`, or folders of them (fsspec URLs)."""
    texts: dict[str, list[str]] = {language: [] for language in languages}
    for place in places:
        fs, path = fsspec.url_to_fs(place)
        for file in sorted(fs.glob(f"{path}/*.parquet")) if fs.isdir(path) else [path]:
            with fs.open(file) as opened:
                table = pq.read_table(opened, columns=["text", "language"])
            for text, language in zip(*(table[name].to_pylist() for name in ("text", "language")), strict=True):
                if language in texts:
                    texts[language].append(text)
    for language, found in texts.items():
        if not found:
            sys.exit(f"{' '.join(places)}: no text whose column `language` says {language!r}")
    return texts


def megabytes(texts: list[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def cpu_seconds() -> float:
    """Of this process and all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def machine(*packages: str) -> dict:
    """When, with which code and where."""
    from jobs.evaluation.latency import device_name

    return {
        "time": round(time.time()),
        "commit": commit(),
        "device": device_name(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
