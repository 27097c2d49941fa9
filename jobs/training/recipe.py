"""The parts of a training stage's recipe, which combines a model, an objective and batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

import torch

from jobs.configs.training import StageConfig, TrainingConfig
from jobs.stage.context import Artifact, Look, StageError
from jobs.stage.inputs import open_index, open_reader, open_tokenizer
from jobs.stage.model_folder import require_tokenizer
from jobs.stage.model_input import check_model, open_model_config
from jobs.training.batching.batches import ROW, Batch, Lengths, interaction_batch, text_batch
from jobs.training.batching.reader import Collate, Share, batch_reader
from jobs.training.objectives.base import Objective
from rxt_model.model import TokenModel
from rxt_model.moe.selection_bias import add_selection_bias
from tokenization.bpe.spelling import spelling
from tokenization.records import ShardRow

Inputs = Mapping[str, Artifact]

MODEL, TOKENIZER = "model", "tokenizer"  # every other input of a training stage is a set of shards

NewModel = TypeVar("NewModel", bound=TokenModel)


@dataclass(frozen=True)
class Recipe:
    """What one rank trains with. `batch_at(step)` returns its part of the global batch. `validation` is its part of one
    batch of held-out rows, or None if there are too few rows."""

    objective: Objective
    batch_at: Callable[[int], Batch]
    validation: Batch | None


def check(inputs: Inputs) -> None:
    """Raise StageError unless weights, shards and tokenizer are undamaged and belong together."""
    model = None
    tokenizer = open_tokenizer(inputs[TOKENIZER]) if TOKENIZER in inputs else None
    if MODEL in inputs:
        check_model(inputs[MODEL])
        model = open_model_config(inputs[MODEL])
    for name, artifact in inputs.items():
        if name in (MODEL, TOKENIZER):
            continue
        uri, index = artifact.uri, open_index(artifact)
        for split in {record.split for record in index.files}:
            open_reader(artifact, split)
        if not index.rows("train"):
            raise StageError(f"{uri} holds no training rows", Look())
        if tokenizer is not None:
            require_tokenizer(index.tokenizer_digest, uri, tokenizer)
        if model is None:
            continue
        if index.tokenizer_digest != model.tokenizer_digest:
            raise StageError(
                f"the tokenizer of {uri} does not fit the model in {inputs[MODEL].uri}: "
                f"shards {index.tokenizer_digest}, model {model.tokenizer_digest}",
                Look(),
            )
        if index.vocab_size > model.vocab_size:
            raise StageError(f"{uri} has {index.vocab_size} token ids, the model only {model.vocab_size}", Look())


def build(name: str, config: StageConfig, inputs: Inputs, share: Share) -> Recipe:
    """Make a recipe with the function that `name` gives as `module:function`. If `config` has a `bias_speed`, a model
    without selection biases gets them. Raises StageError for damaged inputs."""
    module, _, function = name.partition(":")
    recipe = getattr(import_module(module), function)(config, inputs, share)
    if config.bias_speed:
        add_selection_bias(recipe.objective.model)
    return recipe


def spelled(model: NewModel, inputs: Inputs) -> NewModel:
    """Tell a new model how its tokens are spelled, if it has a copying head. Raises StageError for a damaged
    tokenizer."""
    if model.spelling is not None:
        model.spell(torch.from_numpy(spelling(open_tokenizer(inputs[TOKENIZER]))))
    return model


def simple_recipe(
    objective: Objective, config: TrainingConfig, shards: Artifact, collate: Collate, share: Share, alike: int = 1
) -> Recipe:
    """A recipe with one objective on the rows of one set of shards. `alike` is as in `batch_reader`."""
    batch_at = batch_reader(open_reader(shards, "train"), config.seed, config.batch_size, collate, share, alike)
    return Recipe(objective, batch_at, validation_batch(shards, config.batch_size, collate, share, config.steps - 1))


def validation_batch(shards: Artifact, batch_size: int, collate: Collate, share: Share, step: int) -> Batch | None:
    """This rank's part of a batch of the first held-out rows, collated as at `step`; None if there are too few rows."""
    if open_index(shards).rows("validation") < batch_size:
        return None
    reader, places = open_reader(shards, "validation"), share.places(batch_size)
    batch = collate(reader.rows(places), reader.lengths(range(batch_size)), step)
    return batch | {ROW: torch.from_numpy(places)}


def text_rows(rows: list[ShardRow], lengths: Lengths, _step: int) -> Batch:
    """Collate rows of packed text."""
    return text_batch(rows, lengths)


def interaction_rows(shards: Artifact) -> Collate:
    """The collate function for single interactions."""
    length = open_index(shards).length
    return lambda rows, lengths, _step: interaction_batch(rows, length, lengths)
