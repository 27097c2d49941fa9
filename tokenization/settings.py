"""What the dataclasses of a user's configuration share: they check themselves, without pydantic."""

from __future__ import annotations


class Settings:
    """Makes pydantic refuse undeclared keys, infinity and NaN if such a dataclass is a field of a configuration:
    pydantic reads this attribute."""

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Raise ValueError unless the condition holds. The message names the setting, its value and the rule."""
    if not condition:
        raise ValueError(f"{name} = {list(value) if isinstance(value, tuple) else value!r}: {rule}")


def require_fractions(settings: Settings, *names: str) -> None:
    """Raise ValueError unless the fields of these names lie from 0 to 1."""
    for name in names:
        require(0 <= getattr(settings, name) <= 1, name, getattr(settings, name), "must be from 0 to 1")
