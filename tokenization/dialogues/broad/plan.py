"""Plan which turn of a broad conversation does what. It extends the plan of `dialogues.plan`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Literal

from tokenization.dialogues.plan import count_facts, plan
from tokenization.dialogues.spec import DialogueSpec

TurnKind = Literal["talk", "greet", "tell", "change", "retract", "other", "ask"]

NEVER_LATER_OTHER = (0.5, 0.2, 0.3)  # weights of the reasons why a fact is unknown
PAIRED = 0.35  # share of the statements with two facts at once
CORRECTED = 0.08  # share of the statements that tell a wrong value and correct it in the same turn
TOGETHER = 0.6  # share of the questions that ask for two facts at once, if there is a second one
LOOSE = 0.6  # share of the small talk replaced by a question about the second fact of a pair, if there is one
RETRACTED = 0.06  # share of the small talk replaced by the retraction of a fact that is asked later
GREETED = 0.5  # share of greetings in small talk at the start


@dataclass(frozen=True)
class ScriptTurn:
    """One turn and the numbers of its facts. If `corrected`, the user tells a wrong value first."""

    kind: TurnKind
    facts: tuple[int, ...] = ()
    corrected: bool = False


@dataclass(frozen=True)
class Script:
    """The turns of a conversation, and the number of its facts, told or not."""

    turns: tuple[ScriptTurn, ...]
    facts: int


def write_script(spec: DialogueSpec, rng: Random, *, again: bool, plain: bool = False) -> Script:
    """Draw a script. If `again`, small talk may become a question about a fact asked before (`spec.again`). A `plain`
    one tells one fact per turn, corrects nothing in the same turn, and retracts nothing."""
    acts = plan(_spec_of_acts(spec), rng)
    count = count_facts(acts)
    updated = {act.fact for act in acts if act.kind == "update"}
    asked_at = {act.fact: number for number, act in enumerate(acts) if act.kind == "ask"}
    stated: dict[int, int] = {}
    loose: list[int] = []  # second facts of pairs, not asked so far
    turns = []

    def loose_fact(number: int) -> int | None:
        fits = [fact for fact in loose if not spec.distances or number - stated[fact] in spec.distances]
        if not fits:
            return None
        loose.remove(fact := rng.choice(fits))
        return fact

    def instead_of_talk(number: int) -> ScriptTurn:
        nonlocal count
        if number == 0 and rng.random() < GREETED:
            return ScriptTurn("greet")
        if loose and rng.random() < LOOSE and (fact := loose_fact(number)) is not None:
            return ScriptTurn("ask", (fact,))
        later = [fact for fact in stated if asked_at.get(fact, 0) > number]
        if later and not plain and rng.random() < RETRACTED:
            return ScriptTurn("retract", (rng.choice(later),))
        if again and stated and rng.random() < spec.again:
            if rng.random() < spec.unknown:
                count += 1
                return ScriptTurn("ask", (count - 1,))
            return ScriptTurn("ask", (rng.choice(list(stated)),))
        return ScriptTurn("talk")

    for number, act in enumerate(acts):
        turn = ScriptTurn("talk")
        if act.kind == "distract":
            turn = instead_of_talk(number)
        elif act.kind == "tell":
            turn = ScriptTurn(
                "tell", (act.fact,), corrected=not plain and act.fact not in updated and rng.random() < CORRECTED
            )
            if not plain and rng.random() < PAIRED:
                turn = ScriptTurn("tell", (act.fact, count))
                loose.append(count)
                count += 1
        elif act.kind == "update":
            turn = ScriptTurn("change", (act.fact,))
        elif act.kind == "other":
            turn = ScriptTurn("other", (act.fact,))
        else:
            turn = ScriptTurn("ask", (act.fact,))
            if loose and act.kind == "ask" and rng.random() < TOGETHER and (fact := loose_fact(number)) is not None:
                turn = ScriptTurn("ask", (act.fact, fact))
        if turn.kind in ("tell", "change"):
            stated |= dict.fromkeys(turn.facts, number)
        turns.append(turn)
    return Script(tuple(turns), count)


@cache
def _spec_of_acts(spec: DialogueSpec) -> DialogueSpec:
    return replace(spec, joins=0.0, unknown_kinds=NEVER_LATER_OTHER)
