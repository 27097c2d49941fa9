"""The token loss: only selected positions count, in whatever chunks they are computed."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model import heads, linear_cross_entropy
from tests.models import small_model


@pytest.mark.parametrize("rows", [5, 8192])
@pytest.mark.parametrize("kind", ["lm", "mlm"])
def test_loss_and_gradients_equal_those_of_all_logits_at_once(rows, kind, monkeypatch):
    monkeypatch.setitem(linear_cross_entropy.CHUNK_LOGITS, "cpu", rows * 64)
    model = small_model()
    head = model.decoder.head if kind == "lm" else model.mlm_head
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 9, 32, generator=generator).requires_grad_()
    targets = torch.randint(0, 64, (3, 9), generator=generator)
    selected = torch.rand(3, 9, generator=generator) < 0.6
    assert not selected.all() and selected.sum() > 10

    found = heads.cross_entropy(head, hidden, targets, selected)
    logits = head(hidden)
    every = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").unflatten(0, (3, 9))
    expected = every[selected].sum()
    torch.testing.assert_close(found.loss, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(found.right, (logits.argmax(-1) == targets)[selected])
    leaves = [hidden, *head.parameters()]
    mine, theirs = torch.autograd.grad(found.loss, leaves), torch.autograd.grad(expected, leaves)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert not mine[0][~selected].any()


def test_nothing_selected_costs_nothing():
    model = small_model()
    hidden = torch.randn(2, 4, 32, requires_grad=True)
    found = heads.cross_entropy(model.mlm_head, hidden, torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4) > 0)
    found.loss.backward()
    assert found.loss == 0 and found.count == 0 and not hidden.grad.any()
