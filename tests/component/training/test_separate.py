"""The first design's pre-training, encoder and decoder apart, equals the equations in fp64, in loss and gradients."""

import itertools

import pytest
import torch

from jobs.configs.training import MlmConfig, TrainingConfig
from jobs.separate.frozen import without_reads
from jobs.separate.lm import DecoderLM
from jobs.separate.mlm import MaskedLM
from jobs.training.batching.batches import text_batch
from jobs.training.objectives.base import StepContext
from rxt_model.config import AttentionConfig
from tests.reference import model as equations
from tests.reference.compare import assert_agree, shaken
from tests.reference.objectives import WEIGHTS, answered, assert_told, minimised
from tests.support.training_toys import numbered, toy_model

pytestmark = pytest.mark.usefixtures("in_double")

TEXTS = [([12, 15, 3, 20, 21, 22, 3], [0, 3]), ([30, 31, 32, 33, 34, 35, 36, 37, 3], [0])]
READS = AttentionConfig(query_heads=2, kv_heads=1)


def batch():
    return numbered(text_batch([{"input_ids": ids, "document_starts": starts} for ids, starts in TEXTS]))


def documents():
    """Yield row, first and last place, and the words of each document."""
    for row, (ids, starts) in enumerate(TEXTS):
        for first, end in itertools.pairwise([*starts, len(ids)]):
            yield row, first, end, ids[first:end]


@pytest.mark.parametrize("reads", [None, READS])
def test_the_encoder_alone(reads):
    """Control tokens are not masked. What is read is the start memory of the row."""
    model, context = shaken(toy_model(encoder_memory_attention=reads)), StepContext(1, 3, seed=3)
    config = MlmConfig(model=model.config, steps=9, batch_size=2, mlm_probability=0.5)
    loss, metrics = MaskedLM(model, config)(batch(), context)

    state, tokens = dict(model.named_parameters()), batch()["input_ids"]
    masked = (context.draw(torch.rand, batch(), "mlm", tokens.shape[1]) < 0.5) & (tokens > 10)
    start, lost, count = model.initial_memories(context.generators(batch(), "memory")), 0, 0
    for row, first, end, words in documents():
        hide = masked[row, first:end].tolist()
        seen = [4 if hidden else word for word, hidden in zip(words, hide, strict=True)]
        encoded = equations.encode(state, model.config, seen, start[:, row])
        hidden = list(itertools.compress(words, hide))
        lost = lost + equations.cross_entropy(equations.mlm_logits(state, encoded[-1][hide]), hidden)
        count += len(hidden)
    assert 0 < count == metrics["train/loss"][1] < sum(len(ids) for ids, _ in TEXTS)
    assert_agree(loss, lost / count, state)


def test_the_decoder_alone():
    """Every token after the first of its document counts; all documents of a row read its start memory."""
    model, context = shaken(toy_model()), StepContext(1, 3, seed=3)
    loss, metrics = DecoderLM(model, TrainingConfig(steps=9, batch_size=2, **WEIGHTS))(batch(), context)
    state = dict(model.named_parameters())
    start = model.initial_memories(context.generators(batch(), "memory"))
    parts = [
        answered(state, model.config, {"input_ids": words, "loss_mask": [True] * len(words)}, start[:, row])
        for row, _, _, words in documents()
    ]
    assert_agree(loss, minimised(parts), state)
    assert_told(metrics, parts)


def test_what_reads_memory_is_left_out_and_nothing_else():
    for part in (toy_model(encoder_memory_attention=READS).encoder, toy_model().decoder):
        kept = {id(p) for module in without_reads(part) for p in module.parameters()}
        left = {name for name, p in part.named_parameters() if id(p) not in kept}
        assert left == {name for name, _ in part.named_parameters() if ".memory_" in name} != set()


@pytest.mark.parametrize("name", ["router_z_weight", "head_z_weight", "bias_speed"])
def test_what_needs_a_decoder_is_refused_for_the_encoder(name):
    with pytest.raises(ValueError, match=f"{name} = 0.1: must be 0, as no decoder is trained"):
        MlmConfig(model=toy_model().config, steps=1, batch_size=1, **{name: 0.1})
