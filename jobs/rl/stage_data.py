"""Read the stage's inputs for the controller, which needs episodes, rewards and readable transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from jobs.configs.rl import MrlConfig
from jobs.rl.episodes import Episode, held_out_episodes
from jobs.rl.replay_buffer import Trajectory
from jobs.rl.rewards import Reward, reward_trajectories
from jobs.stage.context import Change, Look, StageContext, StageError
from jobs.stage.inputs import open_reader, open_tokenizer
from jobs.stage.model_folder import require_tokenizer
from jobs.stage.model_input import model_folder, model_uri
from rxt_model.files.checkpoint import load_config
from rxt_model.files.weights import Tensors
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.shards.reader import ShardReader


@dataclass(frozen=True)
class StageData:
    """The stage's data. Rewards compare meanings by `embedding` [V, d]. It is the upstream model's and stays the same,
    because rewards must not change with the policy that they judge."""

    train: ShardReader
    held_out: tuple[Episode, ...]
    tokenizer: Tokenizer
    embedding: Tensor
    control: frozenset[int]
    eos: int
    config: MrlConfig

    @classmethod
    def open(cls, ctx: StageContext, config: MrlConfig) -> StageData:
        """Open the inputs of the stage. Raises StageError if they are damaged, too few, or do not fit each other."""
        shards, upstream = ctx.inputs["shards"].uri, ctx.inputs["model"]
        readers = {split: open_reader(ctx.inputs["shards"], split) for split in ("train", "validation", "test")}
        tokenizer = open_tokenizer(ctx.inputs["tokenizer"])
        with model_folder(upstream) as folder:
            _, model = load_config(folder)
            embedding = Tensors(folder).get("embedding.weight").float()
        require_tokenizer(model.tokenizer_digest, model_uri(upstream), tokenizer)
        require_tokenizer(readers["train"].tokenizer_digest, shards, tokenizer)
        held_out = held_out_episodes((readers["validation"], readers["test"]), config)
        if len(held_out) < config.held_out_episodes:
            raise StageError(
                f"mrl.held_out_episodes = {config.held_out_episodes}, but {shards} holds {len(held_out)} conversations "
                f"outside the train split that ask something within {config.turns[1]} interactions",
                Change("mrl.held_out_episodes", len(held_out)) if held_out else Look(),
            )
        tokens = model.tokens
        return cls(
            readers["train"], held_out, tokenizer, embedding, frozenset(asdict(tokens).values()), tokens.eos, config
        )

    def reward(self, trajectories: Sequence[Trajectory]) -> tuple[Reward, list[Trajectory]]:
        """The rewards of all answers, flat and term by term, and the trajectories with their rewards filled in."""
        reward = reward_trajectories(self.config.reward, self.embedding, self.eos, self.control, trajectories)
        parts = reward.total.split([len(t.samples) for t in trajectories])
        return reward, [replace(t, rewards=tuple(p.tolist())) for t, p in zip(trajectories, parts, strict=True)]

    def transcript(self, when: str, trajectory: Trajectory) -> dict:
        """The texts and rewards of a trajectory, for people to read."""
        turns: list[dict[str, Any]] = [
            {"query": self.tokenizer.decode(turn.prompt), "reference": decode_answer(self.tokenizer, turn.reference)}
            for turn in trajectory.episode.turns
        ]
        for turn, sample, reward in zip(trajectory.episode.asked, trajectory.samples, trajectory.rewards, strict=True):
            turns[turn] |= {"answer": decode_answer(self.tokenizer, sample.answer), "reward": round(reward, 3)}
        return {"when": when, "episode": trajectory.episode.id, "turns": turns}
