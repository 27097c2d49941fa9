"""What is said in which turn of a broad conversation: the plan of `dialogues.plan`, with more done in its turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Literal

from tokenization.dialogues.plan import count_facts, plan
from tokenization.dialogues.spec import DialogueSpec

TurnKind = Literal["talk", "greet", "tell", "change", "retract", "other", "ask"]

NEVER_LATER_OTHER = (0.5, 0.2, 0.3)  # weights of why something is unknown
PAIRED = 0.25  # of the turns that tell: two facts at once
CORRECTED = 0.08  # a value told wrong and put right in the same turn
TOGETHER = 0.6  # of the questions: two at once, where there is another fact to ask for
LOOSE = 0.6  # of the small talk: a question about the second fact of a pair, while there is one
RETRACTED = 0.06  # of the small talk: something is taken back that is asked later
GREETED = 0.5  # of the small talk at the start


@dataclass(frozen=True)
class ScriptTurn:
    """One turn and the facts that it is about, by their numbers; `corrected`: told wrong first."""

    kind: TurnKind
    facts: tuple[int, ...] = ()
    corrected: bool = False


@dataclass(frozen=True)
class Script:
    """The turns of a conversation and how many facts they number, told or not."""

    turns: tuple[ScriptTurn, ...]
    facts: int


def write_script(spec: DialogueSpec, rng: Random, *, again: bool) -> Script:
    """`again`: small talk may become a question about what was asked before (`spec.again`)."""
    acts = plan(_spec_of_acts(spec), rng)
    count = count_facts(acts)
    updated = {act.fact for act in acts if act.kind == "update"}
    asked_at = {act.fact: number for number, act in enumerate(acts) if act.kind == "ask"}
    stated: dict[int, int] = {}
    loose: list[int] = []  # second facts of pairs that nobody has asked for
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
        if later and rng.random() < RETRACTED:
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
            turn = ScriptTurn("tell", (act.fact,), corrected=act.fact not in updated and rng.random() < CORRECTED)
            if rng.random() < PAIRED:
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
