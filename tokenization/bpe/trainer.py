"""Learn the merges of a byte-level BPE with gigabpe, on words that array operations have cut.

gigabpe cannot take a split of ours. So it gets a file that it splits at blanks: our words with blanks between them,
every byte written as one letter. The trainer of `tokenizers` learns the same merges from that file, in several times
the time. It takes over where gigabpe, which is young, is not installed.
"""

from __future__ import annotations

import codecs
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenization.bpe.words import mark_words

LEAST_OFTEN = 2  # times that a pair must occur
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
        learn = _by_tokenizers if slow() else _by_gigabpe
        merges = learn(str(words), 256 + tokens)
    return [(left.translate(_SURFACES), right.translate(_SURFACES)) for left, right in merges]


def slow() -> str:
    """Return why merges are not learned by gigabpe; empty if they are."""
    try:
        import gigabpe  # noqa: F401
    except ImportError as error:
        return f"gigabpe is not used, so training a vocabulary is several times slower: {error}"
    return ""


def _by_gigabpe(words: str, tokens: int) -> list[tuple[str, str]]:
    import gigabpe

    return gigabpe.train_bpe([words], tokens, pretokenizer="whitespace", min_frequency=LEAST_OFTEN)[1]


def _by_tokenizers(words: str, tokens: int) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=tokens, min_frequency=LEAST_OFTEN, show_progress=False)
    tokenizer.train([words], trainer)
    return json.loads(tokenizer.to_str())["model"]["merges"]


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
