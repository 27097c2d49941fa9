"""Preference optimisation with memory: the loss is the formula in fp64; an answer is scored before it is written."""

import math

import pytest
import torch

from jobs.configs.preferences import DmpoConfig
from jobs.preferences.batches import preference_batch
from jobs.preferences.objective import Dmpo
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.unroll import unroll
from rxt_model.config import AttentionConfig, MemoryConfig
from tests.reference import model as equations
from tests.reference.compare import assert_agree, shaken
from tests.reference.layers import balance
from tests.reference.objectives import drawn_conversations
from tests.support.training_toys import numbered, toy_model

pytestmark = pytest.mark.usefixtures("in_double")

READS = AttentionConfig(query_heads=2, kv_heads=1)
CHOICES = [[True], [False, True, True, True], [True, False]]
SETTINGS = dict(steps=9, batch_size=3, balance_weight=0.7)


def conversations():
    """Conversations of 1, 4 and 2 turns. Most answers have a rejected one to the same query, longer or shorter."""
    told = drawn_conversations([1, 4, 2])
    others = drawn_conversations([1, 4, 2], lengths=(4, 9), seed=7)
    for one, other, chosen in zip(told, others, CHOICES, strict=True):
        for turn, wrong, choice in zip(one["interactions"], other["interactions"], chosen, strict=True):
            ids = [*turn["input_ids"][:2], *wrong["input_ids"][2:]] if choice else []
            turn |= {"rejected": ids, "rejected_mask": [place >= 2 for place in range(len(ids))]}
    return told


def context():
    return StepContext(1, 3, seed=3)


def log_probability(state, config, ids, memory, loads=None):
    """Of what follows the second token, summed, with the number of its tokens."""
    hidden, load = equations.decode(state, config, ids, memory)
    if loads is not None:
        loads.append(load)
    rows = equations.logits(state, hidden[1:-1])
    return -equations.cross_entropy(rows, ids[2:]), len(ids) - 2


@pytest.mark.parametrize(("form", "smoothing"), [("sum", 0.0), ("mean", 0.0), ("sum", 0.2)])
@pytest.mark.parametrize(("horizon", "reads"), [(None, None), (1, None), (None, READS)])
def test_the_loss_is_the_formula(form, smoothing, horizon, reads):
    beta = 0.3
    shape = dict(memory=MemoryConfig(slots=4, variant="gated"), encoder_memory_attention=reads)
    model = shaken(toy_model(**shape))
    config = DmpoConfig(beta=beta, label_smoothing=smoothing, log_probability=form, horizon=horizon, **SETTINGS)
    dmpo = Dmpo(model, config)
    dmpo._reference[0] = shaken(
        toy_model(memory=MemoryConfig(slots=4, variant="gated"), encoder_memory_attention=reads), 5
    )
    rows = conversations()
    loss, metrics = dmpo(numbered(preference_batch(rows, 16)), context())

    state, frozen = dict(model.named_parameters()), dict(dmpo.reference.named_parameters())
    start = model.initial_memories(context().generators(numbered(preference_batch(rows, 16)), "memory"))
    lost, right, count, loads = 0, 0, 0, []
    for conversation, memory in zip(rows, start.unbind(1), strict=True):
        held = [memory]
        for turn, interaction in enumerate(conversation["interactions"]):
            first = 0 if horizon is None else max(0, turn - horizon)
            memory = held[first].detach()
            for earlier in conversation["interactions"][first:turn]:
                encoded = equations.encode(state, model.config, earlier["input_ids"], memory)
                memory = equations.write(state, model.config, memory, encoded)
            held[turn:] = [memory, None]
            if not interaction["rejected"]:
                continue
            gains = []
            for ids in (interaction["input_ids"], interaction["rejected"]):
                own, length = log_probability(state, model.config, ids, memory, loads)
                base, _ = log_probability(frozen, model.config, ids, memory.detach())
                gains.append((own - base.detach()) / (length if form == "mean" else 1))
            margin = beta * (gains[0] - gains[1])
            likely = 1 / (1 + torch.exp(-margin))
            lost = lost - (1 - smoothing) * likely.log() - smoothing * (1 - likely).log()
            right, count = right + int(margin > 0), count + 1
    assert count == sum(map(sum, CHOICES))
    assert_agree(loss, lost / count + 0.7 * balance(loads), state)
    assert metrics["train/accuracy"].tolist() == [right, count]


def test_a_weight_that_nothing_takes_is_refused():
    with pytest.raises(ValueError, match="head_z_weight = 0.1: must be 0, as answers are compared"):
        DmpoConfig(**SETTINGS, head_z_weight=0.1)


def test_at_the_first_step_nothing_is_preferred_to_the_reference():
    dmpo = Dmpo(toy_model(), DmpoConfig(**SETTINGS))
    _, metrics = dmpo(numbered(preference_batch(conversations(), 16)), context())
    lost, count = metrics["train/loss"].tolist()
    assert lost / count == pytest.approx(math.log(2)) and metrics["train/margin"][0] == 0


def test_an_answer_is_scored_before_it_is_written_and_rejected_ones_never_are():
    """Another accepted answer in turn 2 changes what turn 3 reads, and nothing before. Another rejected one nothing."""
    model, rows = toy_model(), conversations()
    _, whole, _ = rows
    told = whole["interactions"][1]
    end = [(told["input_ids"][-1] - 10) % 29 + 11]
    others = {
        "accepted": replace_turn(whole, 1, {"input_ids": told["input_ids"][:-1] + end}),
        "rejected": replace_turn(whole, 1, {"rejected": told["rejected"][:-1] + end}),
    }

    def read(conversation):
        batch = numbered(preference_batch([conversation], 16))
        start = model.initial_memories(context().generators(batch, "memory"))
        return unroll(model, batch["input_ids"], batch["turn_mask"], start, None).memories[:, 0]

    before, accepted, rejected = read(whole), read(others["accepted"]), read(others["rejected"])
    assert torch.equal(before[:, :2], accepted[:, :2]) and not torch.equal(before[:, 2], accepted[:, 2])
    assert torch.equal(before, rejected)


def replace_turn(conversation, turn, changes):
    interactions = list(conversation["interactions"])
    interactions[turn] = interactions[turn] | changes
    return conversation | {"interactions": interactions}


def test_training_prefers_the_accepted_answers():
    """And the reference, which is no part of what is saved or trained, stays."""
    model = toy_model()
    dmpo = Dmpo(model, DmpoConfig(**SETTINGS | dict(balance_weight=0.0)))
    assert not any("reference" in name for name in dmpo.state_dict())
    before = [p.clone() for p in dmpo.reference.parameters()]
    optimizer, batch = torch.optim.Adam(dmpo.parameters(), 3e-3), numbered(preference_batch(conversations(), 16))
    for _ in range(15):
        optimizer.zero_grad()
        loss, metrics = dmpo(batch, context())
        loss.backward()
        optimizer.step()
    assert metrics["train/accuracy"][0] == metrics["train/accuracy"][1] and metrics["train/margin"][0] > 0
    assert all(torch.equal(a, b) for a, b in zip(before, dmpo.reference.parameters(), strict=True))
