"""The objectives equal the equations in fp64, in loss and gradients: padded, ragged batches against single rows."""

import itertools

import pytest
import torch

from jobs.configs.training import JointLossConfig, MemoryPretrainConfig, SftConfig, SmatConfig, SmatPhase
from jobs.training.batching.batches import conversation_batch, text_batch
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.objectives.memory_pretrain import Reading, SelfSupervised
from jobs.training.objectives.smat import Smat
from rxt_model.config import AttentionConfig, MemoryConfig
from tests.reference import model as equations
from tests.reference.compare import assert_agree, shaken
from tests.reference.objectives import WEIGHTS, answered, assert_told, drawn_conversations, minimised
from tests.support.training_toys import numbered, start_memory, toy_model

pytestmark = pytest.mark.usefixtures("in_double")


def step_context():
    return StepContext(1, 3, seed=3)


READS = AttentionConfig(query_heads=2, kv_heads=1)  # of an encoder that reads memory


@pytest.mark.parametrize(
    ("variant", "reads"), [("competitive", None), ("gated", None), ("selective", None), ("gated", READS)]
)
@pytest.mark.parametrize("horizon", [None, 1, 2])
def test_smat(variant, reads, horizon):
    """Conversations have 1, 4 and 2 turns. Every turn counts, and loss t flows back through the writes t - horizon to t
    - 1. An encoder that reads memory encodes a turn with the memory that it is written to, also on the way back."""
    model = shaken(toy_model(memory=MemoryConfig(slots=4, variant=variant), encoder_memory_attention=reads))
    conversations, state = drawn_conversations([1, 4, 2]), dict(model.named_parameters())
    phases = (SmatPhase(until=9, turns=5, train=("decoder", "memory", "encoder")),)
    smat = Smat(model, SmatConfig(steps=9, batch_size=3, phases=phases, horizon=horizon, **WEIGHTS))
    loss, metrics = smat(numbered(conversation_batch(conversations, 16)), step_context())

    start, parts = start_memory(model, step_context(), 3), []
    for conversation, memory in zip(conversations, start.unbind(1), strict=True):
        held, encoded = [memory], []
        for turn, interaction in enumerate(conversation["interactions"]):
            first = 0 if horizon is None else max(0, turn - horizon)
            memory = held[first].detach()
            for earlier in range(first, turn):
                ids = conversation["interactions"][earlier]["input_ids"]
                now = equations.encode(state, model.config, ids, memory) if reads else encoded[earlier]
                memory = equations.write(state, model.config, memory, now)
            held[turn:] = [memory]
            encoded.append(equations.encode(state, model.config, interaction["input_ids"], memory))
            parts.append(answered(state, model.config, interaction, memory))
    assert_agree(loss, minimised(parts), state)
    assert_told(metrics, parts)


@pytest.mark.parametrize(("horizon", "reaches"), [(1, False), (2, True), (None, True)])
def test_the_last_of_three_answers_reaches_a_word_of_the_first_turn(horizon, reaches):
    model = toy_model()
    conversations = drawn_conversations([3])
    for interaction in conversations[0]["interactions"]:
        interaction["input_ids"] = [min(word, 38) for word in interaction["input_ids"]]
    conversations[0]["interactions"][0]["input_ids"][1] = 39
    for interaction in conversations[0]["interactions"][:2]:
        interaction["loss_mask"] = [False] * len(interaction["loss_mask"])
    phases = (SmatPhase(until=9, turns=3, train=("decoder", "memory", "encoder")),)
    smat = Smat(model, SmatConfig(steps=9, batch_size=1, phases=phases, horizon=horizon, balance_weight=0))
    smat(numbered(conversation_batch(conversations, 16)), step_context())[0].backward()
    assert bool(model.embedding.weight.grad[39].any()) == reaches


@pytest.mark.parametrize("reads", [None, READS])
def test_reading(reads):
    """Turn t reads the raw encoder states of earlier turns, and the start memory. Nothing is written, so an encoder
    that reads memory reads the start memory."""
    model = shaken(toy_model(encoder_memory_attention=reads))
    conversations, state = drawn_conversations([1, 4, 2]), dict(model.named_parameters())
    reading = Reading(model, MemoryPretrainConfig(steps=9, batch_size=3, **WEIGHTS))
    loss, metrics = reading(numbered(conversation_batch(conversations, 16)), step_context())

    start, parts = start_memory(model, step_context(), 3), []
    for conversation, begun in zip(conversations, start.unbind(1), strict=True):
        memory = begun
        for interaction in conversation["interactions"]:
            parts.append(answered(state, model.config, interaction, memory))
            memory = torch.cat((memory, equations.encode(state, model.config, interaction["input_ids"], begun)), 1)
    assert_agree(loss, minimised(parts), state)
    assert_told(metrics, parts)


@pytest.mark.parametrize("reads", [None, READS])
def test_self_supervised_writing(reads):
    """The target is (1 - w) old + w encoded, without gradient, and cosine compares with it. There are as many tokens as
    slots, so tokens need no resampling."""
    model = shaken(toy_model(memory=MemoryConfig(slots=6, variant="gated"), encoder_memory_attention=reads))
    conversations, state = drawn_conversations([1, 3, 2], lengths=(6, 6)), dict(model.named_parameters())
    config = MemoryPretrainConfig(steps=9, batch_size=3, objective="self-supervised")
    loss, _ = SelfSupervised(model, config)(numbered(conversation_batch(conversations, 16)), step_context())

    start, cosines = start_memory(model, step_context(), 3), []
    for conversation, memory in zip(conversations, start.unbind(1), strict=True):
        for turn, interaction in enumerate(conversation["interactions"]):
            encoded = equations.encode(state, model.config, interaction["input_ids"], memory).detach()
            w = [0.9, 0.45, 0.4][turn]
            target = (1 - w) * memory + w * encoded
            written = equations.write(state, model.config, memory, encoded)
            norms = (written * written).sum(-1).sqrt() * (target * target).sum(-1).sqrt()
            cosines.append(((written * target).sum(-1) / norms).mean())
            memory = written.detach()
    assert_agree(loss, -sum(cosines) / len(cosines), state)


@pytest.mark.parametrize("reads", [None, READS])
def test_joint_language_modelling_on_packed_text(reads):
    """The reference takes each document alone: the encoder predicts masked words, and the decoder reads fixed, noised
    states."""
    model = shaken(toy_model(encoder_memory_attention=reads))
    texts = [([12, 15, 3, 20, 21, 22, 3], [0, 3]), ([30, 31, 32, 33, 34, 35, 36, 37, 3], [0])]
    batch = numbered(text_batch([{"input_ids": ids, "document_starts": starts} for ids, starts in texts]))
    weights = JointLossConfig(noise=(0.2, 0.4), masking=(0.1, 0.5), mlm_probability=0.5, mlm_weight=0.6)
    config = SftConfig(steps=9, batch_size=2, loss=weights, **WEIGHTS)
    loss, metrics = JointLM(model, config)(batch, step_context())

    state, context, length = dict(model.named_parameters()), step_context(), batch["input_ids"].shape[1]
    masked = (context.draw(torch.rand, batch, "mlm", length) < 0.5) & (batch["input_ids"] > 10)
    start = model.initial_memories(context.generators(batch, "memory"))
    kept = context.draw(torch.rand, batch, "masking", length, 1) >= 0.3
    noise = 0.3 * context.draw(torch.randn, batch, "noise", 2, length, 16).transpose(0, 1)
    lm, mlm = [], []
    for row, (ids, starts) in enumerate(texts):
        for first, end in itertools.pairwise([*starts, len(ids)]):
            document, hide = ids[first:end], masked[row, first:end]
            seen = [4 if hidden else word for word, hidden in zip(document, hide, strict=True)]
            encoded = equations.encode(state, model.config, seen, start[:, row])
            hidden_words = [word for word, hidden in zip(document, hide, strict=True) if hidden]
            guesses = equations.mlm_logits(state, encoded[-1][hide])
            mlm.append((equations.cross_entropy(guesses, hidden_words), len(hidden_words)))
            memory = encoded.detach() * kept[row, first:end] + noise[:, row, first:end]
            interaction = {"input_ids": document, "loss_mask": [True] * len(document)}
            lm.append(answered(state, model.config, interaction, memory))
    assert 0 < metrics["train/mlm_loss"][1] == sum(count for _, count in mlm) < sum(len(ids) for ids, _ in texts)
    expected = minimised(lm) + 0.6 * sum(part for part, _ in mlm) / sum(count for _, count in mlm)
    assert_agree(loss, expected, state)
    assert_told(metrics, lm)


def test_the_decoder_teaches_the_encoder_nothing_in_joint_language_modelling():
    model = toy_model()
    batch = numbered(text_batch([{"input_ids": [12, 15, 17, 20, 21, 22, 3], "document_starts": [0]}]))
    config = SftConfig(steps=9, batch_size=1, loss=JointLossConfig(mlm_weight=0))
    JointLM(model, config)(batch, step_context())[0].backward()
    assert not any(p.grad is not None and p.grad.any() for p in model.encoder.parameters())
    assert model.embedding.weight.grad.any()
