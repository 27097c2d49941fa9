"""Which turns are decoded: those that ask and a share of the others, whoever reads the row; batches of like length."""

import numpy as np
import pytest
import torch

from jobs.configs.training import BaselineConfig, BaselinePhase, MemoryPretrainConfig
from jobs.training.batching.batches import NEVER_TOLD, NOT_ASKED, TOLD, conversation_batch, history_batch
from jobs.training.batching.conversations import conversation_rows, decoded_turns, history_rows, told_turns
from jobs.training.batching.reader import WHOLE, Share, batch_reader
from tests.support.training_data import artifacts, same, undealt
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.reader import ShardReader, global_batch
from tokenization.shards.writer import write_shard

ROWS, SIZE, SEED, LENGTH = 48, 6, 7, 16
ONE = BaselinePhase(steps=1, batch_size=SIZE)


def config(share, seed=SEED, **changes):
    return MemoryPretrainConfig(steps=9, batch_size=SIZE, other_turns=share, seed=seed, **changes)


def conversation(name, turns, asks, random):
    interactions = []
    for _ in range(turns):
        ids = [2, 5, *random.integers(11, 30, random.integers(1, 9)).tolist(), 6, 20, 3]
        start = ids.index(6)
        loss_mask = [place >= start for place in range(len(ids))]
        interactions.append({"input_ids": ids, "loss_mask": loss_mask, "answer_start": start, "language": 0})
    probe = {"slot": "x", "kind": "recall", "gold": ["a"], "forbidden": [], "distance": 1, "facts": 1, "tag": ""}
    probes = [{"turn": turn} | probe for turn in asks]
    return {"conversation_id": name, "interactions": interactions, "probes": probes}


def conversations():
    random = np.random.default_rng(0)
    drawn = []
    for number in range(ROWS):
        turns = int(random.integers(2, 9))
        asks = sorted(1 + random.choice(turns - 1, random.integers(0, turns // 2 + 1), replace=False))
        drawn.append(conversation(str(number), turns, asks, random))
    return drawn


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("conversations"))
    records = [write_shard(f"{uri}/train-00000.arrow", "conversations", conversations(), "train")]
    write_index(uri, ShardIndex("conversations", LENGTH, "d" * 64, 300, tuple(records)))
    return artifacts({"shards": uri})["shards"]


def test_turns_that_ask_and_a_share_of_the_others_are_decoded():
    rows = conversations()
    asked = [{probe["turn"] for probe in row["probes"]} for row in rows]
    assert decoded_turns(rows, config(1.0), 0) is None
    others = []
    for step in range(40):
        for row, asks, chosen in zip(rows, asked, decoded_turns(rows, config(0.25), step), strict=True):
            assert len(chosen) == len(row["interactions"])
            assert chosen[list(asks)].all() and chosen.any()
            if not asks:
                assert chosen.all()  # made without questions
            else:
                told = {turn - 1 for turn in asks} - asks
                assert not chosen[list(told)].any()
                others += [chosen[turn] for turn in range(len(chosen)) if turn not in asks | told]
    assert len(others) > 1000 and np.mean(others) == pytest.approx(0.25, abs=0.03)


def test_without_others_the_questions_alone_are_decoded_and_else_the_last_turn():
    rows = [conversation("a", 5, [1, 3], np.random.default_rng(0)), conversation("b", 4, [3], np.random.default_rng(0))]
    assert [np.flatnonzero(chosen).tolist() for chosen in decoded_turns(rows, config(0.0), 0)] == [[1, 3], [3]]
    assert [np.flatnonzero(chosen).tolist() for chosen in decoded_turns(rows, config(0.0), 0, 3)] == [[1], [2]]


def test_a_question_asks_for_the_turn_that_told_or_for_what_nobody_told():
    row = conversation("a", 6, [1, 3, 4, 5], np.random.default_rng(0))
    row["probes"][1] |= {"kind": "unknown", "tag": "never-told", "distance": 0}
    row["probes"][2] |= {"distance": 4}
    row["probes"][3] |= {"tag": "two-facts"}
    (told,) = told_turns([row])
    assert told.tolist() == [NOT_ASKED, 0, NOT_ASKED, NEVER_TOLD, 0, NOT_ASKED]
    assert told_turns([row], 3)[0].tolist() == told[:3].tolist()
    batch = conversation_batch([row, row], LENGTH, told=[told, told[:4]])
    assert batch[TOLD].tolist() == [told.tolist(), [*told[:4].tolist(), NOT_ASKED, NOT_ASKED]]
    (history,) = history_batch([row], LENGTH, told=[told])[TOLD]
    sizes = [len(turn["input_ids"]) for turn in row["interactions"]]
    for turn in (1, 3, 4):  # the token before the answer's first asks
        asking = sum(sizes[:turn]) + row["interactions"][turn]["answer_start"] - 1
        assert history[asking] == told[turn]
    assert (history != NOT_ASKED).sum() == 3


def test_the_draw_depends_on_seed_step_and_conversation_alone():
    rows = [row for row in conversations() if row["probes"]]

    def drawn(rows, seed=SEED, step=0):
        chosen = decoded_turns(rows, config(0.5, seed), step)
        return {row["conversation_id"]: tuple(turns) for row, turns in zip(rows, chosen, strict=True)}

    assert drawn(rows) == drawn(rows[::-1])
    assert len({tuple(sorted(drawn(rows, *other).items())) for other in [(7, 0), (8, 0), (7, 1)]}) == 3


@pytest.mark.parametrize("alike", [1, 4])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_decode_the_turns_of_one(shards, ranks, alike):
    reader = ShardReader(shards.uri, "train")
    collates = [
        conversation_rows(shards, lambda step: 2 + step, config(0.3)),
        history_rows(shards, BaselineConfig(text=ONE, interactions=ONE, conversations=ONE, other_turns=0.3)),
    ]
    for collate in collates:
        alone = batch_reader(reader, SEED, SIZE, collate, WHOLE, alike)
        parts = [batch_reader(reader, SEED, SIZE, collate, Share(rank, ranks), alike) for rank in range(ranks)]
        for step in range(6):
            assert same(undealt([batch_at(step) for batch_at in parts]), alone(step))


def test_what_is_decoded_stands_in_the_batch(shards):
    rows = ShardReader(shards.uri, "train").rows([0, 1, 2])
    few, every = (conversation_rows(shards, lambda step: 4, config(share))(rows, None, 0) for share in (0.0, 1.0))
    width = few["decoded"].shape[1]
    expected = [np.pad(chosen, (0, width - len(chosen))) for chosen in decoded_turns(rows, config(0.0), 0, 4)]
    assert few["decoded"].tolist() == np.array(expected).tolist()
    assert not (few["decoded"] & ~few["turn_mask"]).any()
    assert same({name: few[name] for name in every}, every) and "decoded" not in every


def test_a_history_is_supervised_in_its_decoded_turns(shards):
    rows = ShardReader(shards.uri, "train").rows(range(8))
    baseline = BaselineConfig(text=ONE, interactions=ONE, conversations=ONE, other_turns=0.0)
    lengths = [[len(turn["input_ids"]) for turn in row["interactions"]] for row in rows]
    few, every = (
        history_rows(shards, of)(rows, lengths, 0) for of in (baseline, baseline.model_copy(update={"other_turns": 1}))
    )
    assert torch.equal(few["input_ids"], every["input_ids"])
    for row, decoded, mask in zip(rows, decoded_turns(rows, baseline, 0), few["loss_mask"], strict=True):
        turns = zip(row["interactions"], decoded, strict=True)
        expected = [on and use for turn, use in turns for on in turn["loss_mask"]]
        assert mask[: len(expected)].tolist() == expected and not mask[len(expected) :].any()
    assert 0 < few["loss_mask"].sum() < every["loss_mask"].sum()


def test_batches_of_like_length_have_the_same_rows_in_another_order(shards):
    """Those of 4 steps together, across the end of an epoch; each batch anew as after a restart."""
    reader = ShardReader(shards.uri, "train")

    def rows_at(step, alike, seed=SEED):
        found = []
        batch_reader(reader, seed, SIZE, lambda rows, lengths, step: found.extend(rows) or {}, WHOLE, alike)(step)
        return [row["conversation_id"] for row in found]

    def turns(names):
        return [len(row["interactions"]) for row in reader.rows([int(name) for name in names])]

    orders = set()
    for group in range(4):
        steps = range(4 * group, 4 * group + 4)
        plain, alike = ([rows_at(step, n) for step in steps] for n in (1, 4))
        assert sorted(sum(plain, [])) == sorted(sum(alike, []))
        spread = [max(turns(names)) - min(turns(names)) for names in alike]
        assert sum(spread) < 0.5 * sum(max(turns(names)) - min(turns(names)) for names in plain)
        orders.add(tuple(np.argsort([np.mean(turns(names)) for names in alike])))
    assert len(orders) > 1, "batches come in a drawn order, not in that of their lengths"
    assert [rows_at(step, 4) for step in range(4)] != [rows_at(step, 4, SEED + 1) for step in range(4)]
    assert sorted(rows_at(0, 1)) == sorted(str(row) for row in global_batch(ROWS, SEED, 0, SIZE))
