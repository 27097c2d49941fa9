"""Answers that think first: what they quote, what stays the same without them, and which tokens are learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY, THINK
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import encode_interaction, encode_windows
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.values import PERSON, split_values
from tokenization.dialogues.wording import PHRASEBOOKS, generate
from tokenization.records import LANGUAGES, Interaction, InteractionInMode

JOINS = DialogueSpec(turns=(9, 15), facts=(3, 5), joins=0.9, distract=0.1, unknown=0.1)


def conversations(language, share, split="test"):
    return [generate(replace(JOINS, thinking=share), language, split, 3, index) for index in range(120)]


def joins(told):
    return [(one, probe, one.interactions[probe.turn]) for one in told for probe in one.probes if probe.tag == "join"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_half_of_the_joins_think_and_nothing_else_differs(language):
    plain, mixed = conversations(language, 0.0), conversations(language, 0.5)
    turns = [turn for one in plain for turn in one.interactions]
    assert not any(turn.think or isinstance(turn, InteractionInMode) for turn in turns)
    found = [turn for _, _, turn in joins(mixed)]
    assert len(found) > 200 and 0.4 < sum(bool(turn.think) for turn in found) / len(found) < 0.6
    assert all(isinstance(turn, InteractionInMode) != bool(turn.think) for turn in found)
    marked = [turn for one in mixed for turn in one.interactions if turn.think or isinstance(turn, InteractionInMode)]
    assert len(marked) == len(found)
    for one, other in zip(plain, mixed, strict=True):
        said = tuple(Interaction(turn.query, turn.answer) for turn in other.interactions)
        assert one == replace(other, interactions=said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_thoughts_quote_both_facts_as_they_were_told_before(language):
    book = PHRASEBOOKS[language].acquaintances
    for one, probe, turn in joins(conversations(language, 1.0)):
        told = [said.query for said in one.interactions[: probe.turn]]
        first, second = turn.think.split(". ")
        assert f"{first}." in told
        (person,) = [value[0] for value in split_values(language, PERSON, "test") if value[0] in first]
        homes = [template.format(person, probe.gold[0]) for template in book.residence.tells]
        assert second == homes[0] and len(set(homes) & set(told)) == 1
        assert probe.gold[0] in turn.answer and probe.gold[0] not in first and person not in turn.query + turn.answer


@pytest.mark.parametrize("language", LANGUAGES)
def test_thoughts_of_training_hold_no_person_and_no_place_of_the_test_split(language):
    held_out = [value for slot in (PERSON, "residence") for value in split_values(language, slot, "test")]
    thoughts = " ".join(turn.think for _, _, turn in joins(conversations(language, 1.0, "train")))
    assert len(held_out) > 20 and not any(form in thoughts for value in held_out for form in value)


def test_the_choice_of_the_mode_is_a_target_only_where_the_row_made_it():
    tokenizer = Tokenizer.train(["where does my boss live in Porto"] * 5, 300)
    question, answer, think = (tokenizer.encode(text) for text in ("where?", "Porto", "boss"))
    before = [False] * (2 + len(question))
    chosen = encode_interaction(tokenizer, Interaction("where?", "Porto"), 64)
    thought = encode_interaction(tokenizer, Interaction("where?", "Porto", think="boss"), 64)
    given = encode_interaction(tokenizer, InteractionInMode("where?", "Porto"), 64)
    assert thought.input_ids == [BOS, QUERY, *question, THINK, *think, ANSWER, *answer, EOS]
    assert given.input_ids == chosen.input_ids == [BOS, QUERY, *question, ANSWER, *answer, EOS]
    assert thought.loss_mask == [*before, True, *[True] * len(think), True, *[True] * len(answer), True]
    assert chosen.loss_mask == [*before, True, *[True] * len(answer), True]
    assert given.loss_mask == [*before, False, *[True] * len(answer), True]
    long = InteractionInMode("where?", "Porto " * 40)
    (first, *others) = next(encode_windows(tokenizer, [long], 32))
    assert others and first.loss_mask == [*before, False, *[True] * (28 - len(question)), False]
    assert all(window.loss_mask.count(True) > 0 for window in others)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"thinking = 1\.5: must be from 0 to 1"):
        DialogueSpec(thinking=1.5)
