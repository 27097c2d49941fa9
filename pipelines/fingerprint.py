"""The identity of a result: what was computed, as canonical JSON, and the sha256 of that."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

ABSENT = "absent_at_default"
"""Metadata of a dataclass field that is left out while it has its default. A field that came later than results has it
if its default changes nothing, so that these results stay what they are."""


def plain(value: Any, where: str = "value") -> Any:
    """The value as None, bool, int, float, str, lists and dicts with text keys. Raises TypeError for anything else, as
    it would not have the same digest in the next process."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} = {value}: only finite numbers have an identity")
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}.{i}") for i, item in enumerate(value)]
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name), f"{where}.{name}") for name in type(value).model_fields}
    if is_dataclass(value) and not isinstance(value, type):
        counted = [f for f in fields(value) if not (f.metadata.get(ABSENT) and getattr(value, f.name) == f.default)]
        return {f.name: plain(getattr(value, f.name), f"{where}.{f.name}") for f in counted}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} is {type(key).__name__}, not str")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} = {value!r}: {type(value).__name__} is not plain data")


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, ASCII."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def fingerprint(payload: Any) -> str:
    """sha256 of the canonical JSON, as hex."""
    return hashlib.sha256(canonical_json(payload)).hexdigest()


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, leaf) pairs of plain data. Items of lists are counted from 0. An empty container is a leaf."""
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, (list, tuple)) and value:
        items = ((str(i), item) for i, item in enumerate(value))
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from flatten(item, f"{prefix}.{key}" if prefix else key)


_ABSENT = object()


def diff(old: Any, new: Any) -> list[str]:
    """What changed between two payloads, such as `config.optimizer.lr: 0.001 -> 0.0005`."""
    before, after = dict(flatten(plain(old))), dict(flatten(plain(new)))
    lines = []
    for key in [*after, *(key for key in before if key not in after)]:
        was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if was is _ABSENT or now is _ABSENT or canonical_json(was) != canonical_json(now):
            lines.append(f"{key}: {_show(was)} -> {_show(now)}")
    return lines


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value[:12]
    return value if isinstance(value, str) and value else json.dumps(value)
