"""Settings of reinforcement learning over whole conversations. All of them are part of the fingerprint."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from jobs.configs.base import Config, Fraction, Seed, Weight
from jobs.configs.training import OptimizerConfig


class RewardConfig(Config):
    """The weights of R = scale * (bleu * BLEU + cosine * COS + length * LEN); see `jobs.rl.rewards`.

    BLEU compares the answer with the reference answer and the previous interaction, weighted by `bleu_parts`. COS also
    compares it with the running mean of the interactions before; `cosine_parts` are the weights. `bleu`, `cosine` and
    `length` sum to 1, and so do both sets of parts.
    """

    scale: PositiveFloat = 10.0
    bleu: Fraction = 0.4
    cosine: Fraction = 0.5
    length: Fraction = 0.1
    bleu_parts: tuple[Fraction, Fraction] = (0.4, 0.6)
    cosine_parts: tuple[Fraction, Fraction, Fraction] = (0.3, 0.5, 0.2)

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> RewardConfig:
        terms = {
            "bleu": self.bleu,
            "cosine": self.cosine,
            "length": self.length,
        }
        for name, weights in (
            (" + ".join(terms), tuple(terms.values())),
            ("bleu_parts", self.bleu_parts),
            ("cosine_parts", self.cosine_parts),
        ):
            if abs(sum(weights) - 1) > 1e-6:
                raise ValueError(f"{name} = {weights}: must sum to 1")
        return self


class MrlConfig(Config):
    """Memory reinforcement learning with IMPO, or PPO with generalised advantages. The policy answers the interactions
    that probe memory, or all of them in conversations without probes. Other interactions are only written to memory.

    An episode has `turns` interactions, which rise from the first number to the second over the stage. The memory
    attention trains from the start; the three fractions of iterations in `unfreeze` say when the decoder's memory reads
    and norms, the encoder, and everything else join it. `kl_turns` weights how much one more memory write changes the
    policy. Each conversation is played `samples` times within the `episodes` of an iteration. With 2 or more samples,
    an answer is judged against the others to the same question, and there is no critic; PPO then expects no reward from
    later turns.

    `control` makes the stage an experiment that must not raise the reward: answers get each other's rewards, or all the
    same.
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
    control: Literal["none", "shuffled", "constant"] = "none"
    seed: Seed = 0

    @model_validator(mode="after")
    def _turns_and_stages_rise(self) -> MrlConfig:
        if not 2 <= self.turns[0] <= self.turns[1]:
            raise ValueError(
                f"turns = {self.turns}: must rise from at least 2, because the first interaction is not answered"
            )
        if self.episodes % self.samples:
            raise ValueError(f"samples = {self.samples}: must divide episodes = {self.episodes}")
        if list(self.unfreeze) != sorted(self.unfreeze):
            raise ValueError(f"unfreeze = {self.unfreeze}: must rise")
        return self
