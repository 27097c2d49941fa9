"""Settings of the training stages, one section per stage. All of these settings are part of the fingerprint."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from jobs.configs.base import Config, Fraction, Seed, Weight
from rxt_model.config import Architecture

Precision = Literal["float32", "bfloat16"]


class OptimizerConfig(Config):
    """Settings of the optimizer. The rate warms up linearly to `lr`. Over the last share `decay` of the stage, it falls
    by a cosine to `final_lr` times `lr`. The published schedule has `decay` 1.

    AdamW trains all weights. With `matrices` = "muon", Muon trains the hidden matrices, with the same rate and decay.
    """

    lr: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    matrices: Literal["adamw", "muon"] = "adamw"
    weight_decay: Weight = 0.02
    clip: PositiveFloat = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    decay: Fraction = 1.0
    final_lr: Fraction = 0.1


class OptimisationConfig(Config):
    """Settings of every training. These terms are added to the cross entropy:

    - `balance_weight` times the load balance loss of the experts, which is 1 at best,
    - `router_z_weight` times logsumexp(router logits)^2, averaged over real tokens and layers,
    - `head_z_weight` times logsumexp(next-token logits)^2, averaged over supervised tokens.

    `bias_speed` balances the experts without a loss: selection biases on the router logits move by this much per step.
    With 0, they do not move.

    With `precision` = "bfloat16" passes compute in bf16, and ranks gather weights in bf16. Weights, moments and sums of
    gradients stay fp32, and so do routers.
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Precision = "float32"
    balance_weight: Weight = 0.01
    router_z_weight: Weight = 0.0
    head_z_weight: Weight = 0.0
    bias_speed: Weight = 0.0
    seed: Seed = 0


class TrainingConfig(OptimisationConfig):
    """Settings of a stage with one batch size. `batch_size` counts rows (text, interactions or conversations) per step
    over all workers."""

    steps: PositiveInt
    batch_size: PositiveInt

    @property
    def smallest_batch(self) -> int:
        """The most workers that can train: each needs a row."""
        return self.batch_size


class ConversationsConfig(Config):
    """Settings of training on conversations. Every `text_every`-th step also trains on `text_batch_size` rows of text,
    with weight `text_weight`, so that the model does not forget plain text. There may be fewer such rows than workers.
    The published training has none.

    In generated conversations with memory questions, the decoder learns from every turn with a question and from a
    share `other_turns` of the turns that neither ask for a fact nor tell one that is asked for. Each `alike`
    consecutive batches exchange rows, so that a batch has rows of similar length.
    """

    text_batch_size: Annotated[int, Field(ge=0)] = 0
    text_every: PositiveInt = 1
    text_weight: PositiveFloat = 1.0
    other_turns: Fraction = 1.0
    alike: PositiveInt = 1


class ConversationTrainingConfig(TrainingConfig, ConversationsConfig):
    """Settings of a stage that trains a reactive model on conversations."""


class JointLossConfig(Config):
    """Settings of joint language modelling with a leaked context (`pretrain`, `sft`). Over the stage, noise and masking
    of the encoder's output change linearly from their first to their second value."""

    noise: tuple[Weight, Weight] = (0.5, 1.0)
    masking: tuple[Fraction, Fraction] = (0.15, 0.5)
    mlm_probability: Fraction = 0.15
    decoder_weight: Weight = 1.0
    mlm_weight: Weight = 1.0


class PretrainConfig(TrainingConfig):
    """Settings of joint language-model pre-training from scratch. This stage sets the model's shape."""

    model: Architecture
    loss: JointLossConfig = JointLossConfig()


class MlmConfig(TrainingConfig):
    """Settings of masked language modelling of a new encoder. In the first design, this stage sets the model's shape.
    Of the tokens of text, a share `mlm_probability` is masked."""

    model: Architecture
    mlm_probability: Annotated[float, Field(gt=0, le=1)] = 0.15

    @model_validator(mode="after")
    def _what_is_set_trains_something(self) -> MlmConfig:
        _no_decoder(self, "router_z_weight", "head_z_weight", "bias_speed")
        return self


class TaskConfig(TrainingConfig):
    """Settings of a stage that may give the two shared experts tasks: the first one for thinking and the answers after
    it, the second one for fast answers. `task_weight` times the loss of `jobs.training.objectives.balance` is added (0:
    none). The expert of a task aims at a weight of 1 - `task_smoothing`, averaged over the answer."""

    task_weight: Weight = 0.0
    task_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.2

    left_out: ClassVar[frozenset[str]] = frozenset({"task_weight", "task_smoothing"})


class SftConfig(TaskConfig):
    """Settings of joint fine-tuning on single interactions."""

    loss: JointLossConfig = JointLossConfig()


class MemoryPretrainConfig(ConversationTrainingConfig):
    """Settings of memory pre-training, which has two objectives.

    `reading`: decoder and encoder learn to read the raw encoder states of all earlier interactions. From step
    `importance_from` on, a selective write learns which states are read.
    `self-supervised` (published): only the memory attention learns, to blend encoder states into slots. The `write_`
    settings weigh the encoder states in its target.
    """

    objective: Literal["reading", "self-supervised"] = "reading"
    importance_from: NonNegativeInt = 0
    write_first: Fraction = 0.9
    write_start: Fraction = 0.5
    write_decrease: Fraction = 0.05
    write_minimum: Fraction = 0.05

    @model_validator(mode="after")
    def _what_is_set_trains_something(self) -> MemoryPretrainConfig:
        if self.objective == "self-supervised":
            _no_decoder(self, "importance_from", "text_batch_size", "router_z_weight", "head_z_weight", "bias_speed")
            if self.other_turns != 1:
                raise ValueError(f"other_turns = {self.other_turns}: must be 1, as no decoder is trained")
        return self


class SmatPhase(Config):
    """A phase until step `until` (exclusive). It trains the parts `train` on at most `turns` turns per conversation."""

    until: PositiveInt
    turns: PositiveInt
    train: Annotated[tuple[Literal["decoder", "memory", "encoder"], ...], Field(min_length=1)]


class SmatConfig(ConversationTrainingConfig, TaskConfig):
    """Settings of supervised memory-aware training. A loss flows back through at most `horizon` memory writes (None:
    all). In every `reading_every`-th step the decoder reads raw states, as in `memory-pretrain` (0: never)."""

    phases: Annotated[tuple[SmatPhase, ...], Field(min_length=1)]
    horizon: PositiveInt | None = None
    reading_every: NonNegativeInt = 0

    @model_validator(mode="after")
    def _every_phase_has_steps(self) -> SmatConfig:
        begins = 0
        for number, phase in enumerate(self.phases):
            if phase.until <= begins:
                raise ValueError(f"phases.{number}.until = {phase.until}: must be above {begins}, where it begins")
            if begins >= self.steps:
                raise ValueError(f"phases.{number} begins at step {begins}: must be below steps = {self.steps}")
            begins = phase.until
        return self


class BaselinePhase(Config):
    """One phase: `steps` steps with `batch_size` rows each."""

    steps: PositiveInt
    batch_size: PositiveInt


class BaselineConfig(OptimisationConfig, ConversationsConfig):
    """Settings of the stateless baseline with equal active parameters. It trains on text, then on interactions, then on
    whole conversations. It sees the same tokens as the reactive model if its phases have the steps and batch sizes of
    `pretrain`, of `sft`, and of both memory stages."""

    text: BaselinePhase
    interactions: BaselinePhase
    conversations: BaselinePhase

    @property
    def phases(self) -> tuple[BaselinePhase, ...]:
        return self.text, self.interactions, self.conversations

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    @property
    def smallest_batch(self) -> int:
        return min(phase.batch_size for phase in self.phases)


StageConfig = TrainingConfig | BaselineConfig


def _no_decoder(config: TrainingConfig, *names: str) -> None:
    for name in names:
        if value := getattr(config, name):
            raise ValueError(f"{name} = {value}: must be 0, as no decoder is trained")
