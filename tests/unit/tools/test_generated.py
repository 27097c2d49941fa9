"""Calls of tools in generated conversations: they are right, their rows teach the right tokens, and all else stays."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from jobs.configs.conversations import ConversationShardsConfig
from pipelines.fingerprint import plain
from tokenization.bpe.special_tokens import ANSWER, EOS, TOOL_CALL, TOOL_RESULT
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_call, encode_interaction
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.tools.calls import NOT_FOUND, NOT_WORKED_OUT
from tokenization.dialogues.tools.sums import draw_sum, split_of_sum
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, SPLITS, Conversation, Interaction
from tokenization.tools.calls import read_calls

PLAIN = DialogueSpec(turns=(3, 8), facts=(1, 4), distract=0.3, again=0.3, broad=0.5, scenes=0.3, update=0.2)
SPEC = replace(PLAIN, tools=0.3)


def pairs(spec: DialogueSpec) -> list[tuple[Conversation, Conversation]]:
    """Return conversations without and with calls."""
    return [
        (generate(PLAIN, language, split, 0, n), generate(spec, language, split, 0, n))
        for language in LANGUAGES
        for split in SPLITS
        for n in range(60)
    ]


@pytest.fixture(scope="module")
def told() -> list[tuple[Conversation, Conversation]]:
    return pairs(SPEC)


def calls(conversation: Conversation) -> list[tuple[Interaction, Interaction]]:
    return [(first, second) for first, second in pairwise(conversation.interactions) if first.tool_call]


def test_a_call_is_right_and_can_be_copied_together(told):
    counts = dict.fromkeys(("sums", "errors", "found", "not found"), 0)
    for _, conversation in told:
        language = conversation.language
        for asked, answered in calls(conversation):
            (call,) = read_calls(asked.tool_call)
            assert not asked.answer and not asked.think and answered.tool_result and not answered.tool_call
            if call.name == "look_up":
                assert call.argument in asked.query
                missing = answered.tool_result == "nothing found"
                assert answered.answer == NOT_FOUND[language] if missing else answered.tool_result in answered.answer
                counts["not found" if missing else "found"] += 1
                continue
            a, sign, b = call.argument.split()
            assert all(re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d)", asked.query) for number in (a, b))
            first, second = (Fraction(number.replace(",", ".")) for number in (a, b))
            if sign == "/" and not second:
                assert answered.tool_result == "error: division by zero"
                assert answered.answer == NOT_WORKED_OUT[language]
                counts["errors"] += 1
                continue
            by_sign = {"+": first + second, "-": first - second, "*": first * second}
            expected = by_sign[sign] if sign in by_sign else first / second
            assert Fraction(answered.tool_result.replace(",", ".")) == expected, call
            assert f" {answered.tool_result}." in answered.answer
            counts["sums"] += 1
    assert counts["sums"] > 200 and min(counts.values()) > 3, counts


def test_every_sum_of_small_talk_becomes_a_call_and_questions_about_facts_stay(told):
    sums = 0
    for before, after in told:
        kept = [turn for turn in after.interactions if not turn.tool_call and not turn.tool_result]
        spoken = [turn for turn in before.interactions if not re.search(r"\d (plus|minus) \d", turn.query)]
        assert kept == spoken
        sums += len(before.interactions) - len(spoken)
        assert len(before.probes) == len(after.probes)
        for old, new in zip(before.probes, after.probes, strict=True):
            assert after.interactions[new.turn] == before.interactions[old.turn]
            assert after.interactions[new.turn - new.distance] == before.interactions[old.turn - old.distance]
            assert replace(new, turn=old.turn, distance=old.distance) == old
    assert sums > 10


def test_the_share_says_how_many_turns_a_call_follows(told):
    spoken = sum(len(before.interactions) for before, _ in told)
    sums = sum(bool(re.search(r"\d (plus|minus) \d", turn.query)) for before, _ in told for turn in before.interactions)
    added = sum(len(calls(after)) for _, after in told) - sums
    assert added / spoken == pytest.approx(0.3, abs=0.04)


def test_a_result_is_read_and_a_call_is_learned():
    conversation = next(after for _, after in pairs(replace(SPEC, tools=1.0)) if after.split == "train")
    tokenizer = Tokenizer.train([turn.query or turn.tool_result for turn in conversation.interactions], 300)
    asked, answered = calls(conversation)[0]
    call, result = (encode_interaction(tokenizer, turn, 400) for turn in (asked, answered))
    assert decode_call(tokenizer, call.input_ids) == asked.tool_call
    assert decode_call(tokenizer, result.input_ids) is None
    assert call.input_ids[call.answer_start :][:2] == [ANSWER, TOOL_CALL] and call.input_ids[-1] == EOS
    assert call.loss_mask == [n >= call.answer_start for n in range(len(call.input_ids))]
    said = tokenizer.encode(answered.tool_result)
    assert result.input_ids[1 : 2 + len(said)] == [TOOL_RESULT, *said]
    assert result.loss_mask == [n >= 2 + len(said) for n in range(len(result.input_ids))]


def test_no_two_splits_share_a_sum_of_a_call(told):
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for _, conversation in told:
        for asked, _ in calls(conversation):
            (call,) = read_calls(asked.tool_call)
            found[conversation.split] |= {call.argument.replace(",", ".")} if call.name == "calculator" else set()
    assert min(map(len, found.values())) > 100
    assert not any(found[a] & found[b] for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")))


def test_a_drawn_sum_is_one_of_its_split():
    drawn = {split: {draw_sum("en", split, Random(n)).expression for n in range(300)} for split in SPLITS}
    assert not any(drawn[a] & drawn[b] for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")))
    assert split_of_sum("2,5 + 1") == split_of_sum("2.5 + 1")
    assert {split_of_sum(one) for one in drawn["test"]} == {"test"}


def test_a_configuration_without_calls_is_what_it_was_before_there_were_any():
    config = ConversationShardsConfig(length=64)
    assert "tools" not in plain(config, whole=False)["dialogues"]
    assert plain(replace(config.dialogues, tools=0.1), whole=False)["tools"] == 0.1


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"tools": 1.5}, "tools = 1.5: must be from 0 to 1"),
        ({"tools": 0.1, "distances": (1,)}, "tools = 0.1: must be 0 with distances"),
    ],
)
def test_a_share_that_cannot_be_is_refused(keys, reason):
    with pytest.raises(ValueError, match=reason):
        DialogueSpec(**keys)
