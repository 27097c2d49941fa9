"""Training a model with a Gated DeltaNet: half precision, recomputation, compiled layers, a model folder."""

import pytest
import torch

from jobs.training.loop import precision, step_context
from rxt_model.config import DeltaConfig
from rxt_model.files.checkpoint import from_pretrained, save_pretrained
from rxt_model.training.compile import compile_layers
from rxt_model.training.parallelize import checkpoint_activations
from tests.support.training_toys import ToyObjective, toy_batch, toy_model, toy_training


def step(dtype="float32", change=lambda toy: None):
    """Return the loss and the gradients of a step."""
    toy = ToyObjective(toy_model(delta=DeltaConfig(2))).train()
    change(toy)
    config, batch = toy_training(1, precision=dtype), toy_batch()
    with precision(config, batch):
        loss, _ = toy(batch, step_context(config, 0))
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in toy.named_parameters()}


def test_every_weight_of_it_is_trained():
    gradients = step()[1]
    own = [name for name in gradients if "memory_drive" in name or "stateful.0.attention." in name]
    assert len(own) == 4 + 4 + 5 and all(gradients[name].any() for name in own)


def test_bfloat16_is_near_fp32():
    (loss, gradients), (half, others) = step(), step("bfloat16")
    assert half == pytest.approx(loss.item(), rel=0.01)
    for name in ("memory_drive.key_value.weight", "attention.conv", "attention.project.weight"):
        mine, theirs = (side[f"model.decoder.stateful.0.{name}"].flatten() for side in (others, gradients))
        assert torch.cosine_similarity(mine, theirs, dim=0) > 0.95, name


def test_recomputed_layers_give_the_same_bits():
    (loss, gradients), (again, recomputed) = step(), step(change=checkpoint_activations)
    assert torch.equal(loss, again)
    assert all(g is None or torch.equal(g, recomputed[name]) for name, g in gradients.items())


def test_compiled_layers_give_the_same_numbers():
    (loss, gradients), (compiled, others) = step(), step(change=lambda toy: compile_layers(toy, "eager"))
    torch.testing.assert_close(compiled, loss)
    name = "model.decoder.stateful.0.memory_drive.key_value.weight"
    torch.testing.assert_close(others[name], gradients[name])


def test_a_folder_gives_it_back(tmp_path):
    model = toy_model(delta=DeltaConfig(2))
    save_pretrained(model, tmp_path)
    loaded = from_pretrained(tmp_path)
    assert loaded.config.delta == DeltaConfig(2)
    ids, memory = torch.randint(11, 40, (2, 9)), model.initial_memory(2)
    assert torch.equal(loaded.eval().decode(ids, memory).hidden, model.eval().decode(ids, memory).hidden)
