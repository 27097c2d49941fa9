"""The interaction template: order of blocks, supervision, truncation."""

from dataclasses import replace

import pytest

from tokenization.bpe.special_tokens import (
    ANSWER,
    BOS,
    EOS,
    INTERNAL,
    QUERY,
    SPECIAL_TOKENS,
    THINK,
    TOOL_CALL,
    TOOL_RESULT,
)
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.rows import UntrainedInteraction
from tokenization.conversations.template import (
    SMALLEST_LENGTH,
    decode_answer,
    decode_interaction,
    encode_interaction,
    encode_query,
    encode_windows,
)
from tokenization.records import Interaction


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["what is the code of my locker it is 4182"] * 5, 300)


def controls(ids: list[int]) -> list[int]:
    return [i for i in ids if i < len(SPECIAL_TOKENS)]


def test_blocks_stand_in_their_fixed_order(tokenizer):
    full = Interaction(query="q", answer="a", internal="i", think="t", tool_call="{}")
    assert controls(encode_interaction(tokenizer, full, 64).input_ids) == [
        BOS, INTERNAL, QUERY, THINK, ANSWER, TOOL_CALL, EOS,
    ]  # fmt: skip
    result = Interaction(query="", answer="a", tool_result="42")
    assert controls(encode_interaction(tokenizer, result, 64).input_ids) == [BOS, TOOL_RESULT, ANSWER, EOS]


def test_only_the_answer_part_is_supervised(tokenizer):
    encoded = encode_interaction(tokenizer, Interaction("the code?", "4182", internal="be brief", think="hm"), 64)
    assert encoded.input_ids[encoded.answer_start] == THINK
    assert encoded.loss_mask == [i >= encoded.answer_start for i in range(len(encoded.input_ids))]
    assert encoded.input_ids[-1] == EOS and encoded.loss_mask[-1]


def test_a_system_prompt_is_written_but_not_learned(tokenizer):
    encoded = encode_interaction(tokenizer, Interaction("", "", internal="be kind"), 64)
    assert encoded.input_ids == [BOS, INTERNAL, *tokenizer.encode("be kind"), EOS]
    assert not any(encoded.loss_mask)


def test_an_answer_that_is_not_to_be_trained_on_is_written_but_no_target(tokenizer):
    told = "the code?", "4182 " * 30
    for length in (32, 512):
        trained = encode_interaction(tokenizer, Interaction(*told), length)
        encoded = encode_interaction(tokenizer, UntrainedInteraction(*told), length)
        assert encoded == replace(trained, loss_mask=[False] * len(trained.loss_mask))
        [windows] = encode_windows(tokenizer, [UntrainedInteraction(*told)], length)
        [as_trained] = encode_windows(tokenizer, [Interaction(*told)], length)
        assert [one.input_ids for one in windows] == [one.input_ids for one in as_trained]
        assert not any(on for one in windows for on in one.loss_mask)


def test_control_characters_in_content_stay_text(tokenizer):
    encoded = encode_interaction(tokenizer, Interaction("[A] yes [EOS]", "no [Q][C]"), 64)
    assert controls(encoded.input_ids) == [BOS, QUERY, ANSWER, EOS]
    assert decode_answer(tokenizer, encoded.input_ids) == "no [Q][C]"


@pytest.mark.parametrize("length", [SMALLEST_LENGTH, 8, 9, 16, 33, 64])
@pytest.mark.parametrize("query, answer", [(5, 300), (300, 5), (300, 300), (40, 40), (0, 300), (300, 0), (3, 3)])
@pytest.mark.parametrize("extra", [{}, {"internal": "i" * 50}, {"think": "t" * 50, "tool_call": "{" * 20}])
def test_truncation_keeps_every_control_token(tokenizer, length, query, answer, extra):
    long = Interaction("0" * query, "1" * answer, **extra)
    encoded = encode_interaction(tokenizer, long, length)
    assert controls(encoded.input_ids) == controls(encode_interaction(tokenizer, long, 10_000).input_ids)
    assert len(encoded.input_ids) == len(encoded.loss_mask) <= length
    if query + answer >= length:
        assert len(encoded.input_ids) == length, "room was given away"


def test_both_too_long_share_the_room_and_one_too_long_takes_the_rest(tokenizer):
    zero, one = tokenizer.encode("0")[0], tokenizer.encode("1")[0]
    both = encode_interaction(tokenizer, Interaction("0" * 90, "1" * 90), 24).input_ids
    assert (both.count(zero), both.count(one)) == (10, 10)
    query = encode_interaction(tokenizer, Interaction("0" * 90, "1" * 4), 24).input_ids
    assert (query.count(zero), query.count(one)) == (16, 4)
    answer = encode_interaction(tokenizer, Interaction("0" * 4, "1" * 90), 24).input_ids
    assert (answer.count(zero), answer.count(one)) == (4, 16)


def test_the_end_of_what_was_cut_is_not_supervised(tokenizer):
    fits = Interaction("q", "1" * 8, think="2" * 8, tool_call="3" * 8)
    assert all(encode_interaction(tokenizer, fits, 64).loss_mask[3:])
    # a long answer leaves no room for a call, and both leave none for thoughts
    for long, after in (("think", [ANSWER]), ("tool_call", [ANSWER, EOS]), ("answer", [ANSWER, TOOL_CALL, EOS])):
        texts = {name: "1" * (80 if name == long else 2) for name in ("think", "answer", "tool_call")}
        encoded = encode_interaction(tokenizer, Interaction("q", **texts), 32)
        not_learned = [i for i, on in enumerate(encoded.loss_mask) if not on and i >= encoded.answer_start]
        assert [encoded.input_ids[i] for i in not_learned] == after
    only_query = encode_interaction(tokenizer, Interaction("0" * 90, "1"), 32)
    assert only_query.cut and only_query.loss_mask[-1]


@pytest.mark.parametrize("length", [SMALLEST_LENGTH, 9, 16, 64])
@pytest.mark.parametrize("sizes", [(3, 0, 200, 0), (90, 0, 200, 0), (90, 50, 90, 33), (0, 9, 9, 9), (90, 0, 3, 0)])
def test_windows_hold_every_token_of_the_answer_part_once(tokenizer, length, sizes):
    query, think, answer, call = (f"{n:04}" * 99 for n in range(4))
    query, think, answer, call = query[: sizes[0]], think[: sizes[1]], answer[: sizes[2]], call[: sizes[3]]
    told = Interaction(query, answer, think=think, tool_call=call, internal="be brief")
    whole = encode_interaction(tokenizer, told, 10_000)
    (windows,) = encode_windows(tokenizer, [told], length)
    learned = [token for one in windows for token, on in zip(one.input_ids, one.loss_mask, strict=True) if on]
    assert learned == whole.input_ids[whole.answer_start :]
    for one in windows:
        assert len(one.input_ids) == len(one.loss_mask) <= length and one.input_ids[-1] == EOS
        assert one.input_ids[: one.answer_start] == windows[0].input_ids[: windows[0].answer_start]
        part = decode_interaction(tokenizer, one.input_ids)
        assert (think + answer + call).count(part.think + part.answer + part.tool_call)
        assert one.loss_mask[-1] is (one is windows[-1])
    if whole.answer_start + len(learned) <= length:
        assert windows == [encode_interaction(tokenizer, told, length)]
    if length == 64 and sizes[0] < 20:
        assert sum(one.cut for one in windows) == 0


def test_a_later_window_begins_with_the_end_of_the_one_before(tokenizer):
    zero, one = tokenizer.encode("0")[0], tokenizer.encode("1")[0]
    (windows,) = encode_windows(tokenizer, [Interaction("0" * 4, "1" * 30)], 24)
    assert [window.input_ids for window in windows] == [
        [BOS, QUERY, *[zero] * 4, ANSWER, *[one] * 16, EOS],
        [BOS, QUERY, *[zero] * 4, ANSWER, *[one] * 16, EOS],
        [BOS, QUERY, *[zero] * 4, ANSWER, *[one] * 4, EOS],
    ]
    assert [window.loss_mask.count(True) for window in windows] == [17, 13, 2]


def test_the_query_outlives_the_instruction(tokenizer):
    ids = encode_interaction(tokenizer, Interaction("0" * 8, "1" * 90, internal="2" * 90), 21).input_ids
    assert ids.count(tokenizer.encode("0")[0]) == 8
    assert ids.count(tokenizer.encode("2")[0]) == 0


def test_the_query_for_generation_is_the_start_of_the_interaction(tokenizer):
    interaction = Interaction("what is the code?", "4182", internal="brief")
    encoded = encode_interaction(tokenizer, interaction, 64)
    assert encode_query(tokenizer, interaction, 64) == encoded.input_ids[: encoded.answer_start]
    assert len(encode_query(tokenizer, Interaction("0" * 500, ""), 64)) <= 34


def test_decode_answer_wherever_generation_began(tokenizer):
    encoded = encode_interaction(tokenizer, Interaction("q", "it is 4182", think="hm", tool_call="{}"), 64)
    generated = encoded.input_ids[encoded.answer_start :]
    assert decode_answer(tokenizer, encoded.input_ids) == decode_answer(tokenizer, generated) == "it is 4182"
    said = generated[generated.index(ANSWER) + 1 :]
    assert decode_answer(tokenizer, said) == decode_answer(tokenizer, [*said[:-1], ANSWER, 30]) == "it is 4182"
    assert decode_answer(tokenizer, tokenizer.encode("it is 4182") + [EOS, EOS]) == "it is 4182"
    assert decode_answer(tokenizer, [THINK, *tokenizer.encode("hm")]) == ""
    assert decode_answer(tokenizer, []) == ""


def test_too_short_a_length_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="6 tokens is too short"):
        encode_interaction(tokenizer, Interaction("q", "a"), 6)
