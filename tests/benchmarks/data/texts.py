"""Read texts for benchmarks of the data plane, and measure their size and the CPU seconds of a process."""

from __future__ import annotations

import resource
import sys

import fsspec
import pyarrow.parquet as pq


def read(places: list[str], languages: tuple[str, ...]) -> dict[str, list[str]]:
    """Return texts by language from Parquet files with the columns `text` and `language`, from folders of them, or from
    a folder of stage `corpus`, which holds other files, too (fsspec URLs)."""
    texts: dict[str, list[str]] = {language: [] for language in languages}
    for place in places:
        fs, path = fsspec.url_to_fs(place)
        inside = fs.glob(f"{path}/documents-*.parquet") or fs.glob(f"{path}/*.parquet")
        for file in sorted(inside) if fs.isdir(path) else [path]:
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
    """Return the CPU seconds of this process and all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
