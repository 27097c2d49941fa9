"""The conversations of the demo stay the same: its published figures were measured on them."""

from __future__ import annotations

import hashlib
import json

import pytest

from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, SPLITS, Interaction

PLAIN = DialogueSpec(turns=(3, 8), facts=(1, 4), distract=0.1, again=0.8)
VARIED = DialogueSpec(turns=(3, 8), facts=(1, 4), distract=0.1, again=0.8, update=0.3, unknown=0.2)
EPISODES = DialogueSpec(turns=(8, 12), facts=(3, 6), distract=0.1, again=0.8, update=0.3, unknown=0.2)
REAL = [Interaction(f"Question {n}?", f"Answer {n}.") for n in range(20)]
PROBE = ("turn", "slot", "kind", "gold", "forbidden", "distance", "facts")


@pytest.mark.parametrize(
    ("spec", "real", "digest"),
    [
        (PLAIN, (), "a079e0a321c1fcd6"),
        (VARIED, REAL, "8a68800f83991db2"),
        (EPISODES, REAL, "270f89510be58b26"),
        (DialogueSpec(), (), "bd2341d1dd77580b"),
    ],
)
def test_conversations_are_those_of_the_first_release(spec, real, digest):
    told = hashlib.sha256()
    for language in LANGUAGES:
        for split in SPLITS:
            for index in range(150):
                conversation = generate(spec, language, split, 0, index, real)
                turns = [(turn.query, turn.answer) for turn in conversation.interactions]
                probes = [[getattr(probe, name) for name in PROBE] for probe in conversation.probes]
                told.update(json.dumps([conversation.id, turns, probes]).encode())
    assert told.hexdigest()[:16] == digest
