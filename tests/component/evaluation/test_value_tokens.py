"""Which tokens of a value are expected, and what a tokenizer may do to values."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from jobs.evaluation.conversations import load_conversations
from jobs.evaluation.speakers import ReactiveSpeaker, StatelessSpeaker
from jobs.evaluation.value_tokens import (
    ValueTokenError,
    check_values,
    follow,
    value_places,
    value_token_rates,
)
from jobs.stage.context import Rerun, StageError
from tests.support.evaluation_data import LENGTH, make_models, make_shards, make_tokenizer
from tokenization.bpe.special_tokens import ANSWER, EOS
from tokenization.records import Probe
from tokenization.shards.reader import ShardReader


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def conversations(tokenizer, tmp_path_factory):
    uris = make_shards(tmp_path_factory.mktemp("shards"), tokenizer, conversations=20)
    return load_conversations(ShardReader(uris["conversations"], "test"), 20, seed=0)


def answer(tokenizer, text):
    return [ANSWER, *tokenizer.encode(text), EOS]


def probe(*gold, tag=""):
    return Probe(3, "broad/name", "recall", gold, (), 2, 1, tag)


@pytest.mark.parametrize(
    ("text", "gold", "values"),
    [
        ("Twoja kotka to Żółtaczka.", ("Żółtaczka",), ["Żółtaczka"]),
        ("It is Jan or jan kowalski.", ("Jan", "Jan Kowalski"), ["jan kowalski"]),
        ("Nan, Ann and An.", ("An",), ["An"]),
        ("at 14:00!", ("14:00",), ["14:00"]),
    ],
)
def test_the_tokens_of_a_value_spell_it(tokenizer, text, gold, values):
    ids = answer(tokenizer, text)
    found = value_places(tokenizer, ids, probe(*gold))
    assert [tokenizer.decode(ids[place] for place in places).strip() for places in found] == values


def test_two_facts_have_two_values(tokenizer):
    ids = answer(tokenizer, "Rex, and the code is 4182.")
    code, name = value_places(tokenizer, ids, probe("4182", "Rex", tag="two-facts"))
    assert tokenizer.decode(ids[place] for place in code).strip() == "4182" and max(name) < min(code)


class Glued:
    """A tokenizer with tokens of four letters each, whatever the words."""

    def __init__(self, text):
        self.text = text

    def encode(self, text):
        return [100 + i for i in range(0, len(text), 4)]

    def decode(self, ids):
        return "".join(self.text[i - 100 : i - 96] for i in ids)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("xRex barks", "'xRex barks' does not hold 'Rex'"),
        ("It is Rex.", "a token of 'It is Rex.' holds 's .' and a part of 'Rex'"),
        ("I: Rex a.", "a token of 'I: Rex a.' holds 'I:  a' and a part of 'Rex'"),
    ],
)
def test_a_token_with_letters_of_a_value_and_of_other_words_is_refused(text, fault):
    glued = Glued(text)
    with pytest.raises(ValueTokenError, match=re.escape(fault)):
        value_places(glued, answer(glued, text), probe("Rex"))


def test_a_tokenizer_that_loses_values_is_named_with_the_conversation(tokenizer, conversations):
    class Lossy:
        def decode(self, ids):
            return tokenizer.decode(ids).replace("a", "e").replace("1", "7")

    with pytest.raises(StageError, match=r"conversation dialogue-.*, turn \d+: the tokenizer does not keep") as caught:
        check_values(Lossy(), conversations, LENGTH, "tokenizer")
    assert caught.value.remedy == Rerun("tokenizer")


def test_a_question_whose_answer_was_cut_is_left_out(tokenizer, conversations):
    one = conversations[0]
    turn = next(turn for turn, probe in one.probes.items() if probe.kind != "unknown")
    length = len(one.queries[turn]) + 2
    cut = replace(one, answers=(*one.answers[:turn], [ANSWER, EOS], *one.answers[turn + 1 :]))
    kept, number = check_values(tokenizer, [cut, conversations[1]], length, "tokenizer")
    assert number == 1 and set(kept[0].probes) == set(one.probes) - {turn} and kept[1].probes == conversations[1].probes


@pytest.mark.parametrize("number", [0, 1], ids=["rxt", "baseline"])
def test_expected_tokens_are_those_of_a_pass_over_one_conversation(tokenizer, conversations, number):
    """Without batches, padding or a speaker: memory or history by hand."""
    model = make_models(tokenizer)[number]
    speaker = (ReactiveSpeaker, StatelessSpeaker)[number](model)
    found = {place[:2]: place[2] for place in follow(speaker, conversations, 8)}
    told = [(n, t) for n, one in enumerate(conversations) for t, p in one.probes.items() if p.kind != "unknown"]
    assert sorted(found) == sorted(told)
    with torch.inference_mode():
        for n, turn in told[:6]:
            one, earlier = conversations[n], range(turn)
            turns = [torch.tensor([one.queries[t] + one.answers[t]]) for t in (*earlier, turn)]
            if number:
                ids = torch.cat(turns, 1)
                output = model.decode(ids)
            else:
                memory = model.initial_memories([torch.Generator().manual_seed(n)])
                for row in turns[:-1]:
                    mask = torch.ones_like(row, dtype=torch.bool)
                    memory = model.write(memory, model.encode(row, mask, memory=memory), mask)
                ids = turns[-1]
                output = model.decode(ids, memory)
            length = len(one.answers[turn])
            assert model.logits(output)[0, -length - 1 : -1].argmax(-1).tolist() == found[n, turn]


def test_rates_count_first_second_and_later_tokens(tokenizer, conversations):
    class Half:
        """Expects the right token at even places of the answer."""

        arms = ("half",)

        def begin(self, numbers): ...
        def remember(self, rows, interactions, telling): ...

        def expect(self, rows, queries, answers):
            return [[token if i % 2 == 0 else 0 for i, token in enumerate(ids)] for ids in answers]

    rates = value_token_rates(Half(), tokenizer, conversations, 8)
    assert set(rates) == {"all", "templates"} and rates["all"] == rates["templates"]
    places = [
        value_places(tokenizer, one.answers[turn], probe)[0]
        for one in conversations for turn, probe in one.probes.items() if probe.kind != "unknown"
    ]  # fmt: skip
    assert rates["all"]["first"]["n"] == len(places)
    assert rates["all"]["first"]["correct"] == sum(found[0] % 2 == 0 for found in places)
    assert rates["all"]["later"]["n"] == sum(max(0, len(found) - 2) for found in places)
    assert rates["all"]["value"]["correct"] == sum(all(place % 2 == 0 for place in found) for found in places)
