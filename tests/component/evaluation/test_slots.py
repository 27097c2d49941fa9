"""What the slots of a copying model hold, and from which of them it copies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from jobs.evaluation.conversations import load_conversations
from jobs.evaluation.held_words import held_words
from jobs.evaluation.slots import slot_examples
from jobs.evaluation.speakers import ReactiveSpeaker
from rxt_model.config import MemoryConfig
from rxt_model.generate import answer
from rxt_model.model import ReactiveTransformer
from tests.support.evaluation_data import ARCHITECTURE, make_models, make_shards, make_tokenizer
from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY
from tokenization.shards.reader import ShardReader


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def interaction(tokenizer, query, said):
    return [BOS, QUERY, *tokenizer.encode(query), ANSWER, *tokenizer.encode(said), EOS]


def test_words_are_put_together_again_turn_by_turn(tokenizer):
    turns = [interaction(tokenizer, "My cat is Żółtaczka, ok?", "Noted."), interaction(tokenizer, "Your cat", "Ok")]
    cat, name = tokenizer.encode(" cat"), tokenizer.encode(" Żółtaczka")
    assert len(name) > 2
    assert held_words(tokenizer, [*name[::-1], -1, *cat], turns) == ([["Żółtaczka"], ["cat"]], [])
    assert held_words(tokenizer, [*cat, *cat, *name], turns)[0] == [["cat", "Żółtaczka"], ["cat"]]


def test_what_is_missing_of_a_word_and_what_was_never_said_is_told(tokenizer):
    turns = [interaction(tokenizer, "Żółtaczka", "Noted.")]
    name = tokenizer.encode("Żółtaczka")
    ((word,),), others = held_words(tokenizer, [*name[:-1], *tokenizer.encode("7")], turns)
    assert word == tokenizer.decode(name[:-1]).strip() + "…" and others == ["7"]
    assert held_words(tokenizer, [-1, BOS, EOS], turns) == ([[]], [])


@pytest.fixture(scope="module")
def copying(tokenizer):
    torch.manual_seed(0)
    shape = replace(ARCHITECTURE, copying=True, memory=MemoryConfig(slots=8, variant="selective"))
    return ReactiveTransformer(shape.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)).eval()


def test_an_example_is_the_conversation_as_it_is_held_with_the_model(tokenizer, copying, tmp_path):
    uris = make_shards(tmp_path, tokenizer, conversations=12)
    conversations = load_conversations(ShardReader(uris["conversations"], "test"), 20, seed=0)
    found = slot_examples(ReactiveSpeaker(copying), tokenizer, conversations)
    assert [example["language"] for example in found] == ["en", "pl"]
    for example in found:
        one = next(one for one in conversations if one.id == example["conversation"])
        asked = [tokenizer.decode(query) for query in one.queries].index(example["question"])
        assert one.probes[asked].gold[0] == example["gold"] and len(example["turns"]) == asked
        memory = copying.initial_memories([torch.Generator().manual_seed(0)])
        with torch.inference_mode():
            for query in one.queries[:asked]:
                ids = query + answer(copying, memory, [query], [64 - len(query)])[0]
                row = torch.tensor([ids])
                mask = torch.ones_like(row, dtype=torch.bool)
                memory = copying.write(memory, copying.encode(row, mask, memory=memory), mask)
        slots = copying.slot_ids(memory)[0].tolist()
        assert [bool(word) for word in example["slots"]] == [token >= 0 for token in slots]
        for token in example["tokens"]:
            assert len(token["slots"]) == 8 and 0 < sum(token["slots"]) + token["interaction"] < 1


def test_a_model_without_names_for_its_slots_has_no_example(tokenizer, tmp_path):
    uris = make_shards(tmp_path, tokenizer, conversations=6, text_rows=3)
    conversations = load_conversations(ShardReader(uris["conversations"], "test"), 10, seed=0)
    assert slot_examples(ReactiveSpeaker(make_models(tokenizer)[0]), tokenizer, conversations) == []
