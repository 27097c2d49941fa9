"""Projection and cross entropy in chunks: values and gradients against full logits in fp64, whatever the chunks."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model import linear_cross_entropy as module
from rxt_model.config import AttentionConfig, MemoryConfig, ModelConfig, MoEConfig
from rxt_model.heads import MLMHead, cross_entropy
from rxt_model.linear_cross_entropy import IGNORED, linear_cross_entropy

ROWS, DIM, VOCABULARY = 23, 8, 31


def inputs(dtype=torch.float64, ignored=0):
    generator = torch.Generator().manual_seed(0)
    rows, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((ROWS, DIM), (VOCABULARY, DIM), (VOCABULARY,))
    )
    labels = torch.randint(VOCABULARY, (ROWS,), generator=generator)
    labels[torch.randperm(ROWS, generator=generator)[:ignored]] = IGNORED
    return (rows, weight, bias), labels


def full(rows, weight, bias, labels, z_weight):
    logits = rows @ weight.T + (0 if bias is None else bias)
    z = (logits.logsumexp(1).square() * (labels != IGNORED)).sum()
    return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") + z_weight * z, z, logits


@pytest.fixture(params=[1, 4, 7, 23, 100], ids=lambda rows: f"{rows}-rows")
def chunk(request, monkeypatch):
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", request.param * VOCABULARY)


@pytest.mark.parametrize("z_weight", [0.0, 0.01])
@pytest.mark.parametrize("ignored", [0, 5, ROWS])
def test_values_and_gradients_equal_full_logits(chunk, ignored, z_weight):
    tensors, labels = inputs(ignored=ignored)
    found = linear_cross_entropy(*tensors, labels, z_weight)
    loss, z, logits = full(*tensors, labels, z_weight)
    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(found.z, z)
    assert found.count == ROWS - ignored
    assert torch.equal(found.right, logits.argmax(1) == labels)
    for gradient, expected in zip(
        torch.autograd.grad(found.loss * 0.3, tensors), torch.autograd.grad(loss * 0.3, tensors), strict=True
    ):
        torch.testing.assert_close(gradient, expected)


def test_gradients_pass_gradcheck_without_bias(chunk):
    (rows, weight, _), labels = inputs(ignored=3)
    assert torch.autograd.gradcheck(lambda r, w: linear_cross_entropy(r, w, None, labels, 0.1).loss, (rows, weight))


def test_ignored_rows_may_hold_anything(chunk):
    (rows, weight, bias), labels = inputs(ignored=5)
    with torch.no_grad():
        rows[labels == IGNORED] = float("nan")
    found = linear_cross_entropy(rows, weight, bias, labels)
    found.loss.backward()
    assert found.loss.isfinite() and weight.grad.isfinite().all() and bias.grad.isfinite().all()
    assert not rows.grad[labels == IGNORED].any() and rows.grad.isfinite().all()


def test_a_certain_mistake_has_a_finite_loss():
    rows, weight = torch.tensor([[300.0]]), torch.tensor([[1.0], [-1.0]])
    assert linear_cross_entropy(rows, weight, None, torch.tensor([1])).loss.item() == pytest.approx(600)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_inputs_get_no_gradient_and_change_nothing(frozen):
    tensors, labels = inputs()
    expected = torch.autograd.grad(full(*tensors, labels, 0.0)[0], tensors)
    tensors[frozen].requires_grad_(False)
    linear_cross_entropy(*tensors, labels).loss.backward()
    for i, (tensor, gradient) in enumerate(zip(tensors, expected, strict=True)):
        assert (tensor.grad is None) == (i == frozen)
        if tensor.grad is not None:
            torch.testing.assert_close(tensor.grad, gradient)


def test_without_gradients_the_value_is_the_same():
    tensors, labels = inputs()
    with torch.no_grad():
        found = linear_cross_entropy(*tensors, labels)
    assert not found.loss.requires_grad
    torch.testing.assert_close(found.loss, full(*tensors, labels, 0.0)[0].detach())


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_is_close_and_its_sums_are_wide(chunk, autocast):
    tensors, labels = inputs(torch.float32 if autocast else torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = linear_cross_entropy(*tensors, labels)
    found.loss.backward()
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    loss = full(*exact, labels, 0.0)[0]
    loss.backward()
    assert found.loss.dtype == torch.float32 and found.loss.item() == pytest.approx(loss.item(), rel=1e-2)
    for tensor, reference in zip(tensors, exact, strict=True):
        assert tensor.grad.dtype == tensor.dtype
        assert (tensor.grad.double() - reference.grad).norm() < 2e-2 * reference.grad.norm()


def test_no_tensor_of_full_logits_is_ever_made(monkeypatch):
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", 4 * VOCABULARY)
    tensors, labels = inputs(torch.float32)

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.seen = max(self.seen, out.numel())
            return out

    with Largest() as largest:
        linear_cross_entropy(*tensors, labels).loss.backward()
    assert 0 < largest.seen <= max(4 * VOCABULARY, VOCABULARY * DIM)


def heads():
    attention = AttentionConfig(2, 2)
    config = ModelConfig(
        dim=DIM, heads=2, stateful_layers=1, initial_layers=0, final_layers=0, decoder_attention=attention,
        cross_attention=attention, encoder_attention=attention, dense_dim=8, encoder_dim=8, moe=MoEConfig(2, 1, 4),
        memory=MemoryConfig(2), length=8, vocab_size=VOCABULARY,
    )  # fmt: skip
    return torch.nn.Linear(DIM, VOCABULARY), MLMHead(config)


@pytest.mark.parametrize("which", [0, 1], ids=["decoder", "mlm"])
def test_heads_are_scored_at_the_selected_positions_only(which):
    torch.manual_seed(0)
    head = heads()[which].double()
    hidden = torch.randn(2, 5, DIM, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(VOCABULARY, (2, 5))
    selected = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]]).bool()
    found = cross_entropy(head, hidden, targets, selected)
    logits = head(hidden)[selected]
    torch.testing.assert_close(found.loss, F.cross_entropy(logits, targets[selected], reduction="sum"))
    assert torch.equal(found.right, logits.argmax(-1) == targets[selected]) and found.count == 4
    found.loss.backward()
    assert not hidden.grad[~selected].any() and hidden.grad[selected].any(-1).all()
    assert all(parameter.grad is not None for parameter in head.parameters())
