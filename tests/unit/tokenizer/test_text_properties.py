"""Whatever text and bytes the world holds, nothing is lost on the way to ids and back, and no text becomes a control
token."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenization.bpe.special_tokens import BOS, EOS, SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import SMALLEST_LENGTH, decode_interaction, encode_interaction
from tokenization.records import Interaction
from tokenization.shards.packing import pack

CONTROLS = len(SPECIAL_TOKENS)
TOKENIZER = Tokenizer.train(["zażółć gęślą jaźń 1984 [A] the quick brown fox"] * 8, 320)

FORGERY = st.lists(
    st.sampled_from(
        [*SPECIAL_TOKENS, "[", "]", "A", " ", "\n", "Ġ", "<|endoftext|>", "é", "e\u0301", "👩‍👩‍👧", "\u202e"]
    )
).map("".join)
BYTES = st.binary(max_size=80).map(lambda raw: raw.decode("utf-8", errors="replace"))
LATIN = st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))
TEXT = st.one_of(st.text(max_size=80), FORGERY, BYTES, LATIN)


@st.composite
def interactions(draw) -> Interaction:
    """Make interactions with any parts. One that begins with a tool result has no query."""
    parts = {name: draw(TEXT) for name in ("answer", "internal", "think", "tool_call")}
    return Interaction(
        **parts, **{"query": draw(TEXT)} if draw(st.booleans()) else {"query": "", "tool_result": draw(TEXT)}
    )


quickly = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@quickly
@given(st.lists(TEXT, min_size=1, max_size=6))
def test_text_comes_back_and_is_never_a_control_token(texts):
    encoded = TOKENIZER.encode_batch(texts)
    assert encoded == [TOKENIZER.encode(text) for text in texts]
    for text, ids in zip(texts, encoded, strict=True):
        assert TOKENIZER.decode(ids) == text
        assert all(CONTROLS <= token < TOKENIZER.vocab_size for token in ids)


@quickly
@given(interactions())
def test_an_interaction_comes_back(interaction):
    encoded = encode_interaction(TOKENIZER, interaction, 10_000)
    assert decode_interaction(TOKENIZER, encoded.input_ids) == interaction
    assert encoded.cut == 0


@quickly
@given(interactions(), st.integers(SMALLEST_LENGTH, 120))
def test_truncation_cuts_content_only(interaction, length):
    whole = encode_interaction(TOKENIZER, interaction, 10_000)
    encoded = encode_interaction(TOKENIZER, interaction, length)
    ids, controls = encoded.input_ids, [i for i in whole.input_ids if i < CONTROLS]
    assert [i for i in ids if i < CONTROLS] == controls
    assert (ids[0], ids[-1]) == (BOS, EOS)
    assert len(ids) == len(encoded.loss_mask) == len(whole.input_ids) - encoded.cut <= length
    assert len(ids) == length or not encoded.cut, "room was given away"
    learned = not interaction.is_system_prompt
    expected = [learned and i >= encoded.answer_start for i in range(len(ids))]
    place = 0
    for part, whole_part in zip(_blocks(ids), _blocks(whole.input_ids), strict=True):
        assert part == whole_part[: len(part)]
        place += len(part)
        if place > encoded.answer_start and len(part) < len(whole_part):
            expected[place] = False  # nothing ended where a content was cut
    assert encoded.loss_mask == expected


def _blocks(ids: list[int]) -> list[list[int]]:
    blocks: list[list[int]] = []
    for token in ids:
        if token < CONTROLS:
            blocks.append([])
        blocks[-1].append(token)
    return blocks


@quickly
@given(st.lists(TEXT, max_size=12), st.integers(3, 64))
def test_packed_rows_hold_every_document(texts, length):
    documents = TOKENIZER.encode_batch(texts)
    rows = pack(*TOKENIZER.encode_flat(texts), length).to_pylist()
    assert all(0 < len(row["input_ids"]) <= length for row in rows)
    pieces: list[list[int]] = []
    for row in rows:
        starts = [*row["document_starts"], len(row["input_ids"])]
        assert starts[0] == 0 and starts == sorted(set(starts))
        pieces += [row["input_ids"][a:b] for a, b in itertools.pairwise(starts)]
    expected = [[BOS, *ids, EOS] for ids in documents]
    cut = [ids[start : start + length] for ids in expected for start in range(0, len(ids), length)]
    assert sorted(pieces) == sorted(cut)


def test_the_generator_reaches_what_it_is_meant_to():
    found = set()

    @quickly
    @given(interactions())
    def collect(interaction: Interaction) -> None:
        texts = (interaction.query, interaction.answer, interaction.think)
        found.update(token for token in SPECIAL_TOKENS if any(token in text for text in texts))
        found.update("non-BMP" for text in texts if any(ord(c) > 0xFFFF for c in text))

    collect()
    assert found >= {"non-BMP", "[A]", "[EOS]"}


@pytest.mark.parametrize("ids", [[BOS, 6, 5, EOS], [300, BOS], [BOS, 5, 5, EOS], [BOS, 1, EOS]])
def test_what_is_no_interaction_is_not_read_as_one(ids):
    with pytest.raises(ValueError):
        decode_interaction(TOKENIZER, ids)
