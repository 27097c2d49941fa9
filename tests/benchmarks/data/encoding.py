"""Encoding speed on text seen for the first time, beside `tokenizers.encode_batch_fast`, per CPU second.

    .venv/bin/python -m tests.benchmarks.data.encoding STORE/tokenizer/ID/tokenizer.json STORE/corpus/ID

Every measurement is a process of its own, so that no cache of words is warm; the ids of both are compared on all that
the reference encodes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from itertools import accumulate
from statistics import median

import numpy as np

from tests.benchmarks.data.texts import cpu_seconds, megabytes, read
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.encoder import Reference, engine
from tokenization.bpe.tokenizer import Tokenizer

LANGUAGES = ("en", "pl")
CASES = ("en", "pl", "mixed")
LEAST_RATIO = 8
BATCH = 64


def measure(options: argparse.Namespace) -> dict:
    texts = read(options.corpus, LANGUAGES)
    chosen = [text for name in LANGUAGES if options.case in (name, "mixed") for text in texts[name]]
    random.Random(0).shuffle(chosen)
    sizes = accumulate(len(text.encode()) for text in chosen)
    chosen = (
        chosen[: sum(size <= options.reference_mb * 1e6 for size in sizes)]
        if options.engine == "tokenizers"
        else chosen
    )
    content = Tokenizer.load(options.tokenizer).content
    encoder = Reference(content) if options.engine == "tokenizers" else engine(content)
    parts, before = [], cpu_seconds()
    for start in range(0, len(chosen), BATCH):
        parts.append(encoder.encode_flat(chosen[start : start + BATCH])[0])
    seconds = cpu_seconds() - before
    ids = np.concatenate(parts)
    line = {"engine": options.engine, "class": type(encoder).__name__, "text": options.case}
    line |= {"texts": len(chosen), "mb": round(megabytes(chosen), 1), "tokens": len(ids), "cpu_s": seconds}
    if options.engine == "ours":
        sample = chosen[:: max(1, len(chosen) // 2_000)]
        pairs = zip(encoder.encode_flat(sample), Reference(content).encode_flat(sample), strict=True)
        line |= {"compared": len(sample), "same_ids": all(np.array_equal(one, other) for one, other in pairs)}
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", help="tokenizer.json")
    parser.add_argument("corpus", nargs="+", help="Parquet files, or folders of them, with `text` and `language`")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--reference-mb", type=float, default=10, help="of text for `tokenizers`")
    parser.add_argument("--engine", choices=("ours", "tokenizers"), help="measure once, here, and print the line")
    parser.add_argument("--case", choices=CASES, default="mixed", help="with --engine")
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(measure(options)))
        return
    common = {"case": "encoding", **environment("tokenizers", "snaptokens", "numpy")}
    for case in CASES:
        rates: dict[str, float] = {}
        for name in ("tokenizers", "ours"):
            lines = []
            for _ in range(options.turns):
                command = [sys.executable, *sys.orig_argv[1:], "--engine", name, "--case", case]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                lines.append(json.loads(done.stdout.splitlines()[-1]))
            seconds = [line.pop("cpu_s") for line in lines]
            line = common | lines[0] | {"turns": len(lines), "median_s": round(median(seconds), 3)}
            line |= {"min_s": round(min(seconds), 3), "max_s": round(max(seconds), 3)}
            rates[name] = line["tokens"] / median(seconds)
            line["mb_per_cpu_s"] = round(line["mb"] / median(seconds), 1)
            line["tokens_per_cpu_s"] = round(rates[name])
            if name == "ours":
                ratio = rates["ours"] / rates["tokenizers"]
                line |= {"ratio": round(ratio, 1), "target": LEAST_RATIO}
                line["met"] = ratio >= LEAST_RATIO and line["same_ids"]
            append(RESULTS / "encoding.jsonl", [line])
            print(json.dumps(line))


if __name__ == "__main__":
    main()
