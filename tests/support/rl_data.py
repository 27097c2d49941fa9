"""A toy world for the RL tests: a model of some ten thousand parameters, conversations over a dozen words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jobs.configs.execution import Execution, RlExecution
from jobs.configs.rl import MrlConfig
from jobs.rl.episodes import as_episode
from jobs.rl.replay_buffer import Sample, Trajectory
from jobs.stage.context import Artifact, Remedy, StageContext
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, MoEConfig
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import ReactiveTransformer, seeded
from tests.support.recorded import recorded
from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.writer import write_shard

LENGTH = 24


def architecture(**changes: Any) -> Architecture:
    heads = AttentionConfig(2, 2)
    values: dict[str, Any] = dict(
        dim=16,
        heads=2,
        stateful_layers=2,
        initial_layers=1,
        final_layers=1,
        decoder_attention=AttentionConfig(2, 2, gate="elementwise"),
        cross_attention=heads,
        encoder_attention=heads,
        dense_dim=32,
        encoder_dim=32,
        moe=MoEConfig(experts=4, top_k=2, expert_dim=8),
        memory=MemoryConfig(slots=4, variant="competitive"),
        length=LENGTH,
    )
    return Architecture(**values | changes)


def toy_model(vocab_size: int = 300, digest: str = "", **changes: Any) -> ReactiveTransformer:
    config = architecture(**changes).with_vocabulary(vocab_size, digest)
    return seeded(lambda: ReactiveTransformer(config), 0).eval()


def toy_row(number: int, seed: int, vocab_size: int, turns: int) -> dict:
    """Make a conversation of random words. The answer to each query is its first word, three times."""
    random = np.random.default_rng([seed, number])
    interactions = []
    for _ in range(turns):
        words = random.integers(12, min(vocab_size, 24), size=4).tolist()
        prompt, reply = [BOS, QUERY, *words], [ANSWER, *[words[0]] * 3, EOS]
        interactions.append(
            {
                "input_ids": prompt + reply,
                "loss_mask": [False] * len(prompt) + [True] * len(reply),
                "answer_start": len(prompt),
                "language": 0,
            }
        )
    return {"conversation_id": f"c{number}", "interactions": interactions, "probes": []}


def toy_world(folder: Path, held_out: int = 8, **changes: Any) -> Mapping[str, Artifact]:
    """Make the upstream artifacts of the stage `mrl`: model, conversation shards of 2 to 4 turns, tokenizer."""
    tokenizer = Tokenizer.train(["ala ma kota", "a cat has a mat"] * 20, 300)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    save_pretrained(toy_model(tokenizer.vocab_size, tokenizer.digest, **changes), folder / "model" / "model")
    records = []
    for split, seed, rows in (("train", 1, 40), ("validation", 2, held_out), ("test", 3, 2)):
        content = [toy_row(i, seed, tokenizer.vocab_size, 2 + i % 3) for i in range(rows)]
        records.append(write_shard(f"{folder}/shards/{split}-00000.arrow", "conversations", content, split))
    index = ShardIndex("conversations", LENGTH, tokenizer.digest, tokenizer.vocab_size, tuple(records))
    write_index(f"{folder}/shards", index)
    return {name: recorded(name, f"{name}-1", str(folder / name)) for name in ("model", "shards", "tokenizer")}


def random_trajectories(
    config: MrlConfig, version: int, random: np.random.Generator, reward: float | None = None
) -> list[Trajectory]:
    """Make an iteration's trajectories, with answers of random words. Rewards are random too, or all `reward`. The
    samples of a conversation are one group."""
    trajectories = []
    for number in range(config.episodes):
        conversation, sample = divmod(number, config.samples)
        episode = as_episode(toy_row(conversation, 9, 300, 2 + conversation % 3), 4, f"{conversation}/{sample}")
        episode = replace(episode, group=str(conversation))
        answers = [random.integers(12, 300, 3).tolist() for _ in episode.asked]
        samples = tuple(Sample(tuple(answer), tuple(random.uniform(-6.5, -5.0, 3).tolist())) for answer in answers)
        rewards = random.uniform(0, 10, len(samples)) if reward is None else [reward] * len(samples)
        trajectories.append(Trajectory(episode, version, samples, tuple(map(float, rewards))))
    return trajectories


class RecordingReporter:
    """Keeps what a stage reports. After `stop_after` progress calls it says that the user wants to stop."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.points: dict[int, dict[str, float]] = {}
        self.messages: list[str] = []
        self.notes: list[str] = []
        self.files: list[str] = []
        self.stop_after = stop_after

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.points[step] = dict(values)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.notes.append(f"{done}/{total} {note}")

    def message(self, text: str, remedy: Remedy = "") -> None:
        self.messages.append(text)

    def file(self, path: str, folder: str = "") -> None:
        self.files.append(path)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.notes) >= self.stop_after


def toy_context(inputs: Mapping[str, Artifact], output: Path, reporter: RecordingReporter, **rl) -> StageContext:
    execution = Execution(rl=RlExecution(**rl))
    return StageContext("mrl", "mrl-1", str(output), inputs, execution, reporter, reporter.should_stop)
