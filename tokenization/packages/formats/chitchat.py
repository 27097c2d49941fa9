"""Chit-chat between two people: JSON -> one document per conversation, one turn per line, speakers alternating."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby

from tokenization.packages.formats.archive import read_members


def chitchat(archive: bytes) -> Iterator[str]:
    """Conversations of at least two turns between exactly two people."""
    for data in read_members(archive, r"chitchat_dataset/dataset\.json$").values():
        for conversation in json.loads(data).values():
            turns = conversation_turns(conversation["messages"])
            if len(turns) >= 2:
                yield "\n".join(turns)


def conversation_turns(groups: list[list[dict[str, str]]]) -> list[str]:
    """What one sender wrote in a row is one turn. Empty unless two people speak."""
    messages = [message for group in groups for message in group if message["text"].strip()]
    if len({message["sender"] for message in messages}) != 2:
        return []
    return [
        " ".join(" ".join(message["text"].split()) for message in run)
        for _, run in groupby(messages, key=lambda message: message["sender"])
    ]
