"""Every stage that there is, also those that no preset has."""

from __future__ import annotations

from pipelines.curriculum import curriculum
from pipelines.overrides import resolve
from pipelines.presets import PRESETS

OPTIONAL = [
    ["preferences.length=64", "dmpo.steps=1", "dmpo.batch_size=1"],
]
"""Keys that bring in stages which no preset has."""

CONFIGS = [
    *(make() for make in PRESETS.values()),
    *(resolve(PRESETS["micro"](), None, keys) for keys in OPTIONAL),
]
STAGES = list(dict.fromkeys(stage.name for config in CONFIGS for stage in curriculum(config)))
