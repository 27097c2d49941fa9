"""The columns of each kind of shard."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

Kind = Literal["text", "interactions", "conversations", "preferences"]

_TOKENS = pa.list_(pa.int32())
_INTERACTION = {
    "input_ids": _TOKENS,
    "loss_mask": pa.list_(pa.bool_()),
    "answer_start": pa.int32(),
    "language": pa.int8(),
}
_PROBE = {
    "turn": pa.int32(),
    "slot": pa.string(),
    "gold": pa.list_(pa.string()),
    "forbidden": pa.list_(pa.string()),
    "kind": pa.string(),
    "distance": pa.int32(),
    "facts": pa.int32(),
    "tag": pa.string(),
}
_CHOICE = _INTERACTION | {"rejected": _TOKENS, "rejected_mask": pa.list_(pa.bool_())}


def _conversation(interaction: dict[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        {
            "conversation_id": pa.string(),
            "interactions": pa.list_(pa.struct(interaction)),
            "probes": pa.list_(pa.struct(_PROBE)),
        }
    )


# `language` is the position in tokenization.records.LANGUAGES.
SCHEMAS: dict[Kind, pa.Schema] = {
    "text": pa.schema({"input_ids": _TOKENS, "document_starts": _TOKENS, "language": pa.int8()}),
    "interactions": pa.schema(_INTERACTION),
    "conversations": _conversation(_INTERACTION),
    "preferences": _conversation(_CHOICE),
}
