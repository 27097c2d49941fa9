"""Speed of the filters that judge documents, beside those of datatrove on the same texts, one JSON line each.

    python -m tests.benchmarks.data.peers CORPUS --peer PYTHON

CORPUS is a folder of stage `corpus`, or a Parquet file with the columns `text` and `language`. PYTHON is the
interpreter of an environment with `datatrove`, `spacy`, `nltk` and `ftfy`. Both take the first megabytes of each
language, judge by the rules of Gopher (quality and repetition), C4 (of documents) and FineWeb, and mask e-mail
addresses; ours also looks for phone numbers, IBAN and PESEL. Seconds are those of one process, imports and one small
text before excluded; rates are MB (10^6 bytes) per CPU-second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.data.texts import megabytes, read
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.batching import batches
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.pii import masked
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.tags import tags
from tokenization.cleaning.words import Words
from tokenization.records import LANGUAGES, Language

SECONDS = 1_800
RULES = ("gopher", "gopher_repetition", "c4", "fineweb")
PEER = """
import json, sys, time
from importlib.metadata import version
from datatrove.data import Document
from datatrove.pipeline.filters import (C4QualityFilter, FineWebQualityFilter, GopherQualityFilter,
                                        GopherRepetitionFilter)
from datatrove.pipeline.formatters import PIIFormatter

texts, language = json.load(open(sys.argv[1])), sys.argv[2]
steps = [GopherRepetitionFilter(language=language), GopherQualityFilter(language=language),
         C4QualityFilter(filter_no_terminal_punct=False, min_words_per_line=-1, language=language),
         FineWebQualityFilter(language=language)]
mask = PIIFormatter(remove_ips=False)

def run(texts):
    kept = 0
    for number, text in enumerate(texts):
        document = Document(text=mask.format(text), id=str(number))
        kept += all([step.filter(document) is True for step in steps])  # all filters, as ours tag by all rules
    return kept

run(texts[:1])
began = time.process_time()
kept = run(texts)
print(json.dumps({"cpu_seconds": time.process_time() - began, "kept": kept, "datatrove": version("datatrove")}))
"""
PEER_LANGUAGE = {"en": "eng", "pl": "pol"}


def ours(texts: list[str], language: Language) -> dict[str, float]:
    policy, nothing = FilterPolicy(RULES, {}), Benchmark.of([], 13)

    def kept(some: list[str]) -> Iterator[int]:
        for batch in batches(some):
            cleaned = [masked(text, ("email",))[0] for text in batch]
            yield int((policy.decide(tags(cleaned, Words(cleaned), [{}] * len(batch), nothing, language)) == 0).sum())

    sum(kept(texts[:1]))
    began = time.process_time()
    left = sum(kept(texts))
    return {"cpu_seconds": time.process_time() - began, "kept": left}


def peer(python: str, texts: list[str], language: Language) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        command = [python, "-c", PEER, file.name, PEER_LANGUAGE[language]]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=SECONDS)
    return json.loads(done.stdout.splitlines()[-1])


def first(texts: list[str], most: float) -> list[str]:
    """Return the first texts, with at most `most` megabytes."""
    taken, size = [], 0.0
    for text in texts:
        size += len(text.encode()) / 1e6
        if size > most:
            break
        taken.append(text)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--peer", required=True, help="interpreter of an environment with datatrove")
    parser.add_argument("--megabytes", type=float, default=2, help="of each language")
    arguments = parser.parse_args()
    found = read([str(arguments.corpus)], LANGUAGES)
    for language in LANGUAGES:
        texts = first(found[language], arguments.megabytes)
        size = megabytes(texts)
        for who, result in (("ours", ours(texts, language)), ("datatrove", peer(arguments.peer, texts, language))):
            line = {"benchmark": "peers", **environment("rensa"), "who": who, "language": language,
                    "megabytes": round(size, 2), "documents": len(texts),
                    **result, "mb_per_cpu_second": round(size / result["cpu_seconds"], 3)}  # fmt: skip
            line["cpu_seconds"] = round(line["cpu_seconds"], 2)
            print(json.dumps(line), flush=True)
            append(RESULTS / "peers.jsonl", [line])


if __name__ == "__main__":
    main()
