"""Stage `sft` fine-tunes the model on single interactions with joint language modelling."""

from __future__ import annotations

from jobs.configs.training import SftConfig
from jobs.stage.context import StageContext
from jobs.stage.model_input import open_reactive
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.recipe import MODEL, Inputs, Recipe, interaction_rows, simple_recipe


def sft(ctx: StageContext, config: SftConfig) -> dict[str, float | str]:
    """Fine-tune the model on interactions with joint language modelling. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: SftConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train the upstream model on interactions."""
    shards = inputs["shards"]
    return simple_recipe(JointLM(open_reactive(inputs[MODEL]), config), config, shards, interaction_rows(shards), share)
