"""The spelling of a vocabulary, read as letters."""

import pytest

from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.spelling import spelling
from tokenization.bpe.tokenizer import Tokenizer

ALPHABET = "\0abcdefghijklmnopqrstuvwxyz0123456789"
TEXT = "Latarkę mam, latarka leży. Żółw i żółwie, żaby ŁÓDŹ łódź don't room42 (nie) naïve Straße "


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train([TEXT * 60], 420)


def read(tokenizer, text):
    """How the tokens of a text are spelled: `|` begins a word."""
    rows = spelling(tokenizer)[tokenizer.encode(text)]
    return "".join("|" * row[0] + "".join(ALPHABET[n] for n in row[1:] if n) for row in rows.tolist())


def test_letters_are_lower_case_and_without_accents(tokenizer):
    assert read(tokenizer, "Latarkę") == "latar"  # one token, of which five letters count
    assert read(tokenizer, " żółwie") == read(tokenizer, " żółwie ")[:-1] == "|zolwi"
    assert read(tokenizer, " ŁÓDŹ łódź") == "|lodz|lodz"
    assert read(tokenizer, " naïve") == "|naive"


def test_a_blank_and_a_sign_begin_a_word_and_letters_go_on(tokenizer):
    assert read(tokenizer, "don't") == "don|t"
    assert read(tokenizer, "mam, (nie)") == "mam||nie|"  # the comma, and the bracket that leads its word
    assert read(tokenizer, " room42") == "|room42"


def test_control_tokens_end_a_word_and_parts_of_a_letter_spell_nothing(tokenizer):
    rows = spelling(tokenizer)
    assert rows.shape == (tokenizer.vocab_size, 6)
    assert (rows[: len(SPECIAL_TOKENS)] == [1, 0, 0, 0, 0, 0]).all()
    first, second = tokenizer.encode("ů")  # a letter that no text has: its two bytes
    assert not rows[first].any() and not rows[second, 0]


def test_letters_that_are_two_tokens_count_where_they_end():
    """As in a small vocabulary, where capitals of Polish are rare."""
    tokenizer = Tokenizer.train(["żółw święta ślub ćwiczenia łódź nie ma tu " * 60], 330)
    for capital, plain in (
        ("Żółw", "żółw"),
        ("Święta", "święta"),
        ("Ślub", "ślub"),
        ("ŁÓDŹ", "łódź"),
        ("Ćwicz", "ćwicz"),
    ):
        assert len(tokenizer.encode(f" {capital[0]}")) > 1
        assert read(tokenizer, f" {capital}")[:6] == read(tokenizer, f" {plain}")[:6]
    assert read(tokenizer, " café") == "|cafe"


def test_letters_of_other_alphabets_have_numbers_too():
    other = Tokenizer.train(["привет мир " * 60], 300)
    rows = spelling(other)[other.encode(" привет")]
    assert len(rows) == 1 and rows[0, 0] == 1 and (rows[0, 1:] > len(ALPHABET) - 1).all()
