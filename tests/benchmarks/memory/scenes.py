"""Answers to questions about scenes, which tell of life as people do: one JSON line per arm.

    python -m tests.benchmarks.memory.scenes --model ARTIFACT/model --baseline ARTIFACT/model \
        --tokenizer ARTIFACT/tokenizer.json --training-seed 0

The scenes are those of the test split (`tokenization.dialogues.broad.scenes`). An answer is right if it holds the value
and no other value that was told, but for those of the clause to quote.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from jobs.evaluation.rates import Outcome, rate
from tests.benchmarks.memory.speaking import measure
from tokenization.dialogues.broad.scene_speech import tell_scene
from tokenization.dialogues.spec import DialogueSpec
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, Conversation

SPEC = DialogueSpec(turns=(3, 8), unknown=0.25)


def told(count: int) -> list[Conversation]:
    """Return `count` conversations of each language."""
    return [
        tell_scene(SPEC, language, "test", Random(stable_hash(f"benchmark/{name}")), name)
        for language in LANGUAGES
        for name in (f"scenes-{language}-{index}" for index in range(count))
    ]


def of_both(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Return the rates of questions about what was told, and of those about what was not."""
    parts: dict[str, list[Outcome]] = {"told": [], "never_told": []}
    for outcome in outcomes:
        parts["never_told" if outcome.question.probe.kind == "unknown" else "told"].append(outcome)
    return {name: rate(found) for name, found in parts.items()}


if __name__ == "__main__":
    measure("scenes", __doc__, 500, told, of_both)
