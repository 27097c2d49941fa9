"""Nothing of the dialogues that people worded for evaluation is in what models are trained on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.code_digest import ROOT
from tokenization.dialogues.broad.book import load
from tokenization.dialogues.broad.scenes import load_scenes
from tokenization.dialogues.values import words
from tokenization.records import LANGUAGES

FOLDER = Path(os.environ.get("RXT_OWN_WORDS") or ROOT.parent / "shared/own_words")
LENGTH = 8


def sequences(text: str) -> set[tuple[str, ...]]:
    """All runs of LENGTH words; none across a placeholder."""
    parts = map(words, re.split(r"\{\w+\}", text))
    return {part[i : i + LENGTH] for part in parts for i in range(len(part) - LENGTH + 1)}


def strings(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from (text for value in found.values() for text in strings(value))
    elif isinstance(found, list):
        yield from (text for value in found for text in strings(value))


def phrasebook(language) -> Iterator[str]:
    book = load(language)
    for attribute in book.attributes + book.person_attributes:
        yield from attribute.tell + attribute.ask + attribute.answer + attribute.change
    for schema in book.schemas:
        for word in book.open_words[schema.about]:
            attribute = schema.of(word)
            yield from attribute.tell + attribute.ask + attribute.answer + attribute.change
    for exchange in book.small_talk + book.questions:
        yield from exchange.user + exchange.reply
    yield from (text for texts in book.phrases.values() for text in texts)
    yield from (text for scene in load_scenes(language) for text in scene.texts)


def test_runs_of_words_are_found_on_both_sides_of_a_placeholder():
    assert sequences("one two three four five six seven eight {value} nine") == {
        ("one", "two", "three", "four", "five", "six", "seven", "eight")
    }
    assert len(sequences("a b c d e f g h i j")) == 3


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no own words at {FOLDER}; RXT_OWN_WORDS may name their folder")
def test_the_phrasebook_shares_no_run_of_eight_words_with_own_words():
    files = sorted(FOLDER.rglob("*.jsonl"))
    assert files
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]
    theirs = {run for line in lines for text in strings(line) for run in sequences(text)}
    assert len(theirs) > 100
    ours = {run for language in LANGUAGES for text in phrasebook(language) for run in sequences(text)}
    assert ours & theirs == set()


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no own words at {FOLDER}; RXT_OWN_WORDS may name their folder")
def test_no_sentence_of_the_phrasebook_holds_a_whole_turn_of_own_words():
    """A turn of three words or fewer, such as a greeting, is nobody's own."""
    lines = [json.loads(line) for file in FOLDER.rglob("*.jsonl") for line in file.read_text().splitlines() if line]
    theirs = {tuple(words(turn["user"])) for line in lines for turn in line["turns"]}
    assert len(theirs) > 100
    ours = "|".join(f" {' '.join(words(text))} " for language in LANGUAGES for text in phrasebook(language))
    assert [turn for turn in theirs if len(turn) > 3 and f" {' '.join(turn)} " in ours] == []
