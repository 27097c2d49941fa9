"""Recall of trained models, one JSON line per arm, mode and group of questions.

    python -m tests.benchmarks.memory.recall --model ARTIFACT/model --baseline ARTIFACT/model \
        --shards ARTIFACT --tokenizer ARTIFACT/tokenizer.json --training-seed 0
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from jobs.evaluation.conversations import load_conversations
from jobs.evaluation.rates import Outcome, rate, tabulate
from jobs.evaluation.recall import ask
from tests.benchmarks.memory.quoting import RIVALS
from tests.benchmarks.memory.speaking import load_speaker, quotations
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.records import BROAD
from tokenization.shards.reader import ShardReader

GROUPS = ("distance", "facts", "language", "kind")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    tokenizer = Tokenizer.load(arguments.tokenizer)
    conversations = load_conversations(ShardReader(arguments.shards, "test"), arguments.questions, arguments.seed)
    common = {
        "case": "recall",
        **environment("torch"),
        "threads": arguments.threads,
        "training_seed": arguments.training_seed,
        "evaluation_seed": arguments.seed,
        "conversations": len(conversations),
    }
    lines = []
    for uri in filter(None, (arguments.model, arguments.baseline)):
        speaker, model = load_speaker(uri, tokenizer, arguments.seed)
        about = common | model
        for forced in (False, True):
            outcomes, _ = ask(
                speaker, tokenizer, conversations, arguments.batch_size, teacher_forced=forced, controls=not forced
            )
            for arm in speaker.arms[: 1 if forced else None]:
                mode = {"arm": arm, "writes": "teacher-forced" if forced else "free-running"}
                lines += lines_of(about | mode, [outcome for outcome in outcomes if outcome.arm == arm])
    quoted = quotations(tokenizer, conversations)
    for arm in RIVALS:
        mode = {"arm": arm, "writes": "user turns"}
        lines += lines_of(common | mode, [outcome for outcome in quoted if outcome.arm == arm])
    append(arguments.results, lines)
    for line in lines:
        if line["group"] == "1-4":
            print(f"{line['arm']:13} {line['writes']:14} {100 * line['accuracy']:5.1f} %  n {line['n']}")


def lines_of(about: dict[str, Any], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return a line for each group of the questions of an arm."""
    groups = tabulate(outcomes)
    figures = groups["all"]
    cells = [("distance", "1-4", figures["distance_1_to_4"])]
    cells += [(by, group, cell) for by in GROUPS for group, cell in figures[f"by_{by}"].items()]
    cells += [("generator", name, cell) for name, cell in by_generator(outcomes).items()]
    near = {name: group.get("distance_1_to_4") for name, group in groups.items() if name != "all"}
    cells += [("headline", name, cell) for name, cell in near.items() if cell]
    return [about | {"by": by, "group": group} | cell for by, group, cell in cells]


def by_generator(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Return the rates of questions about what was told, for conversations of templates and for broad ones."""
    told: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        probe = outcome.question.probe
        if probe.kind != "unknown":
            name = "broad" if probe.slot.startswith(f"{BROAD}/") else "template"
            told.setdefault(name, []).append(outcome)
    return {name: rate(found) for name, found in sorted(told.items())}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder of an RxT, any fsspec URL")
    parser.add_argument("--baseline", help="model folder of the stateless decoder (default: no rival)")
    parser.add_argument("--shards", required=True, help="artifact of conversation shards with a test split")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--training-seed", type=int, required=True, help="seed the models were trained with")
    parser.add_argument("--questions", type=int, default=1000, help="least number of each generator")
    parser.add_argument("--seed", type=int, default=0, help="which conversations, and initial memories")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "recall.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
