"""Cleaning: what is repaired, what is dropped and for which reason, and stable splits."""

import subprocess
import sys
from collections import Counter

import pytest

from tokenization.clean import Cleaner, document_id, polish_lead, repair, split_of

ENGLISH = "Choose the file that you want to open and click the button."
POLISH = "Wybierz plik, który chcesz otworzyć, i kliknij przycisk."


def test_repair():
    assert repair("zaÅ¼Ã³Å‚Ä‡ gÄ™Å›lÄ…") == "zażółć gęślą"  # UTF-8 read as Windows-1252
    assert repair("z\u0307o\u0301ł\u0142w") == "żółłw"
    assert repair("\ufeffa\u00a0b \r\nc\x00\x1b\u200b\r\n\r\n\r\n\r\nd\t\n") == "a b\nc\n\nd"
    assert repair("  if x:\n    y\u00ad") == "if x:\n    y"
    assert repair("👩\u200d🚀 stays") == "👩\u200d🚀 stays"
    assert repair("so\x85\x07\ufffd") == "so…"  # a control character that Windows-1252 has a letter for


@pytest.mark.parametrize(
    "text",
    [
        POLISH,
        "Nie wiem czy to jest dobry pomysl, ale juz tak bylo i tak bedzie.",
        "Gęś",
        "Kliknij the button w menu, który",
    ],
)
def test_leans_to_polish(text):
    assert polish_lead(text) > 0


@pytest.mark.parametrize("text", [ENGLISH, "The command Zapisz is in the menu and you can use it.", "Is it a café?"])
def test_leans_to_english(text):
    assert polish_lead(text) < 0


@pytest.mark.parametrize("text", ["", "OK", "to on do a i by no ten", "Writer 7.4", "12345"])
def test_says_nothing(text):
    assert polish_lead(text) == 0


def test_polish_documents_lose_english_and_undecided_paragraphs():
    undecided = "LibreOffice Writer Calc Impress Draw Base Math Basic"
    short = "Menu Format"
    clean = Cleaner("pl", min_characters=10)
    assert clean("\n".join([POLISH, ENGLISH, undecided, short])) == f"{POLISH}\n{short}"
    assert clean.removed == {"english": len(ENGLISH), "undecided": len(undecided)}


def test_plain_ascii_polish_and_mixed_lines_stay():
    ascii_polish = "Nie wiem czy to jest dobry pomysl, ale tak bylo zawsze."
    mixed = "Aby to otworzyć, kliknij Open File, a potem wybierz the icon."
    assert Cleaner("pl", 10)(f"{ascii_polish}\n{mixed}") == f"{ascii_polish}\n{mixed}"


def test_english_documents_lose_polish_paragraphs_alone():
    clean = Cleaner("en", 10)
    assert clean(f"{ENGLISH}\n{POLISH}\nW. A. Mozart\nXYZ Writer Calc Impress Draw Base Math Basic") == (
        f"{ENGLISH}\nW. A. Mozart\nXYZ Writer Calc Impress Draw Base Math Basic"
    )
    assert clean.removed == {"polish": len(POLISH.encode())}


def test_repeated_paragraphs_count_once_per_source_and_short_ones_may_repeat():
    clean = Cleaner("en", 1)
    assert clean(f"{ENGLISH}\nYes.\n{ENGLISH}\nYes.") == f"{ENGLISH}\nYes.\nYes."
    assert clean(ENGLISH) == ""
    assert clean.removed == {"repeated": 2 * len(ENGLISH), "short": 0}
    assert Cleaner("en", 1)(ENGLISH) == ENGLISH


def test_whole_documents_keep_their_lines_together():
    dialogue = f"hello\n{ENGLISH}\n{ENGLISH}\nJak się masz, co robisz?"
    clean = Cleaner("en", 1, whole=True)
    assert clean(dialogue) == dialogue
    assert clean(dialogue) == ""
    assert clean.removed["repeated"] == len(dialogue.encode())
    assert Cleaner("en", 1, whole=True)(f"{POLISH}\n{POLISH}\nhello") == ""


def test_short_and_vulgar_documents_are_dropped():
    clean = Cleaner("pl", 40)
    assert clean("Za krótkie.") == ""
    assert clean(f"{POLISH} Kurwa.") == ""
    assert clean.removed == {"short": len("Za krótkie.".encode()), "vulgar": len(f"{POLISH} Kurwa.".encode())}
    innocent = "Ktoś przesłuchuje cechujące się szczawiem rachuby, a ciotka naciska pedał i podkochuje się."
    assert clean(innocent) == innocent


def test_split_shares_and_stability():
    texts = [f"document number {number}" for number in range(4_000)]
    shares = Counter(split_of(text, 0.1, 0.2) for text in texts)
    assert 330 < shares["validation"] < 470 and 700 < shares["test"] < 900
    assert {split_of(text, 0, 0) for text in texts} == {"train"}
    held_out = {text for text in texts if split_of(text, 0.02, 0.02) == "test"}
    assert held_out <= {text for text in texts if split_of(text, 0.5, 0.1) == "test"}


def test_splits_and_ids_do_not_depend_on_the_process():
    code = (
        "from tokenization.clean import *; print(document_id('s', 'źle'), [split_of(str(n), .3, .3) for n in range(9)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONHASHSEED": "7"}).stdout  # fmt: skip
    assert said.strip() == f"{document_id('s', 'źle')} {[split_of(str(n), 0.3, 0.3) for n in range(9)]}"
    assert document_id("s", "a") != document_id("s", "b") != document_id("t", "b")
