"""What large input takes: a million files, a file of 2.2 GB, and a line of 300 MB, one JSON line per case.

    python -m tests.benchmarks.data.large                       all cases
    python -m tests.benchmarks.data.large listing

Each case runs in a process of its own. Its memory is the peak of that process, libraries included. Of the large file,
every piece is read, plain and compressed, and the first piece is cleaned as stage `corpus` does it. A line that long is
no document: it is refused, and the lines around it are cleaned.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from jobs.configs.texts import CorpusConfig
from jobs.corpus.cleaning import CleanTask, clean_piece
from tests.benchmarks.data.corpus import peak
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.cleaning.benchmark import Benchmark
from tokenization.sources.listing import Piece
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

FOLDERS, FILES_EACH = 1_000, 1_000
FILE_BYTES, LINE_BYTES = 2_200_000_000, 300_000_000
_SENTENCE = "The keeper of the lighthouse number {} lit the lamp before the ships came near the rocks. "
_ROWS = 1_000  # that are written at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help="default: all")
    context = multiprocessing.get_context("spawn")
    for case in parser.parse_args().case or CASES:
        common = {"benchmark": "large", **environment(), "case": case}
        with tempfile.TemporaryDirectory() as folder:
            make, measure = CASES[case]
            make(Path(folder))
            with context.Pool(1) as pool:
                line = pool.apply(measure, (folder,))
        print(line, flush=True)
        append(RESULTS / "large.jsonl", [common | line])


def make_files(folder: Path) -> None:
    for number in range(FOLDERS):
        below = folder / f"part={number:04d}"
        below.mkdir()
        for name in range(FILES_EACH):
            (below / f"{name:04d}.txt").write_text("A text.")


def listing(folder: str) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    found = pieces(_source(folder))
    files = sum(map(len, found))
    return _told(began, cpu) | {"files": files, "pieces": len(found)}


def make_file(folder: Path) -> None:
    with open(folder / "a.jsonl", "w") as file, gzip.open(folder / "a.jsonl.gz", "wt", compresslevel=1) as packed:
        for rows in _rows(FILE_BYTES):
            file.write(rows)
            packed.write(rows)


def large_file(folder: str) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    counts: Counter[str] = Counter()
    for name in ("a.jsonl", "a.jsonl.gz"):
        for piece in pieces(source := _source(f"{folder}/{name}")):
            for text in read(source, piece):
                counts[name] += 1
                assert isinstance(text, str)
    source = _source(f"{folder}/a.jsonl")
    report = _cleaned(source, pieces(source)[0], folder)
    told = _told(began, cpu) | {"bytes": Path(folder, "a.jsonl").stat().st_size, "cleaned_bytes": report["bytes_read"]}
    return told | {"texts": counts["a.jsonl"], "texts_compressed": counts["a.jsonl.gz"]}


def make_line(folder: Path) -> None:
    with open(folder / "a.jsonl", "w") as file:
        for rows in _rows(1_000_000):
            file.write(rows)
        file.write('{"text": "')
        for _ in range(LINE_BYTES // 1_000_000):
            file.write("long line " * 100_000)
        file.write('"}\n')
        for rows in _rows(1_000_000):
            file.write(rows)


def long_line(folder: str) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    reports = [_cleaned(source, piece, folder) for source in [_source(f"{folder}/a.jsonl")] for piece in pieces(source)]
    refused = sum((Counter(report["quarantined"]) for report in reports), Counter())
    return _told(began, cpu) | {"texts": sum(report["texts"] for report in reports), "refused": dict(refused)}


def _rows(most: int) -> Iterator[str]:
    done = 0
    for start in count(0, _ROWS):
        if done >= most:
            return
        block = "".join(
            f'{{"text": "{_SENTENCE.format(number)}{_SENTENCE.format(-number) * 5}"}}\n'
            for number in range(start, start + _ROWS)
        )
        done += len(block)
        yield block


def _source(path: str) -> Source:
    return Source(name="large", kind="files", language="en", licence="none", path=path)


def _cleaned(source: Source, piece: Piece, folder: str) -> dict[str, Any]:
    task = CleanTask(source, CorpusConfig(sources=(source,)), piece, f"{folder}/clean", "", "", "")
    return clean_piece(task, b"", Benchmark.of([], 13))


def _told(began: float, cpu: float) -> dict[str, Any]:
    spent = time.monotonic() - began, time.process_time() - cpu
    return {"seconds": round(spent[0], 1), "cpu_seconds": round(spent[1], 1), "peak_mb": round(peak() / 1e6)}


Make, Measure = Callable[[Path], None], Callable[[str], dict[str, Any]]
CASES: dict[str, tuple[Make, Measure]] = {
    "listing": (make_files, listing),
    "file": (make_file, large_file),
    "line": (make_line, long_line),
}


if __name__ == "__main__":
    main()
