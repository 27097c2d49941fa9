"""Rejected answers of generated conversations are wrong, each in the way that it says."""

from collections import Counter
from dataclasses import replace

import pytest

from tokenization.dialogues.rejected import with_rejected, wrong_answers
from tokenization.dialogues.score import score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate

SPEC = DialogueSpec(turns=(4, 9), facts=(2, 4), update=0.4, unknown=0.3, joins=0.2)
MOST_DIFFERENT = 0.02  # of the broad answers, a wrong value can be a part of the right one


@pytest.mark.parametrize("language", ["en", "pl"])
@pytest.mark.parametrize("broad", [0.0, 1.0])
def test_a_rejected_answer_is_wrong_and_as_its_fault_says(language, broad):
    spec = DialogueSpec(**{name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__} | {"broad": broad})
    found, odd = Counter(), 0
    for index in range(120):
        conversation = generate(spec, language, "train", 0, index)
        for probe in conversation.probes:
            for fault, text in wrong_answers(conversation, probe).items():
                verdict = score(text, probe, language)
                found[fault, probe.kind] += 1
                assert text != conversation.interactions[probe.turn].answer
                expected = {"refused": "abstained", "stale": "stale"}.get(fault, "wrong")
                odd += verdict != expected if not broad else verdict == "correct"
    assert odd <= MOST_DIFFERENT * found.total(), odd
    assert {fault for fault, kind in found if kind == "recall"} == {"another", "invented", "refused"}
    assert found["stale", "update"] > 0
    assert broad or found["invented", "unknown"] > 0  # the right answer is a refusal


@pytest.mark.parametrize("language", ["en", "pl"])
def test_a_rejected_answer_to_a_question_about_a_scene_has_another_value_of_it_or_is_a_refusal(language):
    found = Counter()
    for index in range(120):
        conversation = generate(replace(SPEC, broad=1.0, scenes=1.0), language, "train", 0, index)
        rejected = with_rejected(conversation).rejected
        for probe in conversation.probes:
            answer = conversation.interactions[probe.turn].answer
            for fault, text in wrong_answers(conversation, probe).items():
                found[fault] += 1
                assert text != answer and score(text, probe, language) != "correct"
                assert fault == "refused" or any(value in text for value in probe.forbidden)
            assert (rejected[probe.turn] is None) == (probe.kind == "unknown")
    assert set(found) == {"another", "refused"} and min(found.values()) > 50, found


def test_the_same_conversation_has_the_same_rejected_answers_and_only_to_questions():
    conversation = generate(SPEC, "en", "train", 0, 3)
    once, again = with_rejected(conversation), with_rejected(conversation)
    assert once == again and once.interactions == conversation.interactions
    asked = {probe.turn for probe in conversation.probes}
    answered = {turn for turn, other in enumerate(once.rejected) if other is not None}
    assert answered and answered <= asked and len(once.rejected) == len(conversation.interactions)
    for turn in answered:
        assert once.rejected[turn].query == conversation.interactions[turn].query
