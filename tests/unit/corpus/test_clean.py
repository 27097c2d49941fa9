"""Cleaning: what is repaired, what is dropped and for which reason, and stable splits."""

import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from tests.support.corpus_data import TextCleaner
from tests.support.processes import SECONDS
from tokenization.cleaning import cleaner
from tokenization.cleaning.misread import is_misread
from tokenization.cleaning.paragraphs import paragraphs
from tokenization.cleaning.removals import Removals, merged
from tokenization.cleaning.repair import Repairs, repair
from tokenization.cleaning.words import text_key
from tokenization.documents import document_id, split_of
from tokenization.hashing import stable_hash

ENGLISH = "Choose the file that you want to open and click the button."
POLISH = "Wybierz plik, który chcesz otworzyć, i kliknij przycisk."


def lost(clean: TextCleaner) -> dict[str, int]:
    return {reason: entry["bytes"] for reason, entry in clean.removed.as_dict().items()}


def test_repair():
    assert repair("zaÅ¼Ã³Å‚Ä‡ gÄ™Å›lÄ…") == "zażółć gęślą"  # UTF-8 read as Windows-1252
    assert repair("z\u0307o\u0301ł\u0142w") == "żółłw"
    assert repair("\ufeffa\u00a0b \r\nc\x00\x1b\u200b\r\n\r\n\r\n\r\nd\t\n") == "a b\nc\n\nd"
    assert repair("  if x:\n    y\u00ad") == "if x:\n    y"
    assert repair("👩\u200d🚀 stays") == "👩\u200d🚀 stays"
    assert repair("\x84so\x94\x07 \ufffd") == "„so” \ufffd"  # control characters that Windows-1252 has signs for


def test_joined_and_wide_letters_become_plain_and_marks_of_direction_go():
    clean = TextCleaner("en", 1)
    said = "The \ufb01rst o\ufb03ce \uff28\uff54\uff4d\uff4c\uff15, \u200e\u202bone\u202c \u2067two\u2069\u200f."
    assert clean(said) == "The first office Html5, one two."
    assert set(clean.repaired.as_dict()) == {"composition", "control characters"}
    text = "x² + ½ ™ ① \uff5cend\uff5c \uff01 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert repair(text) == text


def test_signs_of_lost_letters_glue_no_words():
    assert repair("Wi\x1acej o tym, co si\x1a sta\x1ao") == "Wi\ufffdcej o tym, co si\ufffd sta\ufffdo"
    assert repair("\x1awi\x1a\x1a mak\n") == "\ufffdwi\ufffd mak"
    assert repair("of\uf001ce and \uf0b7 item") == "of\ufffdce and  item"
    assert repair("the end\x1a\n") == repair("the end.\r\n\x1a\x1a").rstrip(".") == "the end"  # as files of DOS end


def test_boxes_inside_words_are_lost_letters():
    assert is_misread("Wi■cej o tym, co si■ sta■o") and is_misread("sta□o")
    assert not is_misread("■ an item\n□ of a list") and not is_misread("A □ B, 5■6")


def test_a_lost_apostrophe_is_no_polish_letter():
    for line in ("We don¿t know it.", "It¿s here.", "They¿ll say we¿ve left."):
        assert repair(line) == line and is_misread(line)
    assert repair("mo¿e mê¿czyzna, ju¿ te¿ mo¿liwe") == "może mężczyzna, już też możliwe"


def test_all_that_ends_a_line_or_page_becomes_a_line_end():
    ends = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r", "\r\n", "\n"]
    assert repair("line".join(["", *ends]) + "last") == repair("line\n" * 11 + "last")
    assert [repair(f"company{end}ADDRESS") for end in ends] == ["company\nADDRESS"] * 11
    assert repair("są Ä\x85 Ä\x85 tu") == "są ą ą tu"  # not a line end: UTF-8 read as Latin-1


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("\x1b[1;31mError:\x1b[0m no file", "Error: no file"),
        ("\x1b]0;title of the window\x07done\x1b[K", "done"),
        ("see \x1b]8;;http://a.b/c\x1b\\here\x1b]8;;\x1b\\ now", "see here now"),
        ("N\bNA\bAM\bME\bE of _\bt_\bh_\bi_\bs", "NAME of this"),
        ("\x1b(Bplain\x1b7 \x1b[?25lhidden\x9b2J", "plain hidden"),
        ("an \x1b]unfinished one\nstays", "an unfinished one\nstays"),
    ],
)
def test_terminal_sequences_leave_nothing_behind(raw, clean):
    assert repair(raw) == clean


PAIRS = [("utf-8", wrong) for wrong in ("cp1252", "latin-1", "cp1250", "iso8859-2", "cp852", "mac_roman")]
PAIRS += [("cp1250", "cp1252"), ("cp1250", "latin-1"), ("iso8859-2", "latin-1"), ("iso8859-2", "cp1250"),
          ("cp1250", "iso8859-2"), ("cp852", "latin-1")]  # fmt: skip
MANY_LETTERS = (
    "Pewnego dnia zapukał do drzwi nieznajomy człowiek, którego nikt nie znał ani się nie spodziewał.\n"
    "Powiedział, że szuka swojej siostry, która zaginęła już dość dawno temu.\n"
    "Poszli więc razem do domu i rozmawiali przez całą noc, aż znaleźli odpowiedź."
)


@pytest.mark.parametrize(("right", "wrong"), PAIRS)
def test_polish_that_was_read_in_the_wrong_encoding_is_restored(right, wrong):
    misread = MANY_LETTERS.encode(right).decode(wrong)
    assert misread != MANY_LETTERS and repair(misread) == MANY_LETTERS


def test_paragraphs_with_lost_or_misread_letters_go_and_are_counted():
    lost, misread = (
        "Wi\ufffdcej informacji o tym, co si\ufffd sta\ufffdo.",
        "Ksi¹¿ki s³u¿¹ do czytania, ale są też ³adne.",
    )
    clean = TextCleaner("pl", 10)
    assert clean(f"{POLISH}\n{lost}\n{misread}") == POLISH
    assert clean.removed.as_dict()["damaged letters"]["documents"] == 1 and clean(lost) == ""


@pytest.mark.parametrize(
    "line",
    [
        "Stary rybak naprawi? drewnian? ??d? nad rzek?, zanim nadesz?a burza.",
        "?ód? le?y w ?rodkowej Polsce",
        "W?a?nie tak, odpowiedzia?a (cho? niech?tnie).",
    ],
)
def test_question_marks_that_stand_for_letters_are_lost_letters(line):
    clean = TextCleaner("pl", 10)
    assert is_misread(line) and clean(f"{POLISH}\n{line}") == POLISH
    assert lost(clean) == {"damaged letters": len(line.encode())}


@pytest.mark.parametrize(
    "line",
    [
        "Co?Gdzie?Kiedy? Naprawdę?Tak. What?! Why? Really??? Who?Me?",
        "hello?how are you?what do you do?is it far?",
        "co?gdzie jestes?kiedy wracasz?",
        "See https://a.b/c?page=2&x?y and index?id or www.a.b/?q=a?b, img?a?.png and file?a.txt, data/part?b/x?c.",
        "x = a?b:c; y = d?e:f; SELECT ?name WHERE { ?person ?knows ?name }",
        "The pattern colou?r finds both spellings.",
    ],
)
def test_questions_addresses_and_patterns_are_no_lost_letters(line):
    assert not is_misread(line) and not is_misread(f"{line} Cześć.")


def test_signs_that_stand_for_themselves_stay():
    text = "Pole ma 5 m², a dół 7 m³ ± 2 %. ¿Qué? Ærø, señor, ¶ 12, © 2020 Müller, naïve café, 3½, Škoda, Dvořák, A£."
    assert repair(text) == text and not is_misread(text)


@pytest.mark.parametrize(
    "text",
    [
        "The weights are given as mean±sd of three runs.",
        "It is f(x±h), and the box holds 45kg± 2kg of 5 cm³.",
        "He said†that the river froze, and mean±sd is what they gave.",
        "The signs xˆi and y˜j are the axes.",
        "Wynik to x±y, gdzie y jest błędem pomiaru.",
    ],
)
def test_operators_and_notes_between_letters_are_no_misread_letters(text):
    assert repair(text) == text and not is_misread(text)


@pytest.mark.parametrize(
    ("misread", "right"),
    [
        ("Zwi±zek i mê¿czyzna", "Związek i mężczyzna"),
        ("Ksi±¿ka", "Książka"),
        ("Wi±zkê trzyma", "Wiązkę trzyma"),
        ("Jeste¶my tu.", "Jesteśmy tu."),
        ("Wi±zka siana.\nTrzyma j± mê¿czyzna.", "Wiązka siana.\nTrzyma ją mężczyzna."),
    ],
)
def test_such_signs_are_letters_beside_other_misread_letters(misread, right):
    assert repair(misread) == right


@pytest.mark.parametrize(
    "text",
    [
        "The manœuvre hurt the fœtus, and the hors d'œuvre was cold. Œuvres complètes stood on the shelf.",
        "Bazylika Sacré-Cœur stoi na wzgórzu w Paryżu i jest biała.",
        "The treaty was signed in Paris¹ and later ratified³ by both.",
        "The old formulæ, and those of Paris¹, stay.",
        "We add x³y and ab³ to 2 cm³.",
    ],
)
def test_ligatures_notes_and_powers_are_no_misread_letters(text):
    assert repair(text) == text and not is_misread(text)


def test_repairs_are_counted_by_kind_once_per_document_with_what_was_restored():
    clean = TextCleaner("pl", 1, skip=("language",))
    for text in (POLISH, f"{POLISH} \n", "gÄ™Å›, gÄ™Å› i gÄ™Å›", "so\u0301l\x07 i\x07 ko\u0301ra\u00a0i\r\nsól", "gęś"):
        clean(text)
    assert clean.repaired.as_dict() == {
        "composition": {"documents": 1, "examples": []},
        "control characters": {"documents": 1, "examples": []},
        "misread encoding": {"documents": 1, "examples": ["gÄ™Å›, gÄ™Å› i gÄ™Å› → gęś, gęś i gęś"]},
        "white space": {"documents": 2, "examples": []},
    }
    far = Repairs()
    for number in range(5):
        far.add("misread encoding", "a" * 100 + f"Ä™{number}" + "b" * 100, "a" * 100 + f"ę{number}" + "b" * 100)
    merged_twice = merged([far.as_dict(), clean.repaired.as_dict()])["misread encoding"]
    assert merged_twice["documents"] == 6 and len(merged_twice["examples"]) == 3
    before, after = merged_twice["examples"][1].split(" → ")
    assert before == "a" * 30 + "Ä™1" + "b" * 27 and after == "a" * 30 + "ę1" + "b" * 28


def test_polish_documents_lose_english_paragraphs_and_keep_names():
    names = "LibreOffice Writer Calc Impress Draw Base Math Basic"
    short = "Menu Format"
    clean = TextCleaner("pl", min_characters=10)
    assert clean("\n".join([POLISH, ENGLISH, names, short])) == f"{POLISH}\n{names}\n{short}"
    assert lost(clean) == {"english": len(ENGLISH)}


def test_plain_ascii_polish_and_mixed_lines_stay():
    ascii_polish = "Nie wiem czy to jest dobry pomysl, ale tak bylo zawsze."
    mixed = "Aby to otworzyć, kliknij Open File, a potem wybierz the icon."
    assert TextCleaner("pl", 10)(f"{ascii_polish}\n{mixed}") == f"{ascii_polish}\n{mixed}"


def test_english_documents_lose_polish_paragraphs_alone():
    clean = TextCleaner("en", 10)
    assert clean(f"{ENGLISH}\n{POLISH}\nW. A. Mozart\nXYZ Writer Calc Impress Draw Base Math Basic") == (
        f"{ENGLISH}\nW. A. Mozart\nXYZ Writer Calc Impress Draw Base Math Basic"
    )
    assert lost(clean) == {"polish": len(POLISH.encode())}


FRENCH = "Saisissez le nom du fichier que vous voulez ouvrir, puis cliquez sur le bouton."


def test_other_languages_go_and_what_no_rule_knows_is_judged_by_its_letters():
    quoted = f"As the book says, \u201c{FRENCH}\u201d; that was all that we could read of it and of what it had in it."
    rare = "Kosmonauta dotknął palcem lodowatego iluminatora. Astrofizyk gwizdnął."
    bare = "Serwisant odpowiada: jasne. Ile megabajtow potrzebuje szanowny klient?"
    clean = TextCleaner("en", 10)
    assert clean("\n".join([ENGLISH, FRENCH, quoted])) == f"{ENGLISH}\n{quoted}"
    assert lost(clean) == {"foreign": len(FRENCH)}
    assert TextCleaner("pl", 10)(f"{rare}\n{bare}\n{FRENCH}") == f"{rare}\n{bare}"


def test_other_scripts_and_pictures_stay_as_they_are():
    text = (
        "The word \u0634\u0643\u0631\u0627 is Arabic for thanks, and \u05e9\u05dc\u05d5\u05dd is Hebrew. "
        "👩\u200d🚀 🇵🇱 👍🏽 are pictures of them all."
    )
    assert TextCleaner("en", 10)(text) == text


def test_look_alikes_of_control_tokens_are_text():
    text = "He wrote [BOS][Q] into the file, then [A] and [EOS] and [PAD], and <s> as well: all of that is text."
    assert TextCleaner("en", 10)(text) == text


def test_filters_can_be_skipped_and_examples_are_few():
    clean = TextCleaner("en", 10, skip=("language", "repeated", "vulgar"))
    assert clean(f"{POLISH}\n{POLISH}\nWhat a shit day.") == f"{POLISH}\n{POLISH}\nWhat a shit day."
    clean = TextCleaner("en", 40)
    assert [clean(f"{POLISH} {n}\n{POLISH} {n}!") for n in range(5)] == [""] * 5
    removed = clean.removed.as_dict()
    assert removed["polish"]["documents"] == 5 and removed["polish"]["examples"][0] == f"{POLISH} 0"
    assert len(removed["polish"]["examples"]) == 3 and removed["short"] == {"bytes": 0, "documents": 5, "examples": []}


def test_removals_of_parts_add_up():
    one, two = Removals(), Removals()
    one.add("short", ["a", "bc"])
    two.add("short", ["ź"])
    two.add("symbols", ["###"])
    assert merged([one.as_dict(), two.as_dict()]) == {
        "short": {"bytes": 5, "documents": 2, "examples": ["a", "bc", "ź"]},
        "symbols": {"bytes": 3, "documents": 1, "examples": ["###"]},
    }


def test_repeated_paragraphs_count_once_per_source_and_short_ones_may_repeat():
    clean = TextCleaner("en", 1)
    assert clean(f"{ENGLISH}\nYes.\n{ENGLISH}\nYes.") == f"{ENGLISH}\nYes.\nYes."
    assert clean(ENGLISH) == ""
    assert lost(clean) == {"repeated": 2 * len(ENGLISH), "short": 0}
    assert TextCleaner("en", 1)(ENGLISH) == ENGLISH


def test_paragraphs_of_a_document_that_was_dropped_are_not_repeated_by_the_next():
    clean = TextCleaner("en", min_characters=100)
    assert clean(ENGLISH) == "" and set(lost(clean)) == {"short"}
    long = f"{ENGLISH}\nThen look at what the window says about the file, and close it."
    assert clean(long) == long
    assert clean(f"{long}\nIt is short.") == ""
    assert lost(clean) == {"short": len(ENGLISH) + len("It is short."), "repeated": len(long) - 1}


def test_the_memory_for_paragraphs_is_bounded_and_the_last_ones_are_remembered(monkeypatch):
    monkeypatch.setattr(cleaner, "REMEMBERED", 100)
    clean = TextCleaner("en", 1)
    paragraphs = [f"This is what stands on page {n} of the book." for n in range(1_000)]
    assert list(map(clean, paragraphs)) == paragraphs
    assert list(map(clean, paragraphs[:700])) == paragraphs[:700]
    last = paragraphs[600:700]
    assert list(map(clean, last)) == [""] * 100
    assert sum(map(clean._seen.__contains__, map(stable_hash, paragraphs))) <= 200


WRAPPED = """\
The clerk at the post office smiled and handed back the letter, because
the man had written nothing on it but one line in French, namely 'je ne
sais pas ce que vous voulez dire quand vous parlez de la poste.' Those were
the ones that he had learned at school, and he said them to everybody who
asked him for the way."""
BOOK = f"{ENGLISH}\n\n{WRAPPED}\n\n{WRAPPED.replace('clerk', 'porter')}"


def test_lines_that_somebody_broke_are_judged_as_one_paragraph():
    clean = TextCleaner("en", 10)
    assert clean(BOOK) == BOOK and lost(clean) == {}
    vulgar = WRAPPED.replace("at school", "from a shitty book")
    clean = TextCleaner("en", 10)
    assert clean(BOOK.replace(WRAPPED, vulgar)) == BOOK.replace(f"{WRAPPED}\n\n", "")
    assert lost(clean) == {"vulgar": len(vulgar)}


@pytest.mark.parametrize("width", [60, 72, 100])
@pytest.mark.parametrize("indent", ["", "  "])
def test_broken_paragraphs_are_found_in_lines_of_any_width(width, indent):
    text = " ".join(WRAPPED.split())
    broken = [textwrap.fill(f"{text} {text}", width, initial_indent=indent) for _ in range(3)]
    between = "\n" if indent else "\n\n"
    assert [part for part in paragraphs(between.join(broken)) if part] == broken


@pytest.mark.parametrize(
    "text",
    [
        # verses
        "Litwo! Ojczyzno moja! ty jesteś jak zdrowie, droga;\nIle cię trzeba cenić, ten tylko się dowie, o miła,\n"
        "Kto cię stracił. Dziś piękność twą w całej ozdobie tu\nWidzę i opisuję, bo tęsknię po tobie, ziemio ma.",
        # a list
        "one kilogram of flour and half a litre of water;\ntwo eggs from hens that walk about in a garden;\n"
        "three spoons of oil that was pressed from seeds;\nfour leaves of mint that grew in the same garden.",
        # a table
        "apples   12.50   15.00   red     October   stored\npears    11.00   12.75   green   September stored\n"
        "plums     9.80   10.20   blue    August    dried\nquinces  14.00   16.00   yellow  November  cooked",
        # a dialogue
        "– nie wiem, gdzie jest ten list, który wczoraj przyszedł\n– leży na stole w kuchni, obok dzbanka z wodą\n"
        "– dziękuję, zaraz go przeczytam i odpiszę na niego dziś\n– dobrze, ale najpierw zjedz śniadanie ze mną i nim",
        # paragraphs that are long, and lines that are short
        "\n".join([" ".join(WRAPPED.split())] * 4),
        "a short line\nand another\nand one more\nand the last",
    ],
)
def test_verses_lists_tables_dialogues_and_long_lines_are_paragraphs_by_line(text):
    assert paragraphs(text) == text.split("\n")


def test_whole_documents_keep_their_lines_together():
    dialogue = f"hello\n{ENGLISH}\n{ENGLISH}\nJak się masz, co robisz?"
    clean = TextCleaner("en", 1, whole=True)
    assert clean(dialogue) == dialogue
    assert clean(dialogue) == ""
    assert lost(clean)["repeated"] == len(dialogue.encode())
    assert TextCleaner("en", 1, whole=True)(f"{POLISH}\n{POLISH}\nhello") == ""


def test_short_and_vulgar_documents_are_dropped():
    clean = TextCleaner("pl", 40)
    assert clean("Za krótkie.") == ""
    assert clean(f"{POLISH} Kurwa.") == ""
    assert clean(f"{POLISH}\n{POLISH} Kurwa.") == POLISH  # the paragraph goes, not the book
    assert lost(clean) == {"short": len("Za krótkie.".encode()), "vulgar": 2 * len(f"{POLISH} Kurwa.".encode())}
    innocent = "Ktoś przesłuchuje cechujące się szczawiem rachuby, a ciotka naciska pedał i podkochuje się."
    assert clean(innocent) == innocent


def test_split_shares_and_stability():
    keys = range(4_000)
    shares = Counter(split_of(key, 0.1, 0.2) for key in keys)
    assert 330 < shares["validation"] < 470 and 700 < shares["test"] < 900
    assert {split_of(key, 0, 0) for key in keys} == {"train"}
    held_out = {key for key in keys if split_of(key, 0.02, 0.02) == "test"}
    assert held_out <= {key for key in keys if split_of(key, 0.5, 0.1) == "test"}


def test_splits_and_ids_do_not_depend_on_the_process():
    code = "from tokenization.documents import *; from tokenization.cleaning.words import text_key; "
    code += "print(document_id('s', 'źle'), [split_of(text_key(str(n)), .3, .3) for n in range(9)])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONHASHSEED": "7"}, timeout=SECONDS).stdout  # fmt: skip
    assert said.strip() == f"{document_id('s', 'źle')} {[split_of(text_key(str(n)), 0.3, 0.3) for n in range(9)]}"
    assert document_id("s", "a") != document_id("s", "b") != document_id("t", "b")
