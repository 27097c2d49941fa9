"""What the objectives compute, against formulas written out one row, slot or turn at a time."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from jobs.configs.training import ConversationTrainingConfig, OptimisationConfig, SmatConfig, SmatPhase
from jobs.training.batching.batches import beside, text_batch
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.memory_pretrain import _resample
from jobs.training.objectives.next_token import NextToken
from jobs.training.objectives.rehearsal import Rehearsal
from jobs.training.objectives.smat import Smat
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import MemoryConfig
from rxt_model.model import seeded
from rxt_model.moe.layer import Routing
from tests.support.training_toys import numbered, start_memory, toy_config, toy_model


@pytest.mark.parametrize("slots", [3, 4, 7, 8, 12])
def test_targets_of_the_memory_take_every_real_token_into_account(slots):
    """If there are more tokens than slots, targets are means; if fewer, interpolations; if as many, the tokens
    themselves. Padding never counts."""
    torch.manual_seed(0)
    encoded, lengths = torch.randn(2, 4, 8, 5), [8, 7, 4, 1]
    real = torch.arange(8) < torch.tensor(lengths)[:, None]
    found = _resample(encoded, real, slots)
    assert found.shape == (2, 4, slots, 5)
    for row, length in enumerate(lengths):
        tokens = encoded[:, row, :length].numpy()
        for slot in range(slots):
            if length > slots:
                first, end = slot * length // slots, -(-(slot + 1) * length // slots)
                expected = tokens[:, first:end].mean(1)
            else:
                at = slot * (length - 1) / (slots - 1)
                expected = np.array(
                    [[np.interp(at, range(length), tokens[layer, :, i]) for i in range(5)] for layer in range(2)]
                )
            np.testing.assert_allclose(found[:, row, slot].numpy(), expected, atol=1e-5)


def ragged_conversations(turns=(1, 4, 2, 3)):
    """Make conversations of two words, with this many turns each."""
    generator = torch.Generator().manual_seed(5)
    present = torch.arange(max(turns)) < torch.tensor(turns)[:, None]
    ids = torch.randint(11, 13, (len(turns), max(turns), 9), generator=generator)
    ids[:, :, 6:] *= torch.randint(0, 2, (len(turns), max(turns), 1), generator=generator)
    ids *= present[..., None]
    answers = (ids != 0) & (torch.arange(9) > 2)
    return numbered({"input_ids": ids, "loss_mask": answers, "turn_mask": present})


def test_smat_tells_the_accuracy_of_every_turn():
    model = toy_model()
    with torch.no_grad():
        model.decoder.head.bias[11:13] += 10  # the two words that occur, so that about half is right
    phases = (SmatPhase(until=9, turns=5, train=("decoder",)),)
    smat = Smat(model, SmatConfig(steps=9, batch_size=4, phases=phases))
    batch = ragged_conversations()
    context = StepContext(0, 9, seed=1)
    _, metrics = smat(batch, context)

    memory = start_memory(model, context, 4)
    expected = []
    for ids, answers in zip(batch["input_ids"].unbind(1), batch["loss_mask"].unbind(1), strict=True):
        guess = model.logits(model.decode(ids, memory, mask=ids != 0)).argmax(-1)
        right = [int(guess[r, i - 1] == ids[r, i]) for r, i in answers.nonzero().tolist()]
        expected.append([sum(right), len(right)])
        memory = model.write(memory, model.encode(ids, ids != 0), ids != 0)
    assert 0 < sum(r for r, _ in expected) < sum(n for _, n in expected)
    found = [metrics.pop(f"train/accuracy_turn_{turn}").tolist() for turn in range(1, 6)]
    assert found == [*expected, [0, 0]]  # the fifth is asked nowhere in this batch, and has its name all the same
    assert metrics["train/accuracy"].tolist() == np.sum(expected, 0).tolist()


@pytest.mark.parametrize("reading_every", [0, 1])
def test_fewer_slots_in_training_give_what_a_model_of_so_many_slots_gives(reading_every):
    """To the bit, with rows of text beside the conversations, whether slots or raw states are read."""
    phases = (SmatPhase(until=9, turns=5, train=("decoder",)),)
    config = SmatConfig(
        steps=9, batch_size=4, phases=phases, reading_every=reading_every, text_batch_size=2, text_weight=0.25
    )
    rows = [([12, 15, 3, 20, 21, 22, 3], [0, 3]), ([30, 31, 32, 33, 3], [0])]
    text = numbered(text_batch([{"input_ids": ids, "document_starts": starts} for ids, starts in rows]))
    found = []
    for memory in (
        MemoryConfig(slots=3, variant="selective"),
        MemoryConfig(slots=8, variant="selective", trained_slots=3),
        MemoryConfig(slots=8, variant="selective"),
    ):
        model = toy_model(memory=memory)
        loss, _ = Rehearsal(Smat(model, config), config)(
            beside(ragged_conversations(), text), StepContext(0, 9, seed=1)
        )
        loss.backward()
        found.append((loss.item(), model.embedding.weight.grad))
    assert found[0][0] == found[1][0] != found[2][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("kind", ["reactive", "stateless"])
def test_rehearsal_adds_the_mean_over_text_tokens_to_the_loss_of_the_conversations(kind):
    """The reference computes the text by hand: every document of a row alone, from a start memory of the
    row's own."""
    model = toy_model() if kind == "reactive" else seeded(lambda: StatelessDecoder(toy_config()), 0)
    rows = [([12, 15, 3, 20, 21, 22, 3], [0, 3]), ([30, 31, 32, 33, 3], [0])]
    text = numbered(text_batch([{"input_ids": ids, "document_starts": starts} for ids, starts in rows]))
    if kind == "reactive":
        phases = (SmatPhase(until=9, turns=5, train=("decoder",)),)
        objective = Smat(model, SmatConfig(steps=9, batch_size=4, phases=phases, balance_weight=0))
        batch = ragged_conversations()
    else:
        objective = NextToken(model, OptimisationConfig(balance_weight=0))
        batch = {name: ragged_conversations((2, 2))[name].flatten(1) for name in ("input_ids", "loss_mask")}

    context = StepContext(0, 9, seed=1)
    alone, _ = objective(batch, context)
    memory = model.initial_memories(context.generators(text, "text-memory")) if kind == "reactive" else None
    nats, hits = [], 0
    for row, (ids, starts) in enumerate(rows):
        for first, end in itertools.pairwise([*starts, len(ids)]):
            document = torch.tensor([ids[first:end]])
            read = [] if memory is None else [memory[:, row : row + 1]]
            logits = model.logits(model.decode(document, *read))[0, :-1]
            nats += F.cross_entropy(logits, document[0, 1:], reduction="none").tolist()
            hits += (logits.argmax(-1) == document[0, 1:]).sum().item()

    config = ConversationTrainingConfig(steps=9, batch_size=4, text_batch_size=2, text_weight=0.25, balance_weight=0)
    loss, metrics = Rehearsal(objective, config)(beside(batch, text), context)
    assert loss.item() == pytest.approx(alone.item() + 0.25 * sum(nats) / len(nats), rel=1e-5)
    assert metrics["train/text_loss"].tolist() == pytest.approx([sum(nats), 9])
    assert metrics["train/text_accuracy"].tolist() == [hits, 9]
    assert metrics["train/tokens"].tolist() == [(batch["input_ids"] != 0).sum() + 12, 1]


def test_metrics_of_the_routing_by_hand():
    """Of two layers with four experts, one is balanced, and the other has its load on two experts, three to one."""
    even = Routing(torch.full((4,), 4.0), torch.full((4,), 2.0), torch.tensor(8.0), torch.tensor(16.0))
    skewed = Routing(torch.tensor([12.0, 4, 0, 0]), torch.tensor([4.0, 2, 1, 1]), torch.tensor(8.0), torch.tensor(48.0))
    config = OptimisationConfig(balance_weight=0.5, router_z_weight=0.25)
    loss, metrics = routing_loss([even, skewed], config)
    found = {name.removeprefix("router/"): pair.tolist() for name, pair in metrics.items()}
    skewed_balance = 4 * (12 / 16 * 4 / 8 + 4 / 16 * 2 / 8)
    entropy = -sum(p * math.log(p) for p in (1 / 2, 1 / 4, 1 / 8, 1 / 8))
    expected = {
        "max_load": 3,
        "dead_experts": 2,
        "entropy": (math.log(4) + entropy) / 2,
        "balance": (1 + skewed_balance) / 2,
        "z": (2 + 6) / 2,
    }
    assert found == {name: pytest.approx([value, 1]) for name, value in expected.items()}
    assert loss.item() == pytest.approx(0.5 * expected["balance"] + 0.25 * expected["z"])
