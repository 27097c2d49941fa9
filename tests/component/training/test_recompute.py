"""Layers recomputed in the backward pass give the same bits, names and counts, with less memory in between."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from jobs.configs.execution import Execution, TrainExecution
from jobs.training.loop import precision, step_context
from rxt_model.files.checkpoint import from_pretrained, save_pretrained
from rxt_model.moe.selection_bias import LoadBalancer, add_selection_bias
from rxt_model.training.parallelize import checkpoint_activations
from tests.support.training_toys import ToyObjective, toy_batch, toy_model, toy_training

CONFIG = toy_training(1)


def objective(recomputed):
    toy = ToyObjective(toy_model())
    add_selection_bias(toy.model)
    if recomputed:
        checkpoint_activations(toy)
    return toy.train()


def passed(toy, config=CONFIG):
    """Return the loss, the gradients, and the values that live between the passes."""
    held = {}

    def keep(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = toy_batch()
    with saved_tensors_hooks(keep, lambda tensor: tensor), precision(config, batch):
        loss, _ = toy(batch, step_context(config, 0))
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in toy.named_parameters()}, sum(held.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bits_are_the_same_and_less_is_held(dtype):
    config = toy_training(1, precision=dtype)
    (loss, gradients, held), (again, recomputed, less) = (passed(objective(r), config) for r in (False, True))
    assert torch.equal(loss, again)
    assert gradients.keys() == recomputed.keys()
    for name, gradient in gradients.items():
        assert (gradient is None) == (recomputed[name] is None), name
        assert gradient is None or torch.equal(gradient, recomputed[name]), name
    assert less < held / 2


def test_a_layer_that_runs_twice_is_counted_once():
    plain, twice = objective(False), objective(True)
    calls = []
    twice.model.decoder.stateful[0].feed_forward.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = []
    for toy in (plain, twice):
        balancer = LoadBalancer(toy.model.decoder, 1.0)
        passed(toy)
        counts.append(balancer._counts)
    turns = toy_batch()["input_ids"].shape[1]
    assert len(calls) == 2 * turns
    assert torch.equal(*counts) and counts[0].sum(1).unique().tolist() == [2 * (toy_batch()["input_ids"] != 0).sum()]


def test_names_of_what_is_saved_stay(tmp_path):
    toy = objective(True)
    plain = objective(False)
    assert list(toy.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in toy.named_parameters()] == [name for name, _ in plain.named_parameters()]
    save_pretrained(toy.model, tmp_path)
    loaded = from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), plain.model.parameters(), strict=True))


def test_it_is_off_unless_asked_for():
    assert not Execution().train.activation_checkpointing
    assert TrainExecution(activation_checkpointing=True).activation_checkpointing
