"""Stage `memory-pretrain` prepares the model to use memory."""

from __future__ import annotations

from jobs.configs.training import MemoryPretrainConfig
from jobs.stage.context import StageContext
from jobs.stage.model_input import open_reactive
from jobs.training.batching.conversations import conversation_rows
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import fit
from jobs.training.objectives.memory_pretrain import Reading, SelfSupervised
from jobs.training.objectives.rehearsal import with_text
from jobs.training.recipe import MODEL, Inputs, Recipe, simple_recipe


def memory_pretrain(ctx: StageContext, config: MemoryPretrainConfig) -> dict[str, float | str]:
    """Teach the model to read raw encoder states, or its memory to write by self-supervision. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: MemoryPretrainConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train the upstream model on whole conversations, and on text beside them if `config` wants any."""
    shards = inputs["shards"]
    kind = Reading if config.objective == "reading" else SelfSupervised
    collate = conversation_rows(shards, lambda step: None, config)
    objective = kind(open_reactive(inputs[MODEL]), config)
    conversations = simple_recipe(objective, config, shards, collate, share, config.alike)
    return with_text(conversations, config, inputs, share)
