"""Plausible wrong answers to the memory questions of generated conversations, for training on preferences."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Literal

from tokenization.dialogues.broad.scene_speech import SLOT
from tokenization.dialogues.broad.value_splits import draw_value
from tokenization.dialogues.values import REFUSALS, value_table
from tokenization.dialogues.wording import PHRASEBOOKS
from tokenization.hashing import stable_hash
from tokenization.records import BROAD, Conversation, Interaction, Probe

# stale: the value before an update. another: a value that belongs to something else. invented: a value that nobody
# told, also where nothing was told. refused: the answer to what was never told.
Fault = Literal["stale", "another", "invented", "refused"]

_DRAWS = 20  # until a value is new to the conversation


def with_rejected(conversation: Conversation) -> Conversation:
    """Return a conversation of `dialogues.wording.generate` with a wrong answer to every question that has one, each
    with a fault of its own. It depends on the conversation alone."""
    rejected: list[Interaction | None] = [None] * len(conversation.interactions)
    for probe in conversation.probes:
        answers = wrong_answers(conversation, probe)
        if answers:
            rng = Random(stable_hash(f"fault/{conversation.id}/{probe.turn}"))
            answer = answers[rng.choice(sorted(answers))]
            rejected[probe.turn] = replace(conversation.interactions[probe.turn], answer=answer)
    return replace(conversation, rejected=tuple(rejected))


def wrong_answers(conversation: Conversation, probe: Probe) -> dict[Fault, str]:
    """Return the wrong answers to a question, by fault: the right sentence with a wrong value, or a refusal. Where the
    right answer is a refusal, only a sentence of the template generator can be found."""
    said, language = conversation.interactions[probe.turn], conversation.language
    rng = Random(stable_hash(f"rejected/{conversation.id}/{probe.turn}"))
    invented = _invented(conversation, probe, rng)
    if probe.kind == "unknown":
        slots = {slot.name: slot for slot in (*PHRASEBOOKS[language].slots, PHRASEBOOKS[language].held_out)}
        asked = slots[probe.slot].questions + slots[probe.slot].unseen_questions if probe.slot in slots else ()
        sentences = [answer for question, answer in asked if question == said.query]
        return {"invented": sentences[0].format(invented)} if sentences and invented else {}
    stale = probe.forbidden[:1] if probe.kind == "update" else ()
    others = [value for value in probe.forbidden if value not in stale]
    values: dict[Fault, str] = {"stale": stale[0]} if stale else {}
    if others:
        values["another"] = rng.choice(others)
    if invented:
        values["invented"] = invented
    forms = [form for form in sorted(probe.gold, key=len, reverse=True) if form in said.answer]
    wrong: dict[Fault, str] = {"refused": REFUSALS[language]}
    return wrong | {fault: said.answer.replace(forms[0], value) for fault, value in values.items() if forms}


def _invented(conversation: Conversation, probe: Probe, rng: Random) -> str | None:
    """A value of the question's kind that was not told, from the values of the conversation's split. The values of a
    scene have no kind: there is None."""
    if probe.slot == SLOT:
        return None
    language, split, kind = conversation.language, conversation.split, probe.slot.removeprefix(f"{BROAD}/")
    for _ in range(_DRAWS):
        if probe.generator == BROAD:
            value = draw_value(language, kind, split, rng)[0]
        else:
            value = rng.choice(value_table(language, kind, split))
        if value not in (*probe.gold, *probe.forbidden):
            return value
    return None
