"""Stage `pretrain` trains a new model on text with joint language modelling."""

from __future__ import annotations

from jobs.configs.training import PretrainConfig
from jobs.stage.context import StageContext
from jobs.stage.inputs import open_index
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.recipe import Inputs, Recipe, simple_recipe, spelled, text_rows
from rxt_model.model import ReactiveTransformer, seeded


def pretrain(ctx: StageContext, config: PretrainConfig) -> dict[str, float | str]:
    """Train a new model with joint language modelling. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: PretrainConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train a new model, whose weights depend on the seed alone, on rows of text."""
    index = open_index(inputs["shards"])
    shape = config.model.with_vocabulary(index.vocab_size, index.tokenizer_digest)
    model = spelled(seeded(lambda: ReactiveTransformer(shape), config.seed), inputs)
    return simple_recipe(JointLM(model, config), config, inputs["shards"], text_rows, share)
