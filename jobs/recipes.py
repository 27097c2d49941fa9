"""What each training stage is made of: model, objective and batches, from its config and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jobs import configs
from jobs.batch_reader import WHOLE, Collate, Share, batch_reader
from jobs.batches import (
    Batch,
    Lengths,
    Row,
    beside,
    conversation_batch,
    history_batch,
    interaction_batch,
    text_batch,
)
from jobs.context import Artifact, Look, StageError
from jobs.inputs import check_model, open_index, open_model, open_model_config, open_reader
from jobs.objectives.base import Objective
from jobs.objectives.joint_lm import JointLM
from jobs.objectives.memory_pretrain import Reading, SelfSupervised
from jobs.objectives.next_token import NextToken
from jobs.objectives.rehearsal import Rehearsal
from jobs.objectives.smat import Smat
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.selection_bias import add_selection_bias
from tokenization.reader import ShardReader

Inputs = Mapping[str, Artifact]

MODEL = "model"  # the input that is a model; every other input of a training stage is a set of shards


@dataclass(frozen=True)
class Recipe:
    """`batch_at(step)` is one rank's part of the global batch; `validation` that of a fixed one of held-out rows, if
    there are enough."""

    objective: Objective
    batch_at: Callable[[int], Batch]
    validation: Batch | None


def build(config: configs.StageConfig, inputs: Inputs, share: Share = WHOLE) -> Recipe:
    """The recipe of the stage that `config` belongs to; `inputs` by name: shards, and the upstream model as `model`.
    Its batches are this rank's `share`. Fresh weights depend on the seed alone. A stage that moves selection biases
    gives them to a model without. Raises StageError for what is damaged."""
    recipe = _RECIPES[type(config)](config, inputs, share)
    if config.bias_speed:
        add_selection_bias(recipe.objective.model)
    return recipe


def check(inputs: Inputs) -> None:
    """Before anything is started: whole weights and shards, made with one tokenizer. StageError otherwise."""
    model = None
    if MODEL in inputs:
        check_model(inputs[MODEL])
        model = open_model_config(inputs[MODEL])
    for name, artifact in inputs.items():
        if name == MODEL:
            continue
        uri, index = artifact.uri, open_index(artifact)
        for split in {record.split for record in index.files}:
            open_reader(artifact, split)
        if not index.rows("train"):
            raise StageError(f"{uri} holds no training rows", Look())
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


def _pretrain(config: configs.PretrainConfig, inputs: Inputs, share: Share) -> Recipe:
    reader = open_reader(inputs["shards"], "train")
    shape = config.model.with_vocabulary(reader.vocab_size, reader.tokenizer_digest)
    model = seeded(lambda: ReactiveTransformer(shape), config.seed)
    return _recipe(JointLM(model, config), config, reader, inputs["shards"], _text, share)


def _sft(config: configs.SftConfig, inputs: Inputs, share: Share) -> Recipe:
    reader = open_reader(inputs["shards"], "train")
    collate = _interactions(reader.length)
    return _recipe(JointLM(_upstream(inputs), config), config, reader, inputs["shards"], collate, share)


def _memory_pretrain(config: configs.MemoryPretrainConfig, inputs: Inputs, share: Share) -> Recipe:
    reader = open_reader(inputs["shards"], "train")
    kind = Reading if config.objective == "reading" else SelfSupervised
    collate = _conversations(reader.length, lambda step: None)
    talks = _recipe(kind(_upstream(inputs), config), config, reader, inputs["shards"], collate, share)
    return _rehearsing(talks, config, inputs, share)


def _smat(config: configs.SmatConfig, inputs: Inputs, share: Share) -> Recipe:
    reader = open_reader(inputs["shards"], "train")

    def turns(step: int) -> int:
        return next((phase for phase in config.phases if step < phase.until), config.phases[-1]).turns

    collate = _conversations(reader.length, turns)
    talks = _recipe(Smat(_upstream(inputs), config), config, reader, inputs["shards"], collate, share)
    return _rehearsing(talks, config, inputs, share)


def _baseline(config: configs.BaselineConfig, inputs: Inputs, share: Share) -> Recipe:
    """Text, then interactions, then whole conversations; each starts its own pass over its rows."""
    shape = matching_config(open_model_config(inputs[MODEL]))
    objective = NextToken(seeded(lambda: StatelessDecoder(shape), config.seed), config)
    readers = [open_reader(inputs[name], "train") for name in ("text", "pairs", "talks")]
    collates = [_text, _interactions(readers[1].length), _histories(readers[2].length)]
    *earlier, last = [
        batch_reader(reader, config.seed, part.batch_size, collate, share)
        for reader, part, collate in zip(readers, config.parts, collates, strict=True)
    ]

    held_out = _validation(inputs["talks"], config.talks.batch_size, collates[-1], share, config.talks.steps - 1)
    talks = _rehearsing(Recipe(objective, last, held_out), config, inputs, share)

    def batch_at(step: int) -> Batch:
        for part, batch in zip(config.parts[:-1], earlier, strict=True):
            if step < part.steps:
                return batch(step)
            step -= part.steps
        return talks.batch_at(step)

    return replace(talks, batch_at=batch_at)


_RECIPES: Mapping[type, Callable[..., Recipe]] = {
    configs.PretrainConfig: _pretrain,
    configs.SftConfig: _sft,
    configs.MemoryPretrainConfig: _memory_pretrain,
    configs.SmatConfig: _smat,
    configs.BaselineConfig: _baseline,
}


def _recipe(
    objective: Objective,
    config: configs.TrainingConfig,
    reader: ShardReader,
    shards: Artifact,
    collate: Collate,
    share: Share,
) -> Recipe:
    batch_at = batch_reader(reader, config.seed, config.batch_size, collate, share)
    return Recipe(objective, batch_at, _validation(shards, config.batch_size, collate, share, config.steps - 1))


def _rehearsing(
    talks: Recipe, config: configs.ConversationTrainingConfig | configs.BaselineConfig, inputs: Inputs, share: Share
) -> Recipe:
    """The same with rows of text beside the conversations of every batch, if `config` wants any."""
    size = config.text_batch_size
    if not size:
        return talks
    text_at = batch_reader(open_reader(inputs["text"], "train"), config.seed, size, _text, share)
    held_out = _validation(inputs["text"], size, _text, share, config.steps - 1)
    return Recipe(
        Rehearsal(talks.objective, config),
        lambda step: beside(talks.batch_at(step), text_at(step)),
        beside(talks.validation, held_out) if talks.validation and held_out else talks.validation,
    )


def _validation(shards: Artifact, batch_size: int, collate: Collate, share: Share, step: int) -> Batch | None:
    """This rank's part of one batch of the first held-out rows, as at `step`."""
    if open_index(shards).rows("validation") < batch_size:
        return None
    reader = open_reader(shards, "validation")
    return collate(reader.rows(share.places(batch_size)), reader.lengths(range(batch_size)), step)


def _upstream(inputs: Inputs) -> ReactiveTransformer:
    return open_model(inputs[MODEL])


def _text(rows: list[Row], lengths: Lengths, step: int) -> Batch:
    return text_batch(rows, lengths)


def _interactions(length: int) -> Collate:
    return lambda rows, lengths, step: interaction_batch(rows, length, lengths)


def _conversations(length: int, turns: Callable[[int], int | None]) -> Collate:
    return lambda rows, lengths, step: conversation_batch(rows, length, turns(step), lengths)


def _histories(length: int) -> Collate:
    return lambda rows, lengths, step: history_batch(rows, length, lengths)
