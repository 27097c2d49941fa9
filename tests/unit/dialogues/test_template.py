"""The interaction template: order of blocks, supervision, truncation."""

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
from tokenization.conversations.template import SMALLEST_LENGTH, decode_answer, encode_interaction, encode_query
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
    assert decode_answer(tokenizer, tokenizer.encode("it is 4182") + [EOS, EOS]) == "it is 4182"
    assert decode_answer(tokenizer, [THINK, *tokenizer.encode("hm")]) == ""
    assert decode_answer(tokenizer, []) == ""


def test_too_short_a_length_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="6 tokens is too short"):
        encode_interaction(tokenizer, Interaction("q", "a"), 6)
