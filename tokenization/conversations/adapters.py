"""The schemas of conversation data sets: which columns each reads, and which of them some rows have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenization.conversations import chat, exports, messages
from tokenization.conversations.rows import (
    ANSWER_PART,
    QUERY_PART,
    RowError,
    Struct,
    first_turn_plus_interactions,
    interactions,
    preference_pairs,
    query_answer,
    rejected_answers,
)
from tokenization.quarantine import Rejected
from tokenization.records import Interaction
from tokenization.sources.source import Row


@dataclass(frozen=True)
class Adapter:
    """Turns rows of one schema into conversations.

    A file must have the columns `required`, and a row one of the columns `one_of`, if there are any. `fields` names
    everything that is read: columns, and fields of the structs in them. Below the names in `whole` all is read. If the
    schema has rejected answers, `rejected` gives for each interaction the one with the rejected answer, or None.
    `prepare` brings a row of another shape into the one that `convert` reads. If a row is one message, `join` makes
    conversations of rows that follow one another in a file.
    """

    convert: Callable[[Struct], list[Interaction]]
    required: frozenset[str]
    fields: frozenset[str]
    one_of: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    rejected: Callable[[Struct], list[Interaction | None]] | None = None
    prepare: Callable[[Struct], Struct] = dict
    join: Callable[[Iterable[Row | Rejected]], Iterator[Row | Rejected]] | None = None

    def fits(self, columns: Collection[str]) -> bool:
        """Whether a row with these columns may have the schema."""
        return self.required.issubset(columns) and (not self.one_of or not self.one_of.isdisjoint(columns))


_OF_ROWS = frozenset({"system", "lang", "language"})
_PARTS = QUERY_PART | ANSWER_PART
# If rows fit several schemas, the first one that reads most of them is theirs.
ADAPTERS: dict[str, Adapter] = {
    "first_turn_plus_interactions": Adapter(
        first_turn_plus_interactions,
        frozenset({"query", "answer", "interactions"}),
        _OF_ROWS | _PARTS | {"interactions"},
    ),
    "preference_pairs": Adapter(
        preference_pairs,
        frozenset({"interactions"}),
        _OF_ROWS | _PARTS | {"interactions", "accepted", "rejected", "neutral"},
        rejected=rejected_answers,
    ),
    "interactions": Adapter(interactions, frozenset({"interactions"}), _OF_ROWS | _PARTS | {"interactions"}),
    "query_answer": Adapter(query_answer, frozenset({"query", "answer"}), _OF_ROWS | _PARTS),
    "chat": Adapter(
        chat.chat,
        frozenset(),
        _OF_ROWS | chat.FIELDS | exports.FIELDS,
        chat.COLUMNS | exports.COLUMNS,
        messages.WHOLE,
        prepare=exports.as_chat,
    ),
    "message_rows": Adapter(
        chat.chat,
        exports.OF_MESSAGES,
        _OF_ROWS | chat.FIELDS | exports.FIELDS,
        prepare=exports.as_chat,
        join=exports.joined,
    ),
    "messages": Adapter(
        chat.chat,
        exports.OF_CHATS,
        _OF_ROWS | chat.FIELDS | exports.CHAT_IDS,
        whole=messages.WHOLE,
        join=exports.joined_chats,
    ),
}
FIELDS = frozenset(field for adapter in ADAPTERS.values() for field in adapter.fields)
WHOLE = frozenset(field for adapter in ADAPTERS.values() for field in adapter.whole)


def detect(rows: Sequence[Struct]) -> str:
    """Return the name of the adapter that reads most of these rows. Raises RowError if no row fits a schema."""
    read = Counter({name: 0 for name, adapter in ADAPTERS.items() if any(adapter.fits(row) for row in rows)})
    for row in rows:
        for name in read:
            if ADAPTERS[name].fits(row):
                read[name] += _is_read(ADAPTERS[name], row)
    if not read:
        columns = ", ".join(map(repr, dict.fromkeys(column for row in rows for column in row)))
        raise RowError(f"its columns are those of no schema; those that were read: {columns or 'none'}")
    return max(read, key=lambda name: read[name])


def _is_read(adapter: Adapter, row: Struct) -> bool:
    if adapter.join:
        return messages.is_message(row)
    try:
        return bool(adapter.convert(adapter.prepare(row)))
    except Exception:  # `read_conversations` says what is wrong with the row
        return False
