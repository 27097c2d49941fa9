"""Dataclasses that check their fields, and are written down as plain data and read from it."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """A configuration is invalid. The message names the field, its value and the rule."""


def require(condition: bool, field_name: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the condition holds."""
    if not condition:
        raise ConfigError(f"{field_name} = {value!r}: {rule}")


def require_types(config: object, prefix: str = "") -> None:
    """Check each field's type and, where only some words are allowed, its word. A dataclass would accept a typo or 1.5
    experts."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(hint) is Literal:
            require(value in get_args(hint), f"{prefix}{name}", value, f"must be one of {', '.join(get_args(hint))}")
        else:
            require(_fits(hint, value), f"{prefix}{name}", value, f"must be {_type_names(hint)}")


class Strict:
    """Forbid unknown keys. pydantic reads this attribute when the dataclass is a field of a user's configuration."""

    __pydantic_config__ = {"extra": "forbid"}


def record(value: Any) -> Any:
    """Return a dataclass as dicts, and anything else as it is.

    A class names in `left_out` the fields that came after models were made. Such a field is written down only if it
    differs from its default, so the files of models that do not use it stay as they are.
    """
    if not is_dataclass(value):
        return value
    late = getattr(value, "left_out", ())
    kept = (f for f in fields(value) if f.name not in late or getattr(value, f.name) != f.default)
    return {f.name: record(getattr(value, f.name)) for f in kept}


def build(cls: type, values: object, where: str) -> Any:
    """Build a dataclass from plain data. It refuses unknown keys: ignoring one could change the model."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} = {values!r}: must be object")
    known, hints = fields(cls), get_type_hints(cls)
    unknown = sorted(set(values) - {f.name for f in known})
    require(not unknown, where, unknown, f"unknown keys; known are {sorted(f.name for f in known)}")
    built = {}
    for f in known:
        hint, path = hints[f.name], f"{where}: {f.name}"
        if f.name in values:
            built[f.name] = _read(hint, values[f.name], path)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{path} is missing; must be {_type_names(hint)}")
    return cls(**built)


def _read(hint: Any, value: object, where: str) -> Any:
    """Read a field from JSON data. An integer may stand for a float, and a list becomes a tuple."""
    if get_origin(hint) is Literal:
        return value  # the dataclass refuses other words itself
    if get_origin(hint) is tuple and isinstance(value, list):
        value = tuple(value)
    kinds = get_args(hint) or (hint,)
    for kind in kinds:
        if is_dataclass(kind) and isinstance(value, dict):
            return build(kind, value, where)
    require(_fits(hint, value), where, value, f"must be {_type_names(hint)}")
    return value


def _fits(hint: Any, value: object) -> bool:
    if get_origin(hint) is tuple:  # of any length
        return isinstance(value, tuple) and all(_fits(get_args(hint)[0], item) for item in value)
    kinds = get_args(hint) or (hint,)
    return type(value) in kinds or (float in kinds and type(value) is int)


def _type_names(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list of {_type_names(get_args(hint)[0])}"
    names = {NoneType: "null"}
    kinds = get_args(hint) or (hint,)
    return " or ".join("object" if is_dataclass(k) else names.get(k) or getattr(k, "__name__", repr(k)) for k in kinds)
