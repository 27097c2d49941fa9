"""The base class and the number types of all configuration classes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Config(BaseModel):
    """A frozen section of the configuration. Unknown keys, infinite numbers and NaN are errors. `left_out` names keys
    that came later: while one has its default it is no part of the fingerprint, so that older results stay."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    left_out: ClassVar[frozenset[str]] = frozenset()
