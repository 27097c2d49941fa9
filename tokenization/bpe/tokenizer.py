"""Byte-level BPE for both languages. User text is encoded by a twin of the tokenizer that knows no control tokens.

The `tokenizers` library has a switch that keeps user text from producing control tokens, but saving and pickling lose
it: in a remote worker the text "[A]" would become the control id. The twin has the same vocabulary and no added
tokens, so nothing can be lost on the way.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence

import fsspec
import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from tokenization.bpe.encoder import engine
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.trainer import BYTE_ALPHABET, learn_merges
from tokenization.bpe.words import SPLIT
from tokenization.files.storage import write

SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + len(BYTE_ALPHABET)

INCOMPLETE = "\ufffd"
"""What `decode` gives for the bytes of a character that are not all there."""


class TokenizerError(ValueError):
    """This project cannot use a tokenizer.json, or cannot train a tokenizer as requested."""


class Tokenizer:
    """Converts between text and ids. `encode` returns content ids only: no text can produce a control id."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.json = tokenizer.to_str()
        self.digest = hashlib.sha256(self.json.encode()).hexdigest()
        self.vocab_size = tokenizer.get_vocab_size(with_added_tokens=True)
        declared = json.loads(self.json)
        _check(declared, tokenizer)
        self.merges = len(declared["model"]["merges"])
        self.content = json.dumps(declared | {"added_tokens": []})
        self._content = tokenizers.Tokenizer.from_str(self.content)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn merges. The same texts give the same bytes. Too little text gives fewer than `vocab_size` tokens."""
        if vocab_size < SMALLEST_VOCABULARY:
            raise TokenizerError(
                f"a vocabulary of {vocab_size} is too small: control tokens and bytes take {SMALLEST_VOCABULARY}"
            )
        merges = learn_merges(texts, vocab_size - SMALLEST_VOCABULARY)
        tokens = (*SPECIAL_TOKENS, *sorted(BYTE_ALPHABET.values()), *(left + right for left, right in merges))
        vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
        tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
        return cls(tokenizer)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Read the content of a tokenizer.json. Raises TokenizerError if this project cannot use it."""
        try:
            tokenizer = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing more specific
            raise TokenizerError(f"not a tokenizer.json: {error}") from error
        return cls(tokenizer)

    @classmethod
    def load(cls, url: str) -> Tokenizer:
        """Read a tokenizer.json at a local path or any fsspec URL. Raises TokenizerError, which names the URL."""
        with fsspec.open(url, "rb") as file:
            content = file.read()
        try:
            return cls.from_json(content.decode())
        except (TokenizerError, UnicodeDecodeError) as error:
            raise TokenizerError(f"{url}: {error}") from error

    def save(self, url: str) -> None:
        """Write tokenizer.json. The file's sha256 equals `digest`."""
        write(url, self.json.encode())

    def encode(self, text: str) -> list[int]:
        """Return the content ids of a text, without any control token."""
        return self.encode_flat([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts."""
        ids, offsets = self.encode_flat(texts)
        return [ids[start:end].tolist() for start, end in itertools.pairwise(offsets)]

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encode many texts without making a Python object per token.

        Returns ids, int32 [N], and offsets, int64 [len(texts) + 1]: text i has ids[offsets[i] : offsets[i + 1]]. Both
        may be read-only.
        """
        return engine(self.content).encode_flat(texts)

    @property
    def slow(self) -> str:
        """Why this process does not use the fast engine; empty if it does."""
        return engine(self.content).slow

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the content ids and drop control ids. Incomplete UTF-8 shows as U+FFFD."""
        return self._content.decode([i for i in ids if i >= len(SPECIAL_TOKENS)], skip_special_tokens=False)

    def token(self, token_id: int) -> str:
        """Return one token as the vocabulary spells it, in the byte alphabet. Raises TokenizerError for unknown ids."""
        token = self._content.id_to_token(token_id)
        if token is None:
            raise TokenizerError(f"id {token_id} is outside the vocabulary of {self.vocab_size}")
        return token

    def __reduce__(self) -> tuple:
        return Tokenizer.from_json, (self.json,)


def _check(declared: dict, tokenizer: tokenizers.Tokenizer) -> None:
    """Check that control tokens have their fixed ids and that no merge of content produces one."""
    if declared["model"]["type"] != "BPE":
        raise TokenizerError(f"this is a {declared['model']['type']} tokenizer, expected byte-level BPE")
    for expected, token in enumerate(SPECIAL_TOKENS):
        if tokenizer.token_to_id(token) != expected:
            raise TokenizerError(f"control token {token} has id {tokenizer.token_to_id(token)}, expected {expected}")
    reachable = {left + right for left, right in declared["model"]["merges"]} & set(SPECIAL_TOKENS)
    if reachable or declared["model"]["ignore_merges"]:
        raise TokenizerError(f"content could produce the control tokens {sorted(reachable) or list(SPECIAL_TOKENS)}")
