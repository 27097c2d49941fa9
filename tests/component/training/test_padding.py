"""Training ignores padding, and learns the end of an answer."""

import pytest
import torch
import torch.nn.functional as F

from jobs.configs.training import (
    JointLossConfig,
    MemoryPretrainConfig,
    OptimisationConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
)
from jobs.training.batching.batches import conversation_batch, interaction_batch
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.objectives.memory_pretrain import Reading, SelfSupervised
from jobs.training.objectives.next_token import NextToken
from jobs.training.objectives.smat import Smat
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import MemoryConfig
from rxt_model.generate import answer
from rxt_model.memory.registry import WRITES
from rxt_model.model import seeded
from tests.reference.compare import assert_agree, shaken
from tests.support.training_toys import numbered, toy_config, toy_model
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import encode_interaction, encode_query
from tokenization.records import Interaction

PHASES = (SmatPhase(until=9, turns=5, train=("decoder", "memory", "encoder")),)
# without draws, whose number would follow the padding: no noise, nothing masked for the decoder, all for the MLM head
QUIET = JointLossConfig(noise=(0, 0), masking=(0, 0), mlm_probability=1)


def step_context():
    return StepContext(1, 3, seed=3)


def drawn_interaction(generator, length):
    ids = torch.randint(11, 40, (length,), generator=generator).tolist()
    return {"input_ids": ids, "loss_mask": [False] * 2 + [True] * (length - 2)}


def interactions():
    generator = torch.Generator().manual_seed(2)
    return numbered(interaction_batch([drawn_interaction(generator, length) for length in (7, 4, 5)], 16))


def conversations():
    generator = torch.Generator().manual_seed(2)
    drawn = [[drawn_interaction(generator, length) for length in lengths] for lengths in ([6, 4], [5, 7, 3], [4])]
    return numbered(conversation_batch([{"interactions": conversation} for conversation in drawn], 16))


def objective(kind, variant):
    if kind == "baseline":
        return NextToken(seeded(lambda: StatelessDecoder(toy_config()), 0), OptimisationConfig(head_z_weight=0.1))
    common = dict(steps=9, batch_size=3)
    weights = dict(router_z_weight=0.1, head_z_weight=0.1)
    return {
        "joint": lambda model: JointLM(model, SftConfig(loss=QUIET, **common, **weights)),
        "reading": lambda model: Reading(model, MemoryPretrainConfig(**common, **weights)),
        "writing": lambda model: SelfSupervised(
            model, MemoryPretrainConfig(objective="self-supervised", **common)
        ),
        "smat": lambda model: Smat(model, SmatConfig(phases=PHASES, **common, **weights)),
    }[kind](toy_model(memory=MemoryConfig(slots=4, variant=variant)))  # fmt: skip


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize(
    ("kind", "variant"),
    [*((kind, "competitive") for kind in ("joint", "reading", "writing", "baseline")), *(("smat", v) for v in WRITES)],
)
def test_appended_padding_changes_neither_loss_nor_gradients(kind, variant):
    asked = shaken(objective(kind, variant))
    batch = interactions() if kind in ("joint", "baseline") else conversations()
    wider = batch | {name: F.pad(batch[name], (0, 5)) for name in ("input_ids", "loss_mask")}
    assert wider["input_ids"].shape[-1] == batch["input_ids"].shape[-1] + 5
    (loss, metrics), (padded, told) = asked(batch, step_context()), asked(wider, step_context())
    assert_agree(padded, loss, dict(asked.named_parameters()), tolerance=1e-10)
    for name, value in metrics.items():
        torch.testing.assert_close(told[name], value, msg=lambda message, name=name: f"{name}: {message}")


def test_ten_answers_learned_by_heart_end_by_themselves():
    """The test goes from texts of interactions to ids of answers. It passes only if the end of the interaction is
    supervised."""
    questions = [f"{word}?" for word in ("red", "old", "new", "big", "hot", "wet", "dry", "raw", "low", "far")]
    replies = ["a", "bb", "abc", "c", "cab", "ba", "bc", "acb", "ca", "b"]
    tokenizer = Tokenizer.train(["red old new big hot wet dry raw low far? a b c"], 272)
    rows = []
    for question, reply in zip(questions, replies, strict=True):
        encoded = encode_interaction(tokenizer, Interaction(question, reply), 16)
        turn = {"input_ids": encoded.input_ids, "loss_mask": encoded.loss_mask}
        rows.append({"interactions": [turn]})
    batch = numbered(conversation_batch(rows, 16))

    model = toy_model(vocab_size=tokenizer.vocab_size)
    smat = Smat(model, SmatConfig(steps=9, batch_size=10, phases=PHASES))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(100):
        optimizer.zero_grad()
        smat(batch, StepContext(0, 9, seed=step))[0].backward()
        optimizer.step()
    queries = [encode_query(tokenizer, Interaction(question, ""), 16) for question in questions]
    memory = model.initial_memory(10, torch.Generator().manual_seed(1000))
    found = answer(model.eval(), memory, queries, [6] * 10, mode="fast")
    assert [row[-1] for row in found] == [model.config.tokens.eos] * 10
    assert [tokenizer.decode(row[1:-1]) for row in found] == replies
