"""Conversations as episodes: what is asked, what should be answered, and how long episodes are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jobs.configs import MrlConfig
from tokenization.reader import ShardReader, global_batch

REFERENCE_TURNS = 8  # up to here memory is told the reference answers, beyond it the policy's own (as published)


@dataclass(frozen=True)
class Turn:
    """One interaction. `prompt` ends with the first token of the answer part ([A] or [T]), which is given, not
    sampled; `reference` is the rest of the answer, [EOS] included."""

    prompt: tuple[int, ...]
    reference: tuple[int, ...]

    @property
    def interaction(self) -> tuple[int, ...]:
        return self.prompt + self.reference


@dataclass(frozen=True)
class Episode:
    """A conversation from an empty memory on. Turn 0 is only written; every later one is answered and rewarded.

    `id` is unique within a batch and fixes the initial memory and the sampling noise of the conversation. Episodes
    of one `group` play the same conversation.
    """

    id: str
    turns: tuple[Turn, ...]
    group: str = ""

    def told(self, turn: int, answer: Sequence[int] | None) -> Sequence[int]:
        """What memory is told of a turn that was answered with `answer` (None: the turn was not asked)."""
        step = self.turns[turn]
        return step.interaction if turn < REFERENCE_TURNS or answer is None else (*step.prompt, *answer)


def stable_hash(*parts: object) -> int:
    """63 bits that are the same in every process: for seeds and for sharding conversations over workers."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def episode_turns(iteration: int, config: MrlConfig) -> int:
    """The curriculum: interactions per episode, rising in equal parts of the stage from first to last of `turns`."""
    first, last = config.turns
    return min(last, first + iteration * (last - first + 1) // config.iterations)


def as_episode(row: dict, turns: int, prefix: str) -> Episode:
    """The first `turns` interactions of a conversation row (fewer where it is shorter)."""
    interactions = [
        Turn(tuple(i["input_ids"][: i["answer_start"] + 1]), tuple(i["input_ids"][i["answer_start"] + 1 :]))
        for i in row["interactions"][:turns]
    ]
    name = f"{prefix}:{row['conversation_id']}"
    return Episode(name, tuple(interactions), name)


def by_length(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    """Longest first: the conversations that still run at any turn are then the first rows of the batch."""
    return tuple(sorted(episodes, key=lambda e: (-len(e.turns), e.id)))


def running(episodes: Sequence[Episode], turn: int) -> int:
    """How many episodes have this turn."""
    return sum(len(episode.turns) > turn for episode in episodes)


def training_episodes(reader: ShardReader, config: MrlConfig, iteration: int) -> tuple[Episode, ...]:
    """The episodes of one iteration: a function of seed and iteration alone, so that a resume needs no cursor."""
    rows = reader.rows(global_batch(len(reader), config.seed, iteration, config.episodes // config.samples))
    turns = episode_turns(iteration, config)
    played = _asked(as_episode(row, turns, f"{iteration}/{i}") for i, row in enumerate(rows))
    return tuple(replace(e, id=f"{e.id}#{sample}") for e in played for sample in range(config.samples))


def held_out_episodes(readers: Iterable[ShardReader], config: MrlConfig) -> tuple[Episode, ...]:
    """`held_out_episodes` conversations of the given splits, at full length: the same for every seed and run."""
    rows: list[dict] = []
    for reader in readers:
        wanted = min(len(reader), config.held_out_episodes - len(rows))
        rows += reader.rows(global_batch(len(reader), 0, 0, wanted)) if wanted else []
    return _asked(as_episode(row, config.turns[1], f"held-out/{i}") for i, row in enumerate(rows))


def _asked(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    """Without conversations of a single interaction, in which nothing is answered."""
    return tuple(episode for episode in episodes if len(episode.turns) > 1)
