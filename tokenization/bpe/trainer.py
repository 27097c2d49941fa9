"""Merges of a byte-level BPE, learned by gigabpe on words cut with array operations.

gigabpe has no split of its own choice, so it gets a file that any split suits: words between blanks, every byte of them
written as one letter. Its merges are those of the `tokenizers` trainer, for a fraction of the processor time.
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenization.bpe.words import mark_words

BATCH_CHARACTERS = 300_000  # fastest while the arrays fit a processor's cache

# The alphabet of `tokenizers`' ByteLevel: printable bytes stand for themselves, the others follow from U+0100.
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
BYTE_ALPHABET = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(0x100 + n) for n, byte in enumerate(b for b in range(256) if b not in _PRINTABLE)
}

# One letter per byte, as `\w` sees letters; ASCII letters stand for themselves. NUL ends a word.
_OTHERS = iter([chr(code) for code in range(0x100, 0x250) if chr(code).isalpha()])
_LETTERS = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalpha() else next(_OTHERS) for byte in range(256))
_TABLE = "\n" + _LETTERS[1:]
_SURFACES = str.maketrans({letter: BYTE_ALPHABET[byte] for byte, letter in enumerate(_LETTERS)})


class TrainingError(ValueError):
    """Merges could not be learned."""


def learn_merges(texts: Iterable[str], tokens: int) -> list[tuple[str, str]]:
    """Pairs in `BYTE_ALPHABET`, most frequent first, that make at most `tokens` tokens beside the 256 bytes.

    Pairs seen once are not merged. The same texts give the same merges. The words go through a temporary file of about
    1.5 times the texts' size, in TMPDIR. Raises TrainingError where it cannot be written.
    """
    import gigabpe

    with tempfile.TemporaryDirectory(prefix="bpe-") as folder:
        words = Path(folder, "words.txt")
        try:
            with words.open("w", encoding="utf-8") as file:
                file.write("\n".join(_LETTERS) + "\n")  # every byte is in the vocabulary
                for batch in _batches(texts):
                    file.write(codecs.charmap_decode(mark_words(batch).encode(), "strict", _TABLE)[0] + "\n")
        except OSError as error:
            raise TrainingError(
                f"cannot write the words to train on to {words}: {error.strerror}; TMPDIR names another folder"
            ) from error
        _, merges = gigabpe.train_bpe([str(words)], 256 + tokens, pretokenizer="whitespace", min_frequency=2)
    return [(left.translate(_SURFACES), right.translate(_SURFACES)) for left, right in merges]


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """Texts with NUL between them, about BATCH_CHARACTERS at a time."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield "\0".join(batch)
            batch, size = [], 0
    yield "\0".join(batch)
