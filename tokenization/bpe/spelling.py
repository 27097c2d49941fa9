"""How the tokens of a vocabulary are spelled, for a model that compares words by their first letters."""

from __future__ import annotations

import unicodedata

import numpy as np

from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.bpe.trainer import BYTE_ALPHABET

LETTERS = 5  # of a token; a model compares as many (`rxt_model.config.STEM_LETTERS`)
_STROKES = str.maketrans("łøđ", "lod")  # letters whose stroke is no accent in Unicode
_ALPHABET = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789", 1)}
_CODES = 255  # largest number of a letter
# The letter that a last byte ends. Where letters of Western Europe end in the same byte, the Polish one counts; of the
# two Polish ones that do, the one in lower case.
_ENDINGS = {letter.encode()[-1]: letter for letter in (*map(chr, range(0xC0, 0x100)), *"ĄĆĘŁŃÓŚŹŻąćęłńóśźż")}


def spelling(tokenizer: Tokenizer) -> np.ndarray:
    """Return a row per token, uint8 [V, 6]: whether it begins a new word, and the numbers of its first five letters or
    digits, 0 where there are no more. Letters count in lower case and without accents. A control token begins a word
    and has no letters. Where a letter of two bytes is two tokens, as rare capitals are, the second has the letter."""
    rows = np.zeros((tokenizer.vocab_size, 1 + LETTERS), np.uint8)
    rows[:, 0] = 1
    bytes_of = {letter: byte for byte, letter in BYTE_ALPHABET.items()}
    for token_id in range(len(SPECIAL_TOKENS), tokenizer.vocab_size):
        text = _text(bytes(bytes_of[letter] for letter in tokenizer.token(token_id)))
        word = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
        rows[token_id, 0] = word[:1] == " "
        letters = _letters(word.split()[-1] if word.strip() else "")
        rows[token_id, 1 : 1 + len(letters)] = letters
    return rows


def _text(token: bytes) -> str:
    """Return the text of a token, without the beginning of a letter that it does not end."""
    ended = _ENDINGS.get(token[0], "") if 0x80 <= token[0] < 0xC0 else ""
    return ended + token.decode(errors="ignore")


def _letters(word: str) -> list[int]:
    """Return the numbers of a word's first five letters."""
    plain = unicodedata.normalize("NFKD", word.lower().translate(_STROKES))
    return [
        _ALPHABET.get(c, len(_ALPHABET) + 1 + ord(c) % (_CODES - len(_ALPHABET)))
        for c in plain
        if not unicodedata.combining(c)
    ][:LETTERS]
