"""Answers to questions about scenes, which tell of life as people do: one JSON line per arm.

    python -m tests.benchmarks.memory.scenes --model ARTIFACT/model --baseline ARTIFACT/model \
        --tokenizer ARTIFACT/tokenizer.json --training-seed 0

The scenes are those of the test split (`tokenization.dialogues.broad.scenes`). An answer is right if it holds the value
and no other value that was told, but for those of the clause to quote.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import torch

from jobs.evaluation.rates import Outcome, rate
from jobs.evaluation.recall import ask
from tests.benchmarks.memory.quoting import RIVALS
from tests.benchmarks.memory.speaking import encode, load_speaker, quotations
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.dialogues.broad.scene_speech import tell_scene
from tokenization.dialogues.spec import DialogueSpec
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, Conversation

SPEC = DialogueSpec(turns=(3, 8), unknown=0.25)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    tokenizer, conversations = Tokenizer.load(arguments.tokenizer), told(arguments.conversations)
    common = {
        "case": "scenes",
        **environment("torch"),
        "training_seed": arguments.training_seed,
        "conversations": len(conversations),
    }
    lines = []
    for uri in filter(None, (arguments.model, arguments.baseline)):
        speaker, model = load_speaker(uri, tokenizer, 0)
        length = speaker.model.config.length
        encoded = [encode(tokenizer, conversation, length) for conversation in conversations]
        outcomes, _ = ask(speaker, tokenizer, encoded, 64, teacher_forced=False, controls=True)
        lines += [
            common | model | {"arm": arm} | of_both(outcome for outcome in outcomes if outcome.arm == arm)
            for arm in speaker.arms
        ]
    found = quotations(tokenizer, encoded)
    lines += [common | {"arm": arm} | of_both(outcome for outcome in found if outcome.arm == arm) for arm in RIVALS]
    append(arguments.results, lines)
    for line in lines:
        told_share, refused = (100 * line[name]["accuracy"] for name in ("told", "never_told"))
        print(f"{line['arm']:13} told {told_share:5.1f} %  never told, refused {refused:5.1f} %")


def told(count: int) -> list[Conversation]:
    """Return `count` conversations of each language."""
    return [
        tell_scene(SPEC, language, "test", Random(stable_hash(f"benchmark/{name}")), name)
        for language in LANGUAGES
        for name in (f"scenes-{language}-{index}" for index in range(count))
    ]


def of_both(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the rates of questions about what was told, and of those about what was not."""
    parts: dict[str, list[Outcome]] = {"told": [], "never_told": []}
    for outcome in outcomes:
        parts["never_told" if outcome.question.probe.kind == "unknown" else "told"].append(outcome)
    return {name: rate(found) for name, found in parts.items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder of an RxT, any fsspec URL")
    parser.add_argument("--baseline", help="model folder of the stateless decoder (default: no rival)")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--training-seed", type=int, required=True, help="seed the models were trained with")
    parser.add_argument("--conversations", type=int, default=500, help="of each language")
    parser.add_argument("--results", type=Path, default=RESULTS / "scenes.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
