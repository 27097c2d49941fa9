"""Importance is learned from what is read, against the equations in fp64; and decoding some turns alone."""

import pytest
import torch
import torch.nn.functional as F

from jobs.configs.training import MemoryPretrainConfig, SmatConfig, SmatPhase
from jobs.training.batching.batches import DECODED, conversation_batch
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.memory_pretrain import Reading
from jobs.training.objectives.smat import Smat
from rxt_model.config import AttentionConfig, MemoryConfig
from tests.reference import memory as memory_equations
from tests.reference import model as equations
from tests.reference.compare import assert_agree, shaken
from tests.reference.layers import part
from tests.reference.objectives import WEIGHTS, answered, assert_told, drawn_conversations, minimised
from tests.support.training_toys import numbered, start_memory, toy_model

pytestmark = pytest.mark.usefixtures("in_double")

SELECTIVE = MemoryConfig(slots=4, variant="selective")
PHASES = (SmatPhase(until=9, turns=4, train=("decoder", "memory", "encoder")),)
TURNS = [1, 4, 2]
# every turn; only some, of one conversation none but the first, which can read nothing
DECODINGS = {
    "all": [[True] * 4] * 3,
    "some": [[True, False, False, False], [False, True, False, True], [False, True, False, False]],
    "one": [[False, False, False, False], [False, False, True, False], [False, False, False, False]],
}


def step_context(step=1):
    return StepContext(step, 9, seed=3)


def reader(**changes):
    return shaken(toy_model(memory=SELECTIVE, cross_attention=AttentionConfig(2, 1), **changes))


def batch_of(conversations, decoding):
    return numbered(conversation_batch(conversations, 16)) | {DECODED: torch.tensor(DECODINGS[decoding])}


def expected_reading(model, conversations, decoding):
    """What the decoder says of each decoded turn, and the mean cross entropy of all importances over layers and states
    that some decoded turn may read."""
    state, config = dict(model.named_parameters()), model.config
    start, parts, taught, states_read = start_memory(model, step_context(), 3), [], 0, 0
    for conversation, memory, decoded in zip(conversations, start.unbind(1), DECODINGS[decoding], strict=True):
        seen, most = torch.zeros(2, 0, 16), torch.zeros(2, 99)
        counted = 0
        for interaction, asks in zip(conversation["interactions"], decoded, strict=False):
            if asks:
                reads, mask = [], interaction["loss_mask"]
                read = torch.cat((memory, seen), 1)
                parts.append(answered(state, config, interaction, read, reads))
                at = [i - 1 for i in range(1, len(mask)) if mask[i]]
                for layer, weights in enumerate(reads):
                    largest = weights[at].detach().amax((0, 1))[memory.shape[1] :]
                    most[layer, : len(largest)] = torch.maximum(most[layer, : len(largest)], largest)
                counted = seen.shape[1]
            seen = torch.cat((seen, equations.encode(state, config, interaction["input_ids"])), 1)
        for layer in range(2):
            write = part(state, "memory_attention")
            scores = memory_equations.importance(write, config, seen[layer, :counted].detach(), layer)
            labels = (1.5 * most[layer, :counted]).clamp(max=1)
            taught = taught - (labels * F.logsigmoid(scores) + (1 - labels) * F.logsigmoid(-scores)).sum()
            states_read += counted
    return parts, taught / states_read


@pytest.mark.parametrize("offsets", [(), (1, 2, -1)], ids=str)
@pytest.mark.parametrize("decoding", DECODINGS)
def test_reading_teaches_which_states_are_read(decoding, offsets):
    """Loss and gradients: the labels and the states are fixed, so importance teaches the score alone."""
    model, conversations = reader(encoder_neighbours=offsets), drawn_conversations(TURNS)
    reading = Reading(model, MemoryPretrainConfig(steps=9, batch_size=3, **WEIGHTS))
    loss, metrics = reading(batch_of(conversations, decoding), step_context())
    parts, taught = expected_reading(model, conversations, decoding)
    assert taught > 0
    assert_agree(loss, minimised(parts) + taught, dict(model.named_parameters()))
    assert_told(metrics, parts)
    total, count = metrics["train/importance_loss"].tolist()
    assert total / count == pytest.approx(taught.item(), rel=1e-6)


def test_importance_is_learned_from_its_step_on_and_by_selective_writes_alone():
    batch, config = (
        batch_of(drawn_conversations(TURNS), "all"),
        MemoryPretrainConfig(steps=9, batch_size=3, importance_from=5),
    )
    for model, step, learns in [(reader(), 4, False), (reader(), 5, True), (shaken(toy_model()), 5, False)]:
        reading = Reading(model, config)
        _, metrics = reading(batch, step_context(step))
        assert ("train/importance_loss" in metrics) == (model.memory_attention in reading.trained(step)) == learns


@pytest.mark.parametrize("decoding", DECODINGS)
def test_smat_decodes_the_turns_that_are_wanted(decoding):
    """Every turn is written all the same."""
    model, conversations = reader(), drawn_conversations(TURNS)
    state = dict(model.named_parameters())
    smat = Smat(model, SmatConfig(steps=9, batch_size=3, phases=PHASES, **WEIGHTS))
    loss, metrics = smat(batch_of(conversations, decoding), step_context())
    parts, start = [], start_memory(model, step_context(), 3)
    for conversation, memory, decoded in zip(conversations, start.unbind(1), DECODINGS[decoding], strict=True):
        for interaction, asks in zip(conversation["interactions"], decoded, strict=False):
            if asks:
                parts.append(answered(state, model.config, interaction, memory))
            encoded = equations.encode(state, model.config, interaction["input_ids"])
            memory = equations.write(state, model.config, memory, encoded)
    assert_agree(loss, minimised(parts), state)
    assert_told(metrics, parts)


def test_smat_reads_raw_states_in_every_third_step_of_training():
    model, conversations = reader(), drawn_conversations(TURNS)
    batch = batch_of(conversations, "some")
    config = SmatConfig(steps=9, batch_size=3, phases=PHASES, reading_every=3, **WEIGHTS)
    slots, smat = Smat(model, config.model_copy(update={"reading_every": 0})), Smat(model, config)
    reading = Reading(model, MemoryPretrainConfig(steps=9, batch_size=3, **WEIGHTS))
    for step in range(6):
        raw, written = (of(batch, step_context(step))[0] for of in (reading, slots))
        assert not torch.equal(raw, written)
        assert torch.equal(smat(batch, step_context(step))[0], raw if step in (2, 5) else written)
    smat.eval()
    assert torch.equal(smat(batch, step_context(2))[0], slots(batch, step_context(2))[0])
