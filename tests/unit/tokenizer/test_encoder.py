"""The fast engine gives the reference's ids as arrays. If it would not, the reference takes over, with one warning."""

import itertools
import json
import warnings

import numpy as np
import pytest

from tokenization.bpe.encoder import Reference, Snaptokens, engine, first_difference
from tokenization.bpe.hard_texts import hard_texts
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer

TEXTS = ["Ala ma kota, a kot ma Alę.\n\nThe code is 4182.", "", "[A] [EOS] zażółć gęślą jaźń", "it's (odd)"] * 30


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 400)


def test_the_fast_engine_is_used_and_equal_on_hostile_text(tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = engine(tokenizer.content)
    assert isinstance(fast, Snaptokens) and tokenizer.slow == ""
    assert first_difference(fast, Reference(tokenizer.content), hard_texts()) is None
    assert min(fast.encode_flat(hard_texts())[0]) >= len(SPECIAL_TOKENS)


def test_flat_arrays_are_the_lists(tokenizer):
    ids, offsets = tokenizer.encode_flat(TEXTS)
    assert (ids.dtype, offsets.dtype, len(offsets)) == (np.int32, np.int64, len(TEXTS) + 1)
    cut = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert cut == tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert [tokenizer.decode(part) for part in cut] == TEXTS
    assert tokenizer.encode_flat([])[1].tolist() == [0]


def test_a_split_the_engine_does_not_know_falls_back_with_one_warning(tokenizer):
    content = json.loads(tokenizer.content)
    content["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": r"\d|[^\d]"}
    content = json.dumps(content)
    with pytest.warns(RuntimeWarning, match="snaptokens is not used") as caught:
        assert isinstance(engine(content), Reference)
        engine(content)
    assert len(caught) == 1
    assert engine(content).slow == str(caught[0].message)


def test_the_hard_texts_hold_what_engines_get_wrong_and_is_always_the_same():
    texts = hard_texts()
    assert texts == hard_texts() and all(text == text.encode().decode() for text in texts)
    whole = "".join(texts)
    for part in (
        *SPECIAL_TOKENS,
        "jaźń",
        "„",
        "👩🏽\u200d🚀",
        "🇵🇱",
        "\u0301\u0328",
        " " * 64,
        "\t" * 64,
        "def f(x):",
        "2026",
        "שלום",
    ):
        assert part in whole, part
    assert max(len(text) - len(text.lstrip()) for text in texts) >= 300


def test_a_difference_is_named():
    class Shifted(Reference):
        def encode_flat(self, texts):
            ids, offsets = super().encode_flat(texts)
            return ids + np.int32(1), offsets

    content = Tokenizer.train(TEXTS, 300).content
    assert first_difference(Shifted(content), Reference(content), ["", "one", "two"]) == "one"
