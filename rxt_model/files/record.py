"""Write a dataclass down as plain data, without the fields that came after models were made and that it does not use.
So the files and fingerprints of such models stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

LATER = {"omitted": "default"}
"""The metadata of a field that is written down only if it differs from its default."""


def written_fields(value: Any) -> Iterator[Field]:
    """Yield the fields of a dataclass that are written down."""
    return (f for f in fields(value) if f.metadata != LATER or getattr(value, f.name) != f.default)


def record(value: Any) -> Any:
    """Return a dataclass as dicts, and anything else as it is."""
    return {f.name: record(getattr(value, f.name)) for f in written_fields(value)} if is_dataclass(value) else value
