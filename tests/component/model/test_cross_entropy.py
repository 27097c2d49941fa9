"""Projection and cross entropy in chunks: values and gradients equal full logits in fp64, whatever the chunks."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model.layers import linear_cross_entropy as module
from rxt_model.layers.linear_cross_entropy import IGNORED, linear_cross_entropy
from rxt_model.losses import cross_entropy
from tests.support.models import small_model

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


@pytest.mark.parametrize("label", [-1, -101, VOCABULARY])
def test_a_label_beyond_the_vocabulary_is_refused(label):
    tensors, labels = inputs(ignored=5)
    labels[4] = label
    with pytest.raises(ValueError, match=rf"labels\[4\] = {label}: must lie in 0..30, the vocabulary, or be -100"):
        linear_cross_entropy(*tensors, labels)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("chunk_rows", [1, 5, 8192])
@pytest.mark.parametrize("kind", ["decoder", "mlm"])
def test_heads_are_scored_at_the_selected_positions_only(kind, chunk_rows, dtype, monkeypatch):
    model = small_model().to(dtype)
    monkeypatch.setitem(module.CHUNK_LOGITS, "cpu", chunk_rows * model.config.vocab_size)
    head = model.decoder.head if kind == "decoder" else model.mlm_head
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 9, model.config.dim, generator=generator, dtype=dtype).requires_grad_()
    targets = torch.randint(model.config.vocab_size, (3, 9), generator=generator)
    selected = torch.rand(3, 9, generator=generator) < 0.6
    assert not selected.all() and selected.sum() > 10

    found = cross_entropy(head, hidden, targets, selected)
    logits = head(hidden)
    every = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").unflatten(0, (3, 9))
    expected = every[selected].sum()
    exact = dtype == torch.float64
    torch.testing.assert_close(found.loss, expected, rtol=1e-7 if exact else 1e-6, atol=1e-7 if exact else 1e-6)
    assert torch.equal(found.right, (logits.argmax(-1) == targets)[selected]) and found.count == selected.sum()
    leaves = [hidden, *head.parameters()]
    mine, theirs = torch.autograd.grad(found.loss, leaves), torch.autograd.grad(expected, leaves)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7 if exact else 1e-5, atol=1e-7 if exact else 1e-6)
    assert not mine[0][~selected].any() and mine[0][selected].any(-1).all()


def test_nothing_selected_costs_nothing():
    model = small_model()
    hidden = torch.randn(2, 4, model.config.dim, requires_grad=True)
    found = cross_entropy(model.mlm_head, hidden, torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4) > 0)
    found.loss.backward()
    assert found.loss == 0 and found.count == 0 and not hidden.grad.any()
