"""Stage `baseline` trains RxT's rival, a stateless decoder that reads the whole history."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.training import BaselineConfig
from jobs.stage.context import StageContext
from jobs.stage.inputs import open_reader
from jobs.stage.model_input import open_model_config
from jobs.training.batching.batches import Batch
from jobs.training.batching.conversations import history_rows
from jobs.training.batching.reader import WHOLE, Share, batch_reader
from jobs.training.fit import fit
from jobs.training.objectives.next_token import NextToken
from jobs.training.objectives.rehearsal import with_text
from jobs.training.recipe import MODEL, Inputs, Recipe, interaction_rows, spelled, text_rows, validation_batch
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.model import seeded


def baseline(ctx: StageContext, config: BaselineConfig) -> dict[str, float | str]:
    """Train a stateless decoder with as many active parameters as the RxT model. Writes `model/`."""
    return fit(ctx, config, recipe)


def recipe(config: BaselineConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """Train on text, then on interactions, then on whole conversations. Each phase starts its rows from the first."""
    shape = matching_config(open_model_config(inputs[MODEL]))
    objective = NextToken(spelled(seeded(lambda: StatelessDecoder(shape), config.seed), inputs), config)
    text, interactions, conversations = (inputs[name] for name in ("text", "interactions", "conversations"))
    collates = [text_rows, interaction_rows(interactions), history_rows(conversations, config)]
    *earlier, last = [
        batch_reader(open_reader(shards, "train"), config.seed, phase.batch_size, collate, share, alike)
        for shards, phase, collate, alike in zip(
            (text, interactions, conversations), config.phases, collates, (1, 1, config.alike), strict=True
        )
    ]
    last_phase = config.phases[-1]
    held_out = validation_batch(conversations, last_phase.batch_size, collates[-1], share, last_phase.steps - 1)
    final = with_text(Recipe(objective, last, held_out), config, inputs, share)

    def batch_at(step: int) -> Batch:
        for phase, batch in zip(config.phases[:-1], earlier, strict=True):
            if step < phase.steps:
                return batch(step)
            step -= phase.steps
        return final.batch_at(step)

    return replace(final, batch_at=batch_at)
