"""Learn the merges of a byte-level BPE with gigabpe, on words that array operations have cut.

gigabpe cannot take a split of ours. So it gets a file that it splits at blanks: our words with blanks between them,
every byte written as one letter. It learns the same merges as the `tokenizers` trainer, in a fraction of the time.
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenization.bpe.words import mark_words

BATCH_CHARACTERS = 300_000  # fastest while the arrays fit a processor's cache

# The alphabet of `tokenizers`' ByteLevel: a printable byte stands for itself, the others get characters from U+0100 on.
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
BYTE_ALPHABET = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(0x100 + n) for n, byte in enumerate(b for b in range(256) if b not in _PRINTABLE)
}

# Every byte is written as one letter that `\w` matches; ASCII letters stand for themselves. NUL ends a word.
_OTHERS = iter([chr(code) for code in range(0x100, 0x250) if chr(code).isalpha()])
_LETTERS = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalpha() else next(_OTHERS) for byte in range(256))
_TABLE = "\n" + _LETTERS[1:]
_SURFACES = str.maketrans({letter: BYTE_ALPHABET[byte] for byte, letter in enumerate(_LETTERS)})


class TrainingError(ValueError):
    """The merges could not be learned."""


def learn_merges(texts: Iterable[str], tokens: int) -> list[tuple[str, str]]:
    """Return the merged pairs in `BYTE_ALPHABET`, most frequent first: at most `tokens` tokens beside the 256 bytes.

    Pairs that occur once are not merged. The same texts give the same merges. The words are written to a temporary file
    in TMPDIR, about 1.5 times as large as the texts. Raises TrainingError if the file cannot be written.
    """
    import gigabpe

    with tempfile.TemporaryDirectory(prefix="bpe-") as folder:
        words = Path(folder, "words.txt")
        try:
            with words.open("w", encoding="utf-8") as file:
                file.write("\n".join(_LETTERS) + "\n")  # so every byte is in the vocabulary
                for batch in _batches(texts):
                    file.write(codecs.charmap_decode(mark_words(batch).encode(), "strict", _TABLE)[0] + "\n")
        except OSError as error:
            raise TrainingError(
                f"cannot write the training words to {words}: {error.strerror}; set TMPDIR to use another folder"
            ) from error
        _, merges = gigabpe.train_bpe([str(words)], 256 + tokens, pretokenizer="whitespace", min_frequency=2)
    return [(left.translate(_SURFACES), right.translate(_SURFACES)) for left, right in merges]


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """Join texts with NUL between them, about BATCH_CHARACTERS at a time."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield "\0".join(batch)
            batch, size = [], 0
    yield "\0".join(batch)
