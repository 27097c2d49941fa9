"""Reinforcement learning over whole conversations. Everything here is identity."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from jobs.configs.base import Config, Fraction, Weight
from jobs.configs.training import OptimizerConfig


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
