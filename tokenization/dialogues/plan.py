"""What is said in which turn of a memory dialogue, so that the distances between telling and asking are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.values import ROLES, SLOT_NAMES

MOST_JOINS = min(map(len, ROLES.values()))


ActKind = Literal["tell", "update", "distract", "ask", "unknown", "other", "role", "residence", "join"]


@dataclass(frozen=True)
class DialogueAct:
    """What one turn does. `fact` numbers the facts of a conversation, those never told included; -1 for small talk.
    `other` tells of somebody else what is asked of the user. `role`, `residence` and `join` have a numbering of their
    own: who somebody is, where that person lives, and the question that needs both."""

    kind: ActKind
    fact: int = -1


def plan(spec: DialogueSpec, rng: Random) -> list[DialogueAct]:
    """Draws how far each question lies from its fact, places the longest first, and fills up with small talk."""
    length = rng.randint(*spec.turns)
    if length == 1:
        return [DialogueAct("tell", 0)]
    facts, asked, unknown, updated = _counts(spec, length, rng)
    joins = _joins(spec, asked, length - facts - asked - unknown - updated, rng)
    facts, asked, updated = facts - joins, asked - joins, min(updated, asked - joins)
    acts = [DialogueAct("distract")] * length
    free = list(range(length))

    def place(position: int, act: DialogueAct) -> None:
        free.remove(position)
        acts[position] = act

    for number in range(joins):
        first, second, question = _three_positions(free, _distance(spec, length, rng), rng)
        told: list[ActKind] = rng.sample(("role", "residence"), 2)
        kinds: tuple[ActKind, ...] = (*told, "join")
        for position, kind in zip((first, second, question), kinds, strict=True):
            place(position, DialogueAct(kind, number))
    changes = rng.sample([True] * updated + [False] * (asked - updated), asked)
    distances = sorted((_distance(spec, length, rng) for _ in range(asked)), reverse=True)
    for fact, (distance, change) in enumerate(zip(distances, changes, strict=True)):
        found = _positions(free, distance, spec.distances, change, rng)
        if found is None:  # no distance of the grid is left: told, and not asked
            place(_early(free, rng), DialogueAct("tell", fact))
            continue
        stated, question = found
        earlier = [position for position in free if position < stated] if change else []
        place(stated, DialogueAct("update" if earlier else "tell", fact))
        place(question, DialogueAct("ask", fact))
        if earlier:
            place(_early(earlier, rng), DialogueAct("tell", fact))
    for fact in range(asked, facts):
        place(_early(free, rng), DialogueAct("tell", fact))
    for fact in range(facts, facts + unknown):
        for position, act in _unknown(spec, fact, free, facts + unknown - fact, rng):
            place(position, act)
    return acts


def ask_again(spec: DialogueSpec, acts: list[DialogueAct], rng: Random) -> list[DialogueAct]:
    """The plan with a share `again` of its small talk replaced by questions about facts that were told before, or
    never, in the shares that all questions have."""
    told: list[int] = []
    never = range(count_facts(acts), len(SLOT_NAMES))
    asked: list[DialogueAct] = []
    for act in acts:
        if act.kind == "tell":
            told.append(act.fact)
        if act.kind != "distract" or not told or rng.random() >= spec.again:
            asked.append(act)
        elif never and rng.random() < spec.unknown:
            asked.append(DialogueAct("unknown", rng.choice(never)))
        else:
            asked.append(DialogueAct("ask", rng.choice(told)))
    return asked


def count_facts(acts: list[DialogueAct]) -> int:
    """How many facts about the user a plan numbers, told or not."""
    return 1 + max((act.fact for act in acts if act.kind not in ("role", "residence", "join")), default=-1)


def _counts(spec: DialogueSpec, length: int, rng: Random) -> tuple[int, int, int, int]:
    """Facts told, facts asked, questions about nothing told, facts changed before they are asked."""
    room = max(2, length - int(length * spec.distract + rng.random()))
    low, high = spec.facts
    high = max(low, min(high, 2 * room // 3))  # beyond that, most of what is told could not be asked
    facts = min(rng.randint(low, high), room - 1, len(SLOT_NAMES) - 1)
    questions = min(facts, room - facts)
    updated = sum(rng.random() < spec.update for _ in range(questions))
    while updated > length - facts - questions and questions > 1:
        questions -= 1
    unknown = min(sum(rng.random() < spec.unknown for _ in range(questions)), len(SLOT_NAMES) - facts)
    asked = questions - unknown
    return facts, asked, unknown, min(updated, asked, length - facts - questions)


def _joins(spec: DialogueSpec, asked: int, spare: int, rng: Random) -> int:
    """How many asked facts become questions that need two. Each takes one more turn than a fact and its question."""
    wanted = sum(rng.random() < spec.joins for _ in range(asked)) if spec.joins else 0
    return min(wanted, spare, MOST_JOINS)


def _distance(spec: DialogueSpec, length: int, rng: Random) -> int:
    """One of the grid that fits. Without a grid, half uniform over what fits, half with equal shares per octave, so
    that near and far are both frequent."""
    if spec.distances:
        return rng.choice([distance for distance in spec.distances if distance < length])
    if rng.random() < 0.5:
        return rng.randint(1, length - 1)
    return int(length ** rng.random())


def _early(positions: list[int], rng: Random) -> int:
    return positions[int(len(positions) * rng.random() ** 2)]


def _positions(
    free: list[int], distance: int, grid: tuple[int, ...], change: bool, rng: Random
) -> tuple[int, int] | None:
    """Free turns for a statement and its question at the distance asked for, or at the nearest that is possible (and
    in the grid, if there is one). Before a change a turn must be left for what it changes; where that cannot be, any
    turn will do."""
    for first in (free[1:], free) if change else (free,):
        for candidate in sorted(grid or range(1, free[-1] - free[0] + 1), key=lambda d: abs(d - distance)):
            starts = [position for position in first if position + candidate in free]
            if starts:
                stated = _early(starts, rng)
                return stated, stated + candidate
    return None


def _three_positions(free: list[int], distance: int, rng: Random) -> tuple[int, int, int]:
    """Free turns for two statements and the question that needs both, the first at the distance asked for or at the
    nearest that is possible. There must be three."""
    spans = [(a, c) for i, a in enumerate(free) for c in free[i + 2 :]]
    nearest = min(abs(c - a - distance) for a, c in spans)
    first, question = rng.choice([(a, c) for a, c in spans if abs(c - a - distance) == nearest])
    return first, rng.choice([b for b in free if first < b < question]), question


def _unknown(spec: DialogueSpec, fact: int, free: list[int], left: int, rng: Random) -> list[tuple[int, DialogueAct]]:
    """Where it is asked for what was not told, and where it is told later, or of somebody else before. `left` such
    questions, this one among them, need a turn each."""
    kind = 0
    if any(spec.unknown_kinds[1:]) and len(free) > left:
        kind = rng.choices(range(3), spec.unknown_kinds)[0]
    if kind == 0:
        return [(rng.choice(free), DialogueAct("unknown", fact))]
    first, second = sorted(rng.sample(free, 2))
    if kind == 1:
        return [(first, DialogueAct("unknown", fact)), (second, DialogueAct("tell", fact))]
    return [(first, DialogueAct("other", fact)), (second, DialogueAct("unknown", fact))]
