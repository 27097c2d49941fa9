"""What a user may set for the stages that train, measure and hand over (those that make data: `jobs.data_configs`).
Everything here is identity, except `Execution`: where and how to compute it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from jobs.config_base import Config, Fraction
from rxt_model.config import Architecture

Weight = Annotated[float, Field(ge=0)]


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


class ConversationTrainingConfig(TrainingConfig):
    """Training on conversations. `text_batch_size`: rows of text beside them in every step, so that text is not
    forgotten, and `text_weight` of their loss; 0 rows are the published form."""

    text_batch_size: Annotated[int, Field(ge=0)] = 0
    text_weight: PositiveFloat = 1.0

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
    `self-supervised`: the memory attention alone learns to blend encoder states into slots (the published stage)."""

    objective: Literal["reading", "self-supervised"] = "reading"
    write_first: Fraction = 0.9
    write_start: Fraction = 0.5
    write_decrease: Fraction = 0.05
    write_minimum: Fraction = 0.05

    @model_validator(mode="after")
    def _what_is_set_trains_something(self) -> MemoryPretrainConfig:
        if self.objective == "self-supervised":
            for name in ("text_batch_size", "router_z_weight", "head_z_weight", "bias_speed"):
                if value := getattr(self, name):
                    raise ValueError(f"{name} = {value}: must be 0, as no decoder is trained")
        return self


class SmatPhase(Config):
    """Until step `until` (exclusive): conversations of at most `turns`, and the parts that are trained."""

    until: PositiveInt
    turns: PositiveInt
    train: Annotated[tuple[Literal["decoder", "memory", "encoder"], ...], Field(min_length=1)]


class SmatConfig(ConversationTrainingConfig):
    """Supervised memory-aware training. `horizon`: memory writes a loss may flow back through (None: all)."""

    phases: Annotated[tuple[SmatPhase, ...], Field(min_length=1)]
    horizon: PositiveInt | None = None

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


class BaselinePart(Config):
    """So many steps of so many rows."""

    steps: PositiveInt
    batch_size: PositiveInt


class BaselineConfig(OptimisationConfig):
    """The stateless decoder of equal active parameters, trained on text, then interactions, then whole conversations.
    The same tokens as the reactive model when the parts repeat `pretrain`, `sft`, and both memory stages;
    `text_batch_size` are the rows of text beside the conversations of `talks`, and `text_weight` that of their loss, as
    there."""

    text: BaselinePart
    pairs: BaselinePart
    talks: BaselinePart
    text_batch_size: Annotated[int, Field(ge=0)] = 0
    text_weight: PositiveFloat = 1.0

    @property
    def parts(self) -> tuple[BaselinePart, ...]:
        return self.text, self.pairs, self.talks

    @property
    def steps(self) -> int:
        return sum(part.steps for part in self.parts)

    @property
    def smallest_batch(self) -> int:
        sizes = [*(part.batch_size for part in self.parts), self.text_batch_size]
        return min(size for size in sizes if size)


StageConfig = TrainingConfig | BaselineConfig


class RewardConfig(Config):
    """R = scale x (bleu, cosine, length weights times the terms); see `jobs.rl.rewards`.

    `bleu_parts`: against the reference answer and the previous interaction; `cosine_parts`: against these two and the
    running mean of the interactions before. Each of the three groups of weights sums to 1.
    """

    scale: PositiveFloat = 10.0
    bleu: Fraction = 0.4
    cosine: Fraction = 0.5
    length: Fraction = 0.1
    bleu_parts: tuple[Fraction, Fraction] = (0.4, 0.6)
    cosine_parts: tuple[Fraction, Fraction, Fraction] = (0.3, 0.5, 0.2)

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> RewardConfig:
        for name, weights in (
            ("bleu + cosine + length", (self.bleu, self.cosine, self.length)),
            ("bleu_parts", self.bleu_parts),
            ("cosine_parts", self.cosine_parts),
        ):
            if abs(sum(weights) - 1) > 1e-6:
                raise ValueError(f"{name} = {weights}: must sum to 1")
        return self


class MrlConfig(Config):
    """Memory reinforcement learning: IMPO, or PPO with generalised advantages. The policy answers what probes memory
    (in conversations without probes, everything); other interactions are only written.

    `turns`: interactions per episode, rising from the first to the second over the stage. `unfreeze`: the memory
    attention trains from the start; from these fractions of the iterations on also the decoder's memory reads and
    norms, the encoder, everything. `kl_turns`: how much one more memory write may change the policy. `samples`: how
    often each conversation is played within the `episodes` of an iteration; from 2 on an answer is judged against the
    others to the same question, and there is no critic (PPO then expects nothing of later turns).
    """

    algorithm: Literal["impo", "ppo"] = "impo"
    iterations: PositiveInt
    episodes: PositiveInt = 32
    samples: PositiveInt = 4
    turns: tuple[PositiveInt, PositiveInt] = (4, 6)
    update_epochs: PositiveInt = 2
    clip: PositiveFloat = 0.2
    temperature: PositiveFloat = 1.0
    entropy: float = 0.01
    kl_reference: float = 0.05
    kl_turns: float = 1e-3
    memory_drift: float = 0.0
    balance_weight: Weight = 0.01
    router_z_weight: Weight = 0.0
    unfreeze: tuple[Fraction, Fraction, Fraction] = (0.25, 0.5, 0.75)
    reward: RewardConfig = RewardConfig()
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4, warmup_steps=0)
    held_out_episodes: PositiveInt = 200
    shuffle_rewards: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _turns_and_stages_rise(self) -> MrlConfig:
        if not 2 <= self.turns[0] <= self.turns[1]:
            raise ValueError(
                f"turns = {self.turns}: must rise from at least 2, as the first interaction is not answered"
            )
        if self.episodes % self.samples:
            raise ValueError(f"samples = {self.samples}: must divide episodes = {self.episodes}")
        if list(self.unfreeze) != sorted(self.unfreeze):
            raise ValueError(f"unfreeze = {self.unfreeze}: must rise")
        return self


class EvaluateConfig(Config):
    """Held-out measurements. `questions` is the least number of memory questions asked."""

    questions: PositiveInt = 300
    text_rows: PositiveInt = 200
    latency_turns: PositiveInt = 64
    batch_size: PositiveInt = 64
    seed: int = 0


class ExportConfig(Config):
    """The hand-over folder; `name` stands in the model card."""

    name: str = "rxt-tiny"


class DataExecution(Config):
    """Ray Data jobs: how many shards are written at once."""

    parallelism: PositiveInt = 2


class TrainExecution(Config):
    """Ray Train runs. `shard` is where `fully_shard` cuts: `root` (one group, for small models) or `block`.
    `expert_parallel` ranks share the experts of a layer. `activation_checkpointing` recomputes layers in the backward
    pass instead of keeping what they computed."""

    workers: PositiveInt = 2
    threads: PositiveInt = 1
    gpus: bool = False
    expert_parallel: PositiveInt = 1
    shard: Literal["root", "block"] = "root"
    activation_checkpointing: bool = False
    checkpoint_every_steps: PositiveInt = 100
    log_every_steps: PositiveInt = 10
    keep_checkpoints: PositiveInt = 2
    max_failures: Annotated[int, Field(ge=0)] = 2


class RlExecution(Config):
    """Actors of the RL stage."""

    rollout_workers: PositiveInt = 2
    threads: PositiveInt = 1
    checkpoint_every_iterations: PositiveInt = 2
    max_restarts: Annotated[int, Field(ge=0)] = 3


class Execution(Config):
    """Where and how: never part of a fingerprint."""

    data: DataExecution = DataExecution()
    train: TrainExecution = TrainExecution()
    rl: RlExecution = RlExecution()
    parallel_stages: PositiveInt = 1
