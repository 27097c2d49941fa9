"""What the dataclasses share that a user's configuration is made of: they check themselves, without pydantic."""

from __future__ import annotations


class Settings:
    """A key that nobody declared is an error, and so is a number that is none: pydantic reads this attribute when such
    a dataclass is a field of a configuration."""

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Raises ValueError for a setting that cannot be meant: names the field, the value and the rule."""
    if not condition:
        raise ValueError(f"{name} = {list(value) if isinstance(value, tuple) else value!r}: {rule}")


def require_fractions(settings: Settings, *names: str) -> None:
    """The fields of these names lie from 0 to 1."""
    for name in names:
        require(0 <= getattr(settings, name) <= 1, name, getattr(settings, name), "must be from 0 to 1")
