"""Corpus documents -> interactions and, where a document is a dialogue, conversations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tokenization.records import Conversation, Document, Interaction

WHAT_IS = {"en": "What does “{}” mean?", "pl": "Co znaczy „{}”?"}
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+(?=[\"“„‘(—–A-ZĄĆĘŁŃÓŚŹŻ0-9])")


def interactions_of(document: Document) -> Iterator[Interaction]:
    """Queries and answers out of one document, by the form of its source; plain text gives its neighbouring
    sentences."""
    return SOURCES.get(document.source, neighbouring_sentences)(document)


def conversation_of(document: Document) -> Conversation:
    """The whole dialogue in a document of one of the `DIALOGUES`."""
    turns = tuple(DIALOGUES[document.source](document))
    return Conversation(document.id, document.language, document.source, document.split, turns)


def alternating_turns(document: Document) -> Iterator[Interaction]:
    """One turn per line, two speakers alternating: each turn of the first with the reply of the second."""
    turns = _lines(document)
    yield from map(Interaction, turns[0::2], turns[1::2])


def headword_and_definitions(document: Document) -> Iterator[Interaction]:
    """A dictionary entry: the first line is the word, the others are what it means."""
    word, *definitions = _lines(document)
    for definition in definitions:
        yield Interaction(WHAT_IS[document.language].format(word), definition)


def neighbouring_sentences(document: Document) -> Iterator[Interaction]:
    """Sentence and next sentence of the same paragraph."""
    for line in _lines(document):
        sentences = _SENTENCE_END.split(line)
        yield from map(Interaction, sentences[0::2], sentences[1::2])


Reader = Callable[[Document], Iterator[Interaction]]
DIALOGUES: dict[str, Reader] = {"chitchat-dataset": alternating_turns}
SOURCES: dict[str, Reader] = DIALOGUES | {"dict-freedict-pol-eng": headword_and_definitions}


def _lines(document: Document) -> list[str]:
    return [line.strip() for line in document.text.splitlines() if line.strip()]
