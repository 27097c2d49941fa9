"""Questions about one of two facts that were told in one turn: one JSON line per arm.

    python -m tests.benchmarks.memory.pairs --model ARTIFACT/model --baseline ARTIFACT/model \
        --tokenizer ARTIFACT/tokenizer.json --training-seed 0

Attributes, sentences and values are those of the test split. Small talk stands between the turn and the question. An
answer is right if it has the value that is asked for, and not the other one. So rivals that quote whole turns are
seldom right: for them the first figure counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from jobs.evaluation.rates import Outcome, proportion, rate
from tests.benchmarks.memory.speaking import measure
from tokenization.dialogues.broad.plan import Script, ScriptTurn
from tokenization.dialogues.broad.speech import tell_script
from tokenization.dialogues.score import contains
from tokenization.dialogues.spec import DialogueSpec
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, Conversation

SPEC = DialogueSpec(turns=(3, 3), broad=1.0)


def told(count: int) -> list[Conversation]:
    """Return conversations of both languages: two facts in a turn, small talk, and a question about the first or the
    second. Of `count` drawn for each language, those are left out whose turn had no room for both facts, or has another
    form of the other value than the list of what an answer must not have."""
    drawn = [
        tell_script(script(index % 2), SPEC, language, "test", Random(stable_hash(f"benchmark/{name}")), name)
        for language in LANGUAGES
        for index, name in enumerate(f"pairs-{language}-{index}" for index in range(count))
    ]
    return [conversation for conversation in drawn if tells_both(conversation)]


def script(asked: int) -> Script:
    return Script((ScriptTurn("tell", (0, 1)), ScriptTurn("talk"), ScriptTurn("ask", (asked,))), facts=2)


def tells_both(conversation: Conversation) -> bool:
    """Say whether the turn tells the value that is asked for, and another that an answer must not have."""
    first = conversation.interactions[0].query
    return any(
        probe.kind == "recall" and any(contains(first, other) for other in probe.forbidden)
        for probe in conversation.probes
    )


def figures(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Return the rates of answers with the value, and of those with it alone."""
    having = sum(any(contains(one.answer, gold) for gold in one.question.probe.gold) for one in outcomes)
    return {"value": proportion(having, len(outcomes)), "alone": rate(outcomes)}


if __name__ == "__main__":
    measure("pairs", __doc__, 300, told, figures)
