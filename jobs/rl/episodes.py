"""Turn conversations into episodes: what is asked, what should be answered, and how many turns an episode has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from jobs.configs.rl import MrlConfig
from jobs.stage.context import Look, StageError
from tokenization.shards.reader import ShardReader, global_batch

REFERENCE_TURNS = 8  # memory gets reference answers in the first turns, then the policy's own (as published)


@dataclass(frozen=True)
class Turn:
    """One interaction. `prompt` ends with the first token of the answer part ([A] or [T]), which is given, not sampled.
    `reference` is the rest of the answer, [EOS] included. If `asked`, the policy answers and is rewarded; interactions
    whose answers do not depend on memory are only written to memory."""

    prompt: tuple[int, ...]
    reference: tuple[int, ...]
    asked: bool = True

    @property
    def interaction(self) -> tuple[int, ...]:
        """The token ids of the whole interaction with the reference answer."""
        return self.prompt + self.reference


@dataclass(frozen=True)
class Episode:
    """A conversation that starts with an empty memory. Turn 0 is only written to memory.

    `id` is unique within a batch and fixes the sampling noise. Episodes of the same `group` play the same conversation
    from the same initial memory.
    """

    id: str
    turns: tuple[Turn, ...]
    group: str = ""

    @property
    def asked(self) -> tuple[int, ...]:
        """The turns that are answered and rewarded."""
        return tuple(n for n, turn in enumerate(self.turns) if n and turn.asked)

    def told(self, turn: int, answer: Sequence[int] | None) -> Sequence[int]:
        """The interaction that memory gets after a turn; `answer` is the policy's, or None if it was not asked."""
        step = self.turns[turn]
        return step.interaction if turn < REFERENCE_TURNS or answer is None else (*step.prompt, *answer)


def episode_turns(iteration: int, config: MrlConfig) -> int:
    """The curriculum: the number of interactions per episode, which rises from turns[0] to turns[1] in equal parts of
    the stage."""
    first, last = config.turns
    return min(last, first + iteration * (last - first + 1) // config.iterations)


def as_episode(row: dict, turns: int, prefix: str) -> Episode:
    """An episode of the first `turns` interactions of a conversation row, or all if it has fewer. The policy is asked
    those that probe memory, or all of them if the conversation has no probes."""
    probed = {probe["turn"] for probe in row["probes"]} or range(turns)
    interactions = [
        Turn(
            tuple(i["input_ids"][: i["answer_start"] + 1]),
            tuple(i["input_ids"][i["answer_start"] + 1 :]),
            asked=number in probed,
        )
        for number, i in enumerate(row["interactions"][:turns])
    ]
    name = f"{prefix}:{row['conversation_id']}"
    return Episode(name, tuple(interactions), name)


def by_length(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    """The episodes, longest first, so that those that still run at a turn are the first rows of the batch."""
    return tuple(sorted(episodes, key=lambda e: (-len(e.turns), e.id)))


def running(episodes: Sequence[Episode], turn: int) -> int:
    """The number of episodes that have this turn."""
    return sum(len(episode.turns) > turn for episode in episodes)


def training_episodes(reader: ShardReader, config: MrlConfig, iteration: int) -> tuple[Episode, ...]:
    """The episodes of one iteration, which depend on seed and iteration alone, so a resumed stage needs no state."""
    first = global_batch(len(reader), config.seed, iteration, config.episodes // config.samples)
    turns = episode_turns(iteration, config)
    played = [_asking(reader, int(row), turns, f"{iteration}/{i}") for i, row in enumerate(first)]
    return tuple(replace(e, id=f"{e.id}#{sample}") for e in played for sample in range(config.samples))


def held_out_episodes(readers: Iterable[ShardReader], config: MrlConfig) -> tuple[Episode, ...]:
    """Up to `config.held_out_episodes` conversations of the given splits in which something is asked, each with
    `config.turns[1]` interactions. They are the same for every seed and run."""
    rows = (reader.row(int(row)) for reader in readers for row in global_batch(len(reader), 0, 0, len(reader)))
    episodes = (as_episode(row, config.turns[1], f"held-out/{i}") for i, row in enumerate(rows))
    return tuple(islice((episode for episode in episodes if episode.asked), config.held_out_episodes))


def _asking(reader: ShardReader, row: int, turns: int, prefix: str) -> Episode:
    """The first conversation from `row` on that asks something within `turns` interactions; wraps around. Raises
    StageError if there is none."""
    for step in range(len(reader)):
        episode = as_episode(reader.row((row + step) % len(reader)), turns, prefix)
        if episode.asked:
            return episode
    raise StageError(f"mrl.turns: no conversation asks anything within {turns} interactions", Look())
