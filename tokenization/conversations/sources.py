"""Data sets of conversations: rows of Parquet or JSON lines, each one conversation by the adapter of its source.

A source falls into partitions that can be read anywhere in any order. What cannot be read or is no conversation comes
out as `Rejected`, in the place where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from tokenization.batching import batches
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.repair import Note, Repairs, repair
from tokenization.cleaning.words import Words, normalised, plain
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.rows import ADAPTERS, RowError, language_of
from tokenization.conversations.screening import Screen, Survey
from tokenization.documents import document_id, split_of
from tokenization.hashing import stable_hash
from tokenization.quarantine import LOST, Rejected, flaw
from tokenization.records import Conversation, Interaction
from tokenization.sources.listing import Slice, slices
from tokenization.sources.reading import read_rows
from tokenization.sources.source import Row, SourceError

SLICE_BYTES = 16 << 20  # as stored; little enough for shards of about equal size


@dataclass(frozen=True)
class Partition:
    """A part of a source that can be read without the others, and what is left out of it."""

    source: ConversationSource
    slice: Slice
    screen: Screen = Screen()


def partitions_of(source: ConversationSource) -> list[Partition]:
    """The partitions in a stable order. Raises SourceError where no row can be read: one is."""
    found = slices(source, SLICE_BYTES)
    rejected = None
    for row in read_rows(source, found):
        if isinstance(row, Row):
            return [Partition(source, one) for one in found]
        rejected = rejected or row
    raise SourceError(f"source {source.name}: {rejected or f'no row in {source.path}'}")


def read_conversations(partition: Partition, repairs: Repairs | None = None) -> Iterator[Conversation | Rejected]:
    """Every row of a partition, as a conversation or as rejected, without an excerpt: there may be anything in it.
    `repairs` counts the conversations in which characters were repaired."""
    for row in read_rows(partition.source, [partition.slice]):
        if isinstance(row, Rejected):
            yield replace(row, excerpt="")
            continue
        try:
            yield _conversation(partition.source, row, repairs)
        except RowError as error:
            yield Rejected(row.file, row.place, error.reason, error.where)
        except RecursionError:
            yield Rejected(row.file, row.place, "nested too deeply")


def survey(partition: Partition, benchmark: Benchmark) -> Survey:
    """The keys of all conversations of a partition; nothing else of them is kept."""
    keys, found = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    lost: list[Rejected] = []
    repairs = Repairs()

    def forms() -> Iterator[str]:
        for one in read_conversations(partition, repairs):
            if isinstance(one, Conversation):
                yield normal_form(one.interactions)
            elif one.reason in LOST:
                lost.append(one)

    for batch in batches(forms()):
        keys.append(np.array(list(map(stable_hash, batch)), np.uint64))
        if len(benchmark.hashes):
            found.append(keys[-1][benchmark.found_in(Words(batch))])
    return Survey(np.concatenate(keys), np.concatenate(found), tuple(lost), repairs.as_dict())


def normal_form(turns: Sequence[Interaction], of_text: Callable[[str], str] = plain) -> str:
    """That of each part of each turn: what equal conversations have in common."""
    return "\n".join("\t".join(map(of_text, astuple(turn))) for turn in turns)


def key_of(conversation: Conversation) -> int:
    """That of a survey."""
    return stable_hash(normal_form(conversation.interactions))


def _conversation(source: ConversationSource, row: Row, repairs: Repairs | None) -> Conversation:
    adapter, notes = ADAPTERS[source.adapter], {}
    note = None if repairs is None else lambda kind, *texts: notes.setdefault(kind, texts)
    values = _repaired(row.values, adapter.fields, note)
    language = language_of(values, source.language)
    turns = tuple(adapter.convert(values))
    if repairs is not None:
        for kind, texts in notes.items():
            repairs.add(kind, *texts)
    text = json.dumps([language, *map(astuple, turns)], ensure_ascii=False)
    held_out = source.validation_fraction, source.test_fraction
    split = source.split if source.split != "hash" else split_of(stable_hash(normal_form(turns, normalised)), *held_out)
    return Conversation(document_id(source.name, text), language, source.name, split, turns)


def _repaired(value: Any, fields: Collection[str], note: Note | None) -> Any:
    """A row, or what is in it, with its text repaired; what is no text stays for the adapter to refuse."""
    if isinstance(value, Mapping):
        return {name: _repaired(each, fields, note) for name, each in value.items() if name in fields}
    if isinstance(value, list):
        return [_repaired(each, fields, note) for each in value]
    return repair(value, note) if flaw(value) is None else value


def copies(source: ConversationSource, conversation: Conversation) -> int:
    """How often the conversation is trained on: once per whole unit of `weight`, and once more for the share of all
    conversations that is left over. Held-out ones count once."""
    if conversation.split != "train":
        return 1
    place = stable_hash(f"weight {conversation.id}") / 2**64
    return int(source.weight) + (place < source.weight % 1)
