"""Stage `smat`: supervised memory-aware training."""

from __future__ import annotations

from jobs.configs.training import SmatConfig
from jobs.stage.context import StageContext
from jobs.stage.model_input import open_reactive
from jobs.training.batching.conversations import conversation_rows
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.rehearsal import with_text
from jobs.training.objectives.smat import Smat
from jobs.training.recipe import MODEL, Inputs, Recipe, simple_recipe


def smat(ctx: StageContext, config: SmatConfig) -> dict[str, float | str]:
    """Train the model through several memory writes. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: SmatConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train the upstream model on conversations that grow longer from phase to phase, and on text beside them if
    `config` wants any."""

    def turns(step: int) -> int:
        return next((phase for phase in config.phases if step < phase.until), config.phases[-1]).turns

    shards = inputs["shards"]
    objective = Smat(open_reactive(inputs[MODEL]), config)
    collate = conversation_rows(shards, turns, config)
    conversations = simple_recipe(objective, config, shards, collate, share, config.alike)
    return with_text(conversations, config, inputs, share)
