"""Public dialogue schemas -> conversations, and corpus documents -> interactions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from tokenization.records import Conversation, Document, Interaction, Language, Split

# Data sets disagree on the names of the optional parts.
FIELDS = {
    "query": ("query",),
    "answer": ("answer",),
    "internal": ("internal",),
    "tool_result": ("tool_response", "tool_use", "tool_result"),
    "think": ("think",),
    "tool_call": ("tool_call",),
}
WHAT_IS = {"en": "What does “{}” mean?", "pl": "Co znaczy „{}”?"}
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+(?=[\"“„‘(—–A-ZĄĆĘŁŃÓŚŹŻ0-9])")


class AdapterError(ValueError):
    """A record of no known schema."""


def conversation_of(
    record: Mapping[str, Any], name: str, language: Language, source: str, split: Split
) -> Conversation:
    """A record with role/content `messages` (or `conversation`), or with query and answer, `interactions`, or both:
    then the first turn lies outside the list and comes first. A system prompt becomes an interaction of its own."""
    messages = record.get("messages") or record.get("conversation")
    if messages:
        interactions = list(_from_messages(messages))
    elif "query" in record or record.get("interactions"):
        first = [record] if "query" in record else []
        turns = [*first, *(record.get("interactions") or ())]
        interactions = [*_system(record.get("system")), *map(_interaction, turns)]
    else:
        raise AdapterError(f"record {name} of {source} has no dialogue in its fields {sorted(record)}")
    return Conversation(name, language, source, split, tuple(interactions))


def interactions_of(document: Document) -> Iterator[Interaction]:
    """Queries and answers out of one document, by the form of its source; plain text gives its neighbouring
    sentences."""
    return SOURCES.get(document.source, neighbouring_sentences)(document)


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


SOURCES: dict[str, Callable[[Document], Iterator[Interaction]]] = {
    "chitchat-dataset": alternating_turns,
    "dict-freedict-pol-eng": headword_and_definitions,
}


def _lines(document: Document) -> list[str]:
    return [line.strip() for line in document.text.splitlines() if line.strip()]


def _system(prompt: str | None) -> Iterator[Interaction]:
    if prompt:
        yield Interaction(query="", answer="", internal=prompt)


def _interaction(turn: Mapping[str, Any]) -> Interaction:
    """Fields may be missing, null, or stand in any order."""
    parts = {part: next((turn[name] for name in names if turn.get(name)), "") for part, names in FIELDS.items()}
    return Interaction(**parts)


def _from_messages(messages: Iterable[Mapping[str, Any]]) -> Iterator[Interaction]:
    """Runs of one role are one turn. What the assistant says before anybody asked, and a last question without an
    answer, are left out."""
    waiting: dict[str, str] = {}
    for role, run in groupby(messages, key=lambda message: message["role"]):
        text = "\n".join(message["content"] for message in run if message["content"])
        if role == "system":
            yield from _system(text)
        elif role == "user":
            waiting = {"query": text}
        elif role == "tool":
            waiting = {"query": "", "tool_result": text}
        elif role != "assistant":
            raise AdapterError(f"unknown role {role!r} in a message")
        elif waiting:
            yield Interaction(**waiting, answer=text)
            waiting = {}
