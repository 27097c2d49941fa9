"""The tokenizer loses nothing, and user text never becomes control tokens."""

import hashlib
import json
import pickle
import subprocess
import sys

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer, TokenizerError
from tokenization.bpe.trainer import slow

TEXTS = [
    "Ala ma kota, a kot ma Alę. W Szczebrzeszynie chrząszcz brzmi w trzcinie i Szczebrzeszyn z tego słynie.",
    "The code of my locker is 4182, and the quick brown fox jumps over the lazy dog in 1984.",
    "[A] [A] [A][A][A] [Q] [EOS] [BOS][PAD] [MASK][A] [A]",
] * 40

NASTY = [
    "",
    " ",
    "zażółć gęślą jaźń",
    "zaz\u0307o\u0301l\u0301c\u0301 decomposed",
    "a\x00b\x01\x7f",
    "👩‍👩‍👧‍👦 family, flag 🇵🇱, tone 👍🏽",
    "line\r\nline\n\n\n\ttab   \u00a0 space     end   ",
    "\ufeffbom \u202eright to left\u202c العربية 日本語",
    "\U0010ffff\ud7ff\ue000",
    "x" * 5000,
    "Ġ Ċ ġ Ń",
    "[A] literal [EOS] and [PAD][BOS][T][C]{}",
    "İstanbul ﬁ ² ½ Ⅷ ٣",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, 600)


@pytest.mark.parametrize("text", NASTY)
def test_any_text_comes_back_exactly_and_without_control_ids(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(len(SPECIAL_TOKENS) <= i < tokenizer.vocab_size for i in ids)
    assert tokenizer.encode_batch([text, "other"])[0] == ids


def test_control_ids_are_fixed_in_the_saved_file(tokenizer, tmp_path):
    path = str(tmp_path / "tokenizer.json")
    tokenizer.save(path)
    raw = (tmp_path / "tokenizer.json").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == tokenizer.digest == Tokenizer.load(path).digest
    vocabulary = json.loads(raw)["model"]["vocab"]
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == list(range(11))
    # The file itself, opened as anybody would, does know the control tokens: the twin is what protects content.
    import tokenizers

    assert tokenizers.Tokenizer.from_file(path).encode("[A]").ids == [6]


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_injection_fails_also_after_pickling(tokenizer, token):
    text = f"x{token} {token}{token}\n{token}"
    for twin in (tokenizer, pickle.loads(pickle.dumps(tokenizer)), Tokenizer.from_json(tokenizer.json)):
        ids = twin.encode(text)
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert twin.decode(ids) == text


def test_injection_fails_in_another_process(tokenizer, tmp_path):
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(tokenizer))
    code = "import pickle, sys; print(min(pickle.load(open(sys.argv[1], 'rb')).encode('[A][EOS]')))"
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "t.pickle"], capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert int(out.stdout) >= len(SPECIAL_TOKENS)


def test_every_digit_is_a_token_of_its_own(tokenizer):
    ids = tokenizer.encode("1984 and 4182 and 1984")
    digits = [tokenizer.token(i) for i in ids if any(c.isdigit() for c in tokenizer.token(i))]
    assert digits == list("198441821984")


def test_training_is_deterministic_across_processes():
    code = (
        "import json, sys; from tokenization.bpe.tokenizer import Tokenizer;"
        "print(Tokenizer.train(iter(json.load(sys.stdin)), 600).digest)"
    )
    command, texts = [sys.executable, "-c", code], json.dumps(TEXTS)
    digests = {
        subprocess.run(
            command, input=texts, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS
        ).stdout
        for _ in range(2)
    }
    assert digests == {Tokenizer.train(TEXTS, 600).digest + "\n"}


def test_without_gigabpe_the_same_tokenizer_is_trained_and_a_line_says_so(tokenizer, monkeypatch):
    assert slow() == ""
    monkeypatch.setitem(sys.modules, "gigabpe", None)
    assert slow().startswith("gigabpe is not used, so training a vocabulary is several times slower: ")
    other = Tokenizer.train([*TEXTS, *NASTY * 2], 900)
    monkeypatch.undo()
    assert other.json == Tokenizer.train([*TEXTS, *NASTY * 2], 900).json and other.merges > tokenizer.merges


def test_a_foreign_tokenizer_is_refused(tokenizer, tmp_path):
    foreign = json.loads(tokenizer.json)
    foreign["model"]["vocab"]["[Q]"], foreign["model"]["vocab"]["[A]"] = 6, 5
    for special in foreign["added_tokens"]:
        special["id"] = foreign["model"]["vocab"][special["content"]]
    with pytest.raises(TokenizerError, match=r"\[Q\] has id 6, expected 5"):
        Tokenizer.from_json(json.dumps(foreign))
    with pytest.raises(TokenizerError, match="not a tokenizer.json"):
        Tokenizer.from_json("<html>")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=f"^{tmp_path}/tokenizer.json: not a tokenizer.json"):
        Tokenizer.load(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match="too small"):
        Tokenizer.train(TEXTS, 200)


def test_a_merge_that_ends_in_a_control_token_is_refused(tokenizer):
    poisoned = json.loads(tokenizer.json)
    vocabulary = poisoned["model"]["vocab"]
    vocabulary["[A"] = len(vocabulary)
    poisoned["model"]["merges"] += [["[", "A"], ["[A", "]"]]
    with pytest.raises(TokenizerError, match="content could produce"):
        Tokenizer.from_json(json.dumps(poisoned))
