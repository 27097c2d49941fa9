"""Read data sets of conversations: rows of Parquet or JSON lines, each turned into a conversation by the adapter.

A source falls into partitions, which can be read anywhere and in any order. What cannot be read, or is no conversation,
is yielded as `Rejected` in its place.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

import numpy as np

from tokenization.batching import batches
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.misread import is_misread
from tokenization.cleaning.pii import PII, Pii, masked
from tokenization.cleaning.repair import Note, Repairs, repair
from tokenization.cleaning.words import Words, normalised, plain
from tokenization.conversations.adapters import ADAPTERS, WHOLE, Adapter, detect
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.messages import FIELDS_OF_MESSAGES, is_result
from tokenization.conversations.rows import MESSAGES, RowError, language_of, listed
from tokenization.conversations.screening import Screen, Survey
from tokenization.documents import document_id, split_of
from tokenization.hashing import stable_hash
from tokenization.quarantine import LOST, Rejected, flaw
from tokenization.records import Conversation, Interaction
from tokenization.sources.listing import Slice, slices
from tokenization.sources.reading import read_rows
from tokenization.sources.source import Row, SourceError

SLICE_BYTES = 16 << 20  # as stored; small enough to give shards of about equal size
LOOKED_AT = 100  # rows, to tell their schema


@dataclass(frozen=True)
class Partition:
    """A part of a source that can be read without the others, with the screen of what is left out of it."""

    source: ConversationSource
    slice: Slice
    screen: Screen = Screen()


@dataclass
class Noted:
    """What reading conversations finds in them: characters that were repaired, and for each kind of what identifies
    people in how many `conversations` it was `found`, and how often."""

    repaired: Repairs = field(default_factory=Repairs)
    pii: dict[Pii, Counter[str]] = field(
        default_factory=lambda: {kind: Counter(conversations=0, found=0) for kind in PII}
    )


def partitions_of(source: ConversationSource) -> list[Partition]:
    """Return the partitions in a stable order. The first rows say which adapter reads them, unless the source names it:
    the sources of the partitions always do. Raises SourceError if no row can be read, or if their schema is unknown."""
    found = slices(source, SLICE_BYTES)
    rows, rejected = [], None
    for row in _rows(source, found):
        if isinstance(row, Row):
            rows.append(row)
            if source.adapter or len(rows) == LOOKED_AT:
                break
        else:
            rejected = rejected or row
    if not rows:
        raise SourceError(f"source {source.name}: {rejected or f'no row in {source.path}'}")
    if not source.adapter:
        try:
            source = replace(source, adapter=detect([row.values for row in rows]))
        except RowError as error:
            place = f"{rows[0].place} of {rows[0].file}"
            known = f"set `adapter` to one of {', '.join(ADAPTERS)}, or rename the columns"
            raise SourceError(f"source {source.name}: {error.reason} ({place}): {known}") from error
    if ADAPTERS[source.adapter].join:
        found = slices(source, sys.maxsize)  # a cut would part the messages of a conversation
    return [Partition(source, one) for one in found]


def read_conversations(partition: Partition, noted: Noted | None = None) -> Iterator[Conversation | Rejected]:
    """Yield every row of a partition as a conversation or as rejected. The rejected have no excerpt, since a row may
    hold anything. A row on which the code fails is rejected, too. `noted` counts what is found in conversations."""
    rows, join = _rows(partition.source, [partition.slice]), ADAPTERS[partition.source.adapter].join
    for row in join(rows) if join else rows:
        if isinstance(row, Rejected):
            yield replace(row, excerpt="")
            continue
        try:
            yield _conversation(partition.source, row, noted)
        except RowError as error:
            yield Rejected(row.file, row.place, error.reason, error.where)
        except RecursionError:
            yield Rejected(row.file, row.place, "nested too deeply")
        except Exception as error:  # rows may hold what nobody thought of, and one must not end the data set
            yield Rejected(row.file, row.place, "not understood", f"{type(error).__name__}: {error}")


def _rows(source: ConversationSource, parts: Sequence[Slice]) -> Iterator[Row | Rejected]:
    """Yield the rows with the names that `columns` of the source gives to fields of messages. What a column of the row
    has is no field of messages."""
    of_messages = {theirs: name for name, theirs in source.columns.items() if name in FIELDS_OF_MESSAGES}
    for row in read_rows(source, parts):
        ours = {
            theirs: name
            for theirs, name in of_messages.items()
            if isinstance(row, Row) and row.values.get(name) is None
        }
        if ours and isinstance(row, Row):
            told = {name: _listed(value) if name in MESSAGES else value for name, value in row.values.items()}
            yield row._replace(
                values={name: value if name in WHOLE else _renamed(value, ours) for name, value in told.items()}
            )
        else:
            yield row


def _listed(value: Any) -> Any:
    """The list that a text holds; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = listed(value)
    except ValueError:
        return value
    return found if isinstance(found, list) else value


def _renamed(value: Any, ours: Mapping[str, str]) -> Any:
    """The value with the fields of all structs in it under our names."""
    if isinstance(value, list):
        return [_renamed(each, ours) for each in value]
    if not isinstance(value, Mapping):
        return value
    fields = {name: each for name, each in value.items() if name not in ours}
    fields |= {ours[name]: value[name] for name in value if name in ours}
    return {name: each if name in WHOLE else _renamed(each, ours) for name, each in fields.items()}


def _names_again(source: ConversationSource, row: Row) -> bool:
    """Whether a row is the line of names of a table, as where tables were put after one another."""
    told = [(name, value) for name, value in row.values.items() if value is not None]
    return len(told) > 1 and all(value in (name, source.columns.get(name)) for name, value in told)


def survey(partition: Partition, benchmark: Benchmark, reject: Callable[[Rejected], None] = lambda _: None) -> Survey:
    """Collect the keys of all conversations of a partition. Nothing else of them is kept. `reject` is called with
    everything that is no conversation."""
    keys, found = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    lost: list[Rejected] = []
    noted = Noted()

    def forms() -> Iterator[str]:
        for one in read_conversations(partition, noted):
            if isinstance(one, Conversation):
                yield normal_form(one.interactions)
                continue
            reject(one)
            if one.reason in LOST:
                lost.append(one)

    for batch in batches(forms()):
        keys.append(np.array(list(map(stable_hash, batch)), np.uint64))
        if len(benchmark.hashes):
            found.append(keys[-1][benchmark.found_in(Words(batch))])
    repaired = noted.repaired.as_dict()
    return Survey(np.concatenate(keys), np.concatenate(found), tuple(lost), repaired, noted.pii)


def normal_form(turns: Sequence[Interaction], of_text: Callable[[str], str] = plain) -> str:
    """Join the `of_text` forms of all parts of all turns. Equal conversations have equal normal forms."""
    return "\n".join("\t".join(map(of_text, astuple(turn))) for turn in turns)


def key_of(conversation: Conversation) -> int:
    """Return the key that `survey` gives to this conversation."""
    return stable_hash(normal_form(conversation.interactions))


def _conversation(source: ConversationSource, row: Row, noted: Noted | None) -> Conversation:
    if _names_again(source, row):
        raise RowError("the names of the columns again")
    adapter, notes = ADAPTERS[source.adapter], {}
    note = None if noted is None else lambda kind, *texts: notes.setdefault(kind, texts)
    values = _repaired(adapter.prepare(row.values), adapter, note)
    language = language_of(values, source.language)
    pii: Counter[Pii] = Counter()
    turns = tuple(_masked(turn, source.mask, pii) for turn in adapter.convert(values))
    others = adapter.rejected(values) if adapter.rejected else ()
    rejected = tuple(turn and _masked(turn, source.mask, pii) for turn in others)
    for number, turn in [*enumerate(turns), *((n, other) for n, other in enumerate(rejected) if other)]:
        if any(map(is_misread, astuple(turn))):
            raise RowError("damaged letters", f"interaction {number}")
    if noted is not None:
        for kind, texts in notes.items():
            noted.repaired.add(kind, *texts)
        for kind, count in pii.items():
            noted.pii[kind].update(conversations=1, found=count)
    text = json.dumps([language, *map(astuple, turns)], ensure_ascii=False)
    held_out = source.validation_fraction, source.test_fraction
    split = source.split if source.split != "hash" else split_of(stable_hash(normal_form(turns, normalised)), *held_out)
    return Conversation(document_id(source.name, text), language, source.name, split, turns, rejected=rejected)


def _repaired(value: Any, adapter: Adapter, note: Note | None) -> Any:
    """Repair all text in a row or in a value of it. Other values stay as they are, for the adapter to refuse."""
    if isinstance(value, Mapping):
        read = {name: each for name, each in value.items() if name in adapter.fields}
        return {
            name: each
            if (name in adapter.whole and not isinstance(each, str)) or is_result(value, name)
            else _repaired(each, adapter, note)
            for name, each in read.items()
        }
    if isinstance(value, list):
        return [_repaired(each, adapter, note) for each in value]
    return repair(value, note) if flaw(value) is None else value


def _masked(turn: Interaction, mask: Sequence[Pii], found: Counter[Pii]) -> Interaction:
    """Mask what identifies people in all parts of an interaction, and count it, masked or not."""
    parts = {}
    for name, text in asdict(turn).items():
        parts[name], counts = masked(text, mask)
        found.update({kind: count for kind, count in counts.items() if count})
    return type(turn)(**parts)


def copies(source: ConversationSource, conversation: Conversation) -> int:
    """Return how often a conversation is trained on: once per whole unit of `weight`, and once more for a share of all
    conversations that equals the fraction left over. Held-out conversations count once."""
    if conversation.split != "train":
        return 1
    place = stable_hash(f"weight {conversation.id}") / 2**64
    return int(source.weight) + (place < source.weight % 1)
