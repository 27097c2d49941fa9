"""Named configurations. Each preset is a function, which users can copy and edit."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.config import PipelineConfig
from pipelines.presets import (
    alpha,
    beta,
    hour,
    micro,
    small,
    tiny,
)

PRESETS: dict[str, Callable[[], PipelineConfig]] = {
    "tiny": tiny.tiny,
    "hour": hour.hour,
    "small": small.small,
    "micro": micro.micro,
    "beta": beta.beta,
    "alpha": alpha.alpha,
}
