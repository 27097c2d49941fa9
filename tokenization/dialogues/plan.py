"""Plan which turn of a memory dialogue does what. The plan sets the distance between each fact and its question."""

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
    """The task of one turn. `fact` numbers the facts of a conversation, also those that are never told; it is -1 for
    small talk.

    `other` tells the same kind of fact about somebody else. `role` tells who has a role, `residence` tells where this
    person lives, and `join` asks a question that needs both. These three kinds have their own numbering.
    """

    kind: ActKind
    fact: int = -1


def plan(spec: DialogueSpec, rng: Random) -> list[DialogueAct]:
    """Draw the distance of each question from its fact, place long distances first, and fill up with small talk."""
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
        if found is None:  # no distance of the grid fits: the fact is told but not asked
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
    """Replace a share `again` of the small talk in a plan by questions about facts that were told before. A share
    `unknown` of these questions is about facts that are never told."""
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
    """Count the facts about the user that a plan numbers, told or not."""
    return 1 + max((act.fact for act in acts if act.kind not in ("role", "residence", "join")), default=-1)


def _counts(spec: DialogueSpec, length: int, rng: Random) -> tuple[int, int, int, int]:
    """Draw four counts: facts told, facts asked, questions about facts not told, facts changed before the question."""
    room = max(2, length - int(length * spec.distract + rng.random()))
    low, high = spec.facts
    high = max(low, min(high, 2 * room // 3))  # with more facts, most could not be asked
    facts = min(rng.randint(low, high), room - 1, len(SLOT_NAMES) - 1)
    questions = min(facts, room - facts)
    updated = sum(rng.random() < spec.update for _ in range(questions))
    while updated > length - facts - questions and questions > 1:
        questions -= 1
    unknown = min(sum(rng.random() < spec.unknown for _ in range(questions)), len(SLOT_NAMES) - facts)
    asked = questions - unknown
    return facts, asked, unknown, min(updated, asked, length - facts - questions)


def _joins(spec: DialogueSpec, asked: int, spare: int, rng: Random) -> int:
    """Draw how many asked facts become questions that need two facts. Each takes one more turn."""
    wanted = sum(rng.random() < spec.joins for _ in range(asked)) if spec.joins else 0
    return min(wanted, spare, MOST_JOINS)


def _distance(spec: DialogueSpec, length: int, rng: Random) -> int:
    """Draw a distance that fits: from the grid, or, without one, half the time uniformly and half the time evenly per
    octave. So both short and long distances are frequent."""
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
    """Choose free turns for a statement and its question, at `distance` or the nearest possible distance (from the
    grid, if there is one). If the statement is a `change`, leave an earlier turn for the old value, if possible.
    Return None if no distance of the grid fits."""
    for first in (free[1:], free) if change else (free,):
        for candidate in sorted(grid or range(1, free[-1] - free[0] + 1), key=lambda d: abs(d - distance)):
            starts = [position for position in first if position + candidate in free]
            if starts:
                stated = _early(starts, rng)
                return stated, stated + candidate
    return None


def _three_positions(free: list[int], distance: int, rng: Random) -> tuple[int, int, int]:
    """Choose free turns for two statements and the question that needs both. The first statement is at `distance` from
    the question, or at the nearest possible distance. At least three turns must be free."""
    spans = [(a, c) for i, a in enumerate(free) for c in free[i + 2 :]]
    nearest = min(abs(c - a - distance) for a, c in spans)
    first, question = rng.choice([(a, c) for a, c in spans if abs(c - a - distance) == nearest])
    return first, rng.choice([b for b in free if first < b < question]), question


def _unknown(spec: DialogueSpec, fact: int, free: list[int], left: int, rng: Random) -> list[tuple[int, DialogueAct]]:
    """Choose a turn for a question about a fact that was not told. Another turn may tell the fact later, or may earlier
    tell the same kind of fact about somebody else. Each of the `left` such questions, this one included, needs a
    turn."""
    kind = 0
    if any(spec.unknown_kinds[1:]) and len(free) > left:
        kind = rng.choices(range(3), spec.unknown_kinds)[0]
    if kind == 0:
        return [(rng.choice(free), DialogueAct("unknown", fact))]
    first, second = sorted(rng.sample(free, 2))
    if kind == 1:
        return [(first, DialogueAct("unknown", fact)), (second, DialogueAct("tell", fact))]
    return [(first, DialogueAct("other", fact)), (second, DialogueAct("unknown", fact))]
