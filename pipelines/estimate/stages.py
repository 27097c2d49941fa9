"""What a step of every training stage computes on one GPU, at most: sequences at full length, conversations with all
turns. The mean step has fewer turns (`Pass.share`). How full sequences are is only known once the data are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobs.configs.conversations import ConversationShardsConfig
from jobs.configs.training import (
    BaselineConfig,
    ConversationTrainingConfig,
    JointLossConfig,
    MemoryPretrainConfig,
    MlmConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    StageConfig,
    TrainingConfig,
)
from pipelines.config import PipelineConfig
from rxt_model.config import MemoryConfig
from rxt_model.estimate.work import Pass

NOT_PLANNED = ("mrl", "dmpo", "evaluate")
STATELESS = "baseline"  # the stage that trains another model


@dataclass(frozen=True)
class StepKind:
    """`steps` of a stage that compute the same `passes`, on one GPU."""

    steps: float
    passes: tuple[Pass, ...]

    @property
    def tokens(self) -> float:
        """The tokens of interactions and texts that one GPU takes in, in the mean step."""
        read = [one for one in self.passes if one.part == "encoder"] or [p for p in self.passes if p.part == "decoder"]
        return sum(one.share * one.tokens for one in read)


@dataclass(frozen=True)
class Conversations:
    """`most` turns of at most `length` tokens each; `mean` turns on average."""

    length: int
    most: int
    mean: float

    @classmethod
    def of(cls, shards: ConversationShardsConfig) -> Conversations:
        plans = [plan.turns for plan in (shards.dialogues, shards.longer) if plan is not None]
        mean = sum(low + high for low, high in plans) / (2 * len(plans))
        is_real = shards.documents or any(source.is_used for source in shards.sources)
        real = shards.longest if is_real else 0
        return cls(shards.length, max(real, *(high for _, high in plans)), mean)

    def up_to(self, turns: int) -> Conversations:
        return Conversations(self.length, min(turns, self.most), min(turns, self.mean))


def training_stages(config: PipelineConfig) -> dict[str, StageConfig]:
    """Return the configurations of the stages that train by gradient descent on batches, by stage name."""
    names = [name for name in config.curriculum if name not in NOT_PLANNED]
    found = {name: getattr(config, name.replace("-", "_")) for name in (*names, STATELESS)}
    return {name: stage for name, stage in found.items() if stage is not None}


def step_kinds(config: PipelineConfig, stage: StageConfig, gpus: int) -> list[StepKind]:
    """Return what the steps of a stage compute on the GPU with most rows."""
    text = config.text.length if config.text else 0  # a stage that needs what a preset leaves out is no part of it
    single = config.interactions.length if config.interactions else 0
    told = Conversations.of(config.conversations) if config.conversations else Conversations(0, 1, 1.0)
    match stage:
        case PretrainConfig():
            return [StepKind(stage.steps, tuple(_joint(stage.loss, _share(stage.batch_size, gpus), text)))]
        case MlmConfig():
            return [StepKind(stage.steps, tuple(_masked(stage.mlm_probability, _share(stage.batch_size, gpus), text)))]
        case SftConfig():
            return [StepKind(stage.steps, tuple(_joint(stage.loss, _share(stage.batch_size, gpus), single)))]
        case MemoryPretrainConfig():
            rows = _share(stage.batch_size, gpus)
            if stage.objective == "self-supervised":
                return [StepKind(stage.steps, tuple(_writing(told, rows, _memory(config).slots)))]
            slots = _memory(config).slots_in_training
            passes = (*_reading(told, rows, slots), *_rehearsal(stage, gpus, text, slots))
            return [StepKind(stage.steps, passes)]
        case SmatConfig():
            return list(_smat(stage, told, gpus, text, _memory(config).slots_in_training))
        case BaselineConfig():
            return list(_baseline(stage, told, gpus, text, single))
        case TrainingConfig():  # `lm`
            rows, slots = _share(stage.batch_size, gpus), _memory(config).slots
            decoded = Pass("decoder", rows, text, reads=slots, memories=rows, scored=text)
            return [StepKind(stage.steps, (decoded,))]
    raise AssertionError(f"{type(stage).__name__} has no plan")


def _share(rows: int, gpus: int) -> int:
    return -(-rows // gpus)


def _memory(config: PipelineConfig) -> MemoryConfig:
    assert config.model, "a preset that trains has a model"
    return config.model.memory


def _masked(probability: float, rows: int, length: int) -> Iterator[Pass]:
    """Encode, and guess masked tokens."""
    yield Pass("encoder", rows, length)
    yield Pass("head", rows, length, scored=round(probability * length))


def _joint(loss: JointLossConfig, rows: int, length: int) -> Iterator[Pass]:
    """Encode, guess masked tokens, decode while reading the states of the same tokens."""
    yield from _masked(loss.mlm_probability, rows, length)
    yield Pass("decoder", rows, length, reads=length, memories=rows, scored=length)


def _reading(told: Conversations, rows: int, slots: int) -> Iterator[Pass]:
    """Encode all turns; decode them while each reads the start memory and the states of the whole conversation."""
    turns, share = rows * told.most, told.mean / told.most
    yield Pass("encoder", turns, told.length, share=share)
    held = slots + told.most * told.length
    yield Pass("decoder", turns, told.length, reads=held, memories=rows, scored=told.length, share=share)


def _writing(told: Conversations, rows: int, slots: int) -> Iterator[Pass]:
    """Encode all turns without gradient, and write them one after the other."""
    share = told.mean / told.most
    yield Pass("encoder", rows * told.most, told.length, calls=told.most, trained=False, share=share)
    yield Pass("write", rows * told.most, told.length, reads=slots, calls=2 * told.most - 1, share=share)


def _smat(stage: SmatConfig, told: Conversations, gpus: int, text: int, slots: int) -> Iterator[StepKind]:
    rows, begins = _share(stage.batch_size, gpus), 0
    rehearsal = tuple(_rehearsal(stage, gpus, text, slots))
    for number, phase in enumerate(stage.phases):
        ends = stage.steps if number == len(stage.phases) - 1 else min(phase.until, stage.steps)
        steps, begins = ends - begins, ends
        part = told.up_to(phase.turns)
        raw = steps / stage.reading_every if stage.reading_every else 0.0
        yield StepKind(steps - raw, (*_remembering(part, rows, slots, stage.horizon), *rehearsal))
        if raw:
            yield StepKind(raw, (*_reading(part, rows, slots), *rehearsal))


def _remembering(told: Conversations, rows: int, slots: int, horizon: int | None) -> Iterator[Pass]:
    """Encode all turns, write all but the last, and decode each while it reads the memory before it."""
    turns, share = rows * told.most, told.mean / told.most
    writes = sum(
        min(turn, horizon or turn) if horizon and horizon < told.most - 1 else 1 for turn in range(1, told.most)
    )
    yield Pass("encoder", turns, told.length, share=share)
    yield Pass("write", rows * writes, told.length, reads=slots, calls=writes, share=share)
    yield Pass("decoder", turns, told.length, reads=slots, memories=turns, scored=told.length, share=share)


def _rehearsal(stage: ConversationTrainingConfig, gpus: int, text: int, slots: int) -> Iterator[Pass]:
    """Decode rows of text beside the conversations, in every `text_every`-th step."""
    if stage.text_batch_size:
        rows = _share(stage.text_batch_size, gpus)
        yield Pass("decoder", rows, text, reads=slots, memories=rows, scored=text, share=1 / stage.text_every)


def _baseline(stage: BaselineConfig, told: Conversations, gpus: int, text: int, single: int) -> Iterator[StepKind]:
    """Decode texts, interactions, then conversations as one sequence each, with rows of text beside these."""
    whole = told.most * told.length
    for phase, length, share in zip(
        stage.phases, (text, single, whole), (1.0, 1.0, told.mean / told.most), strict=True
    ):
        rows = _share(phase.batch_size, gpus)
        passes = [Pass("decoder", rows, length, scored=length, share=share)]
        if phase is stage.conversations and stage.text_batch_size:
            beside = _share(stage.text_batch_size, gpus)
            passes.append(Pass("decoder", beside, text, scored=text, share=1 / stage.text_every))
        yield StepKind(phase.steps, tuple(passes))
