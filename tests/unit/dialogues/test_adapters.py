"""Corpus documents become interactions."""

from tokenization.conversations.documents import interactions_of
from tokenization.records import Document, Interaction


def document(text: str, source: str, language: str = "pl") -> Document:
    return Document("id", text, language, source, "MIT", "train")


def test_documents_become_interactions_by_the_form_of_their_source():
    assert list(interactions_of(document("Hi!\nHello.\nHow are you?\nFine.\nBye", "chitchat-dataset", "en"))) == [
        Interaction("Hi!", "Hello."),
        Interaction("How are you?", "Fine."),
    ]
    assert list(interactions_of(document("latarnia\nlampa uliczna\nwieża", "dict-freedict-pol-eng"))) == [
        Interaction("Co znaczy „latarnia”?", "lampa uliczna"),
        Interaction("Co znaczy „latarnia”?", "wieża"),
    ]
    prose = "Ala ma kota. Kot ma np. ogon! Naprawdę? Ósmego maja śpi. Reszta.\n\nOsobny akapit bez pary."
    assert list(interactions_of(document(prose, "anything"))) == [
        Interaction("Ala ma kota.", "Kot ma np. ogon!"),
        Interaction("Naprawdę?", "Ósmego maja śpi."),
    ]
