"""The base class and the number types of all configuration classes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


def left_out(default: Any) -> Any:
    """A key that came later. While it has its default it is no part of the fingerprint, so that older results stay."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Config(BaseModel):
    """A frozen section of the configuration. Unknown keys, infinite numbers and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
