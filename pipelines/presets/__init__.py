"""Named configurations. A preset is a function, so that one can be copied and edited."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.config import PipelineConfig
from pipelines.presets import (
    beta,
    micro,
    tiny,
)

PRESETS: dict[str, Callable[[], PipelineConfig]] = {
    "tiny": tiny.tiny,
    "micro": micro.micro,
    "beta": beta.beta,
}
