"""Episodes, their curriculum, and the replay buffer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.configs.rl import MrlConfig
from jobs.rl.episodes import (
    REFERENCE_TURNS,
    Episode,
    Turn,
    as_episode,
    by_length,
    episode_turns,
    held_out_episodes,
    running,
    training_episodes,
)
from jobs.rl.replay_buffer import ReplayBuffer, Sample, Trajectory
from jobs.stage.context import StageError
from tests.support.rl_data import toy_row, toy_world
from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY
from tokenization.shards.reader import ShardReader


def test_a_prompt_ends_with_the_given_answer_token_and_the_reference_with_eos():
    episode = as_episode(toy_row(0, 0, 30, 3), 2, "x")
    assert len(episode.turns) == 2
    for turn in episode.turns:
        assert turn.prompt[:2] == (BOS, QUERY)
        assert turn.prompt[-1] == ANSWER
        assert turn.reference[-1] == EOS
    assert list(episode.turns[1].interaction) == toy_row(0, 0, 30, 3)["interactions"][1]["input_ids"]


def test_episodes_grow_from_first_to_last_length():
    config = MrlConfig(iterations=10, turns=(3, 5))
    lengths = [episode_turns(i, config) for i in range(10)]
    assert lengths == sorted(lengths)
    assert set(lengths) == {3, 4, 5}
    assert max(lengths.count(n) for n in (3, 4, 5)) <= 4


@pytest.mark.parametrize("turns", [(1, 4), (5, 4)])
def test_turn_ranges_that_cannot_be_are_refused(turns):
    with pytest.raises(ValidationError, match="turns"):
        MrlConfig(iterations=1, turns=turns)


def test_memory_is_told_the_reference_first_and_own_answers_later():
    turn = Turn((1, 2), (3, 4))
    episode = Episode("e", (turn,) * (REFERENCE_TURNS + 1))
    assert episode.told(REFERENCE_TURNS - 1, (9,)) == (1, 2, 3, 4)
    assert episode.told(REFERENCE_TURNS, (9,)) == (1, 2, 9)


def test_running_episodes_are_the_first_of_a_sorted_batch():
    turn = Turn((1,), (2,))
    batch = by_length([Episode("b", (turn,) * 2), Episode("a", (turn,) * 4), Episode("c", (turn,) * 2)])
    assert [e.id for e in batch] == ["a", "b", "c"]
    assert [running(batch, t) for t in range(5)] == [3, 3, 1, 1, 0]


def test_iterations_see_each_conversation_once_per_epoch_and_held_out_is_fixed(tmp_path):
    inputs = toy_world(tmp_path)
    train = ShardReader(inputs["shards"].uri, "train")
    config = MrlConfig(iterations=5, episodes=8, samples=1, turns=(2, 4), held_out_episodes=9)
    seen = [e.group.split(":")[1] for i in range(5) for e in training_episodes(train, config, i)]
    assert sorted(seen) == sorted(f"c{i}" for i in range(40))
    assert [e.id for e in training_episodes(train, config, 2)] == [e.id for e in training_episodes(train, config, 2)]
    assert {len(e.turns) for e in training_episodes(train, config, 0)} == {2}

    readers = [ShardReader(inputs["shards"].uri, split) for split in ("validation", "test")]
    held_out = held_out_episodes(readers, config)
    assert len(held_out) == 9
    assert held_out == held_out_episodes(readers, config.model_copy(update={"seed": 5}))
    assert {turn for e in held_out for turn in e.turns}.isdisjoint(
        {turn for i in range(5) for e in training_episodes(train, config, i) for turn in e.turns}
    )


def test_each_conversation_is_played_several_times_as_one_group(tmp_path):
    train = ShardReader(toy_world(tmp_path)["shards"].uri, "train")
    episodes = training_episodes(train, MrlConfig(iterations=5, episodes=8, samples=4, turns=(2, 4)), 1)
    assert len({e.id for e in episodes}) == 8
    assert [e.group for e in episodes] == [episodes[0].group] * 4 + [episodes[4].group] * 4
    assert episodes[0].turns == episodes[3].turns != episodes[4].turns
    with pytest.raises(ValidationError, match="samples = 3"):
        MrlConfig(iterations=1, episodes=8, samples=3)


def _trajectory(version: int) -> Trajectory:
    episode = Episode("c", (Turn((2, 5, 6), (3,)),) * 2)
    return Trajectory(episode, version, (Sample((11, 3), (-0.1234567890123, -1e-30)),), (4.5,))


def test_buffer_survives_json_bit_for_bit_and_is_emptied_once():
    buffer = ReplayBuffer([_trajectory(2)])
    again = ReplayBuffer.from_json(buffer.to_json())
    assert again.take(2) == [_trajectory(2)]
    assert len(again) == 0


def test_trajectories_of_another_policy_are_refused():
    buffer = ReplayBuffer([_trajectory(2), _trajectory(1)])
    with pytest.raises(ValueError, match=r"version \[1\].*version 2"):
        buffer.take(2)
    assert len(buffer) == 2


def test_what_does_not_probe_memory_is_written_but_not_asked():
    row = toy_row(0, 0, 30, 4)
    assert as_episode(row, 4, "x").asked == (1, 2, 3)  # not made to probe: everything
    probed = row | {"probes": [{"turn": 0}, {"turn": 2}]}
    episode = as_episode(probed, 4, "x")
    assert episode.asked == (2,)
    trajectory = Trajectory(episode, 0, (Sample((9, EOS), (0.0, 0.0)),))
    assert [tuple(trajectory.told(turn)) for turn in range(4)] == [turn.interaction for turn in episode.turns]
    assert as_episode(probed, 2, "x").asked == ()


def test_a_conversation_that_asks_nothing_in_time_gives_way_to_the_next():
    class Rows(list):
        row = list.__getitem__

    rows = Rows(toy_row(i, 0, 30, 4) | {"conversation_id": str(i), "probes": [{"turn": i}]} for i in range(4))
    config = MrlConfig(iterations=1, episodes=4, samples=1, turns=(3, 3))
    assert {e.asked for e in training_episodes(rows, config, 0)} == {(1,), (2,)}
    assert [e.asked for e in held_out_episodes([rows], config)] in ([(1,), (2,)], [(2,), (1,)])
    with pytest.raises(StageError, match="within 3 interactions"):
        training_episodes(Rows([rows[3]]), config, 0)
