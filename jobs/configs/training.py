"""How weights are trained: one section per training stage. Everything here is identity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from jobs.configs.base import Config, Fraction, Weight
from rxt_model.config import Architecture


class OptimizerConfig(Config):
    """AdamW with linear warm-up and, over the last `decay` of the stage, cosine decay to `final_lr` x lr; 1 is the
    published schedule."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    weight_decay: Weight = 0.02
    clip: PositiveFloat = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    decay: Fraction = 1.0
    final_lr: Fraction = 0.1


class OptimisationConfig(Config):
    """How weights are trained, whatever on.

    Beside the cross entropy are minimised: `balance_weight` times the load balance of the experts, 1 at best;
    `router_z_weight` times the mean over real tokens and layers of logsumexp(router logits)^2; `head_z_weight` times
    the mean over supervised tokens of logsumexp(logits of the next token)^2. `bias_speed` balances the experts without
    a loss, by selection biases on the router's logits that move so much per step; 0 leaves biases where they are.
    """

    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["float32", "bfloat16"] = "float32"
    balance_weight: Weight = 0.01
    router_z_weight: Weight = 0.0
    head_z_weight: Weight = 0.0
    bias_speed: Weight = 0.0
    seed: int = 0


class TrainingConfig(OptimisationConfig):
    """What every training stage has. `batch_size` is global: rows, interactions or conversations per step."""

    steps: PositiveInt
    batch_size: PositiveInt

    @property
    def smallest_batch(self) -> int:
        """What limits the number of workers: each has a row."""
        return self.batch_size


class ConversationsConfig(Config):
    """How conversations are trained on. In every `text_every`-th step `text_batch_size` rows of text lie beside them,
    so that text is not forgotten; `text_weight` is the weight of their loss. 0 rows are the published form.

    In conversations that were made with questions, the decoder learns from all turns that ask, and from a share
    `other_turns` of the others. `alike` batches in a row exchange rows, so that each has rows of like length.
    """

    text_batch_size: Annotated[int, Field(ge=0)] = 0
    text_every: PositiveInt = 1
    text_weight: PositiveFloat = 1.0
    other_turns: Fraction = 1.0
    alike: PositiveInt = 1


class ConversationTrainingConfig(TrainingConfig, ConversationsConfig):
    """Training on conversations."""

    @property
    def smallest_batch(self) -> int:
        return min(self.batch_size, self.text_batch_size or self.batch_size)


class JointLossConfig(Config):
    """Joint language modelling with a leaked context (`pretrain`, `sft`): noise and masking of the encoder's output
    rise linearly from their first to their second value over the stage."""

    noise: tuple[Weight, Weight] = (0.5, 1.0)
    masking: tuple[Fraction, Fraction] = (0.15, 0.5)
    mlm_probability: Fraction = 0.15
    decoder_weight: Weight = 1.0
    mlm_weight: Weight = 1.0


class PretrainConfig(TrainingConfig):
    """Joint LM pre-training from scratch. The model's shape is declared here and nowhere else."""

    model: Architecture
    loss: JointLossConfig = JointLossConfig()

    @model_validator(mode="after")
    def _the_encoder_reads_no_memory(self) -> PretrainConfig:
        if self.model.encoder_memory_attention is not None:
            raise ValueError(
                "model.encoder_memory_attention: must be left out, as the stages encode all interactions of a "
                "conversation before there is a memory to read"
            )
        return self


class SftConfig(TrainingConfig):
    """Joint fine-tuning on single interactions."""

    loss: JointLossConfig = JointLossConfig()


class MemoryPretrainConfig(ConversationTrainingConfig):
    """`reading`: decoder and encoder learn to read the raw encoder states of all earlier interactions.
    `self-supervised`: the memory attention alone learns to blend encoder states into slots (the published stage).
    From step `importance_from` of `reading` on, a selective write learns which states are read."""

    objective: Literal["reading", "self-supervised"] = "reading"
    importance_from: NonNegativeInt = 0
    write_first: Fraction = 0.9
    write_start: Fraction = 0.5
    write_decrease: Fraction = 0.05
    write_minimum: Fraction = 0.05

    @model_validator(mode="after")
    def _what_is_set_trains_something(self) -> MemoryPretrainConfig:
        if self.objective == "self-supervised":
            for name in ("importance_from", "text_batch_size", "router_z_weight", "head_z_weight", "bias_speed"):
                if value := getattr(self, name):
                    raise ValueError(f"{name} = {value}: must be 0, as no decoder is trained")
            if self.other_turns != 1:
                raise ValueError(f"other_turns = {self.other_turns}: must be 1, as no decoder is trained")
        return self


class SmatPhase(Config):
    """Until step `until` (exclusive): conversations of at most `turns`, and the parts that are trained."""

    until: PositiveInt
    turns: PositiveInt
    train: Annotated[tuple[Literal["decoder", "memory", "encoder"], ...], Field(min_length=1)]


class SmatConfig(ConversationTrainingConfig):
    """Supervised memory-aware training. `horizon`: memory writes a loss may flow back through (None: all). In every
    `reading_every`-th step the decoder reads raw states, as in `memory-pretrain` (0: never)."""

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
    """So many steps of so many rows."""

    steps: PositiveInt
    batch_size: PositiveInt


class BaselineConfig(OptimisationConfig, ConversationsConfig):
    """The stateless decoder of equal active parameters, trained on text, then interactions, then whole conversations.
    The same tokens as the reactive model when the phases repeat `pretrain`, `sft`, and both memory stages."""

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
        sizes = [*(phase.batch_size for phase in self.phases), self.text_batch_size]
        return min(size for size in sizes if size)


StageConfig = TrainingConfig | BaselineConfig
