"""Put the tokens that memory holds together again: the words of a conversation, as far as memory has their tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer

MISSING = "…"


def held_words(
    tokenizer: Tokenizer, held: Sequence[int], interactions: Sequence[Sequence[int]]
) -> tuple[list[list[str]], list[str]]:
    """Return the held words of each interaction, in its order, and the held tokens that occur in none of them.

    `held` are the tokens of slots, and -1 for slots that hold none. A slot does not say where its token stood, so a
    token that was said twice counts for the newest word. `…` stands for the tokens of a word that are not held.
    """
    left = Counter(token for token in held if token >= len(SPECIAL_TOKENS))
    found: list[list[str]] = []
    for interaction in reversed(interactions):
        words = []
        for word in _words(tokenizer, interaction):
            kept = [left[token] > 0 and not left.subtract([token]) for token in word]
            text = _spelled(tokenizer, word, kept)
            if any(kept) and any(letter.isalnum() for letter in text):
                words.append(text)
        found.append(words)
    others = [tokenizer.decode([token]).strip() for token in held if left[token] > 0 and not left.subtract([token])]
    return found[::-1], [text for text in others if any(letter.isalnum() for letter in text)]


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[list[int]]:
    """The tokens of each word. A word ends before a token that begins with a space or a sign, and at control tokens."""
    word: list[int] = []
    for token in ids:
        text = tokenizer.decode([token])
        goes_on = bool(word) and token >= len(SPECIAL_TOKENS) and _inside(text[:1])
        if word and not (goes_on and _inside(tokenizer.decode(word[-1:])[-1:])):
            yield word
            word = []
        if token >= len(SPECIAL_TOKENS):
            word.append(token)
    if word:
        yield word


def _inside(letter: str) -> bool:
    """Whether a letter may stand inside a word. U+FFFD is a part of one."""
    return letter.isalnum() or letter == "\ufffd"


def _spelled(tokenizer: Tokenizer, word: Sequence[int], kept: Sequence[bool]) -> str:
    parts: list[list[int] | None] = []
    for token, is_kept in zip(word, kept, strict=True):
        if not is_kept:
            parts += [] if parts and parts[-1] is None else [None]
        elif parts and parts[-1] is not None:
            parts[-1].append(token)
        else:
            parts.append([token])
    return "".join(MISSING if part is None else tokenizer.decode(part) for part in parts).strip()
