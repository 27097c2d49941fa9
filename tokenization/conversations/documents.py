"""Turn corpus documents into interactions and, if a document is a dialogue, into conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tokenization.conversations.sentences import sentences
from tokenization.records import Conversation, Document, Interaction

WHAT_IS = {"en": "What does “{}” mean?", "pl": "Co znaczy „{}”?"}


def interactions_of(document: Document) -> Iterator[Interaction]:
    """Yield the queries and answers of one document, by its source. Plain text gives neighbouring sentences."""
    return SOURCES.get(document.source, neighbouring_sentences)(document)


def conversation_of(document: Document) -> Conversation:
    """Return the whole dialogue in a document from one of the `DIALOGUES`."""
    turns = tuple(DIALOGUES[document.source](document))
    return Conversation(document.id, document.language, document.source, document.split, turns)


def alternating_turns(document: Document) -> Iterator[Interaction]:
    """Pair each turn of the first speaker with the reply of the second. Each line is a turn; speakers alternate."""
    turns = _lines(document)
    yield from map(Interaction, turns[0::2], turns[1::2])


def headword_and_definitions(document: Document) -> Iterator[Interaction]:
    """Ask what a word of a dictionary means. The first line of an entry is the word, each other line a meaning."""
    word, *definitions = _lines(document)
    for definition in definitions:
        yield Interaction(WHAT_IS[document.language].format(word), definition)


def neighbouring_sentences(document: Document) -> Iterator[Interaction]:
    """Pair each sentence with the next one of the same paragraph; no sentence is used twice."""
    for line in _lines(document):
        found = list(sentences(line, document.language))
        yield from map(Interaction, found[0::2], found[1::2])


Reader = Callable[[Document], Iterator[Interaction]]
DIALOGUES: dict[str, Reader] = {"chitchat-dataset": alternating_turns}
SOURCES: dict[str, Reader] = DIALOGUES | {"dict-freedict-pol-eng": headword_and_definitions}


def _lines(document: Document) -> list[str]:
    return [line.strip() for line in document.text.splitlines() if line.strip()]
