"""Stage `dmpo`: preference optimisation with memory."""

from __future__ import annotations

from jobs.configs.preferences import DmpoConfig
from jobs.preferences.batches import preference_rows
from jobs.preferences.objective import Dmpo
from jobs.stage.context import StageContext
from jobs.stage.model_input import open_reactive
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.recipe import MODEL, Inputs, Recipe, simple_recipe


def dmpo(ctx: StageContext, config: DmpoConfig) -> dict[str, float | str]:
    """Train the model to prefer accepted answers. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: DmpoConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train the upstream model, which is also the reference, on conversations with accepted and rejected answers."""
    shards = inputs["shards"]
    objective = Dmpo(open_reactive(inputs[MODEL]), config)
    return simple_recipe(objective, config, shards, preference_rows(shards, config.turns), share)
