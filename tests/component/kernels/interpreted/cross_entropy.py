"""Row losses and their gradient in place against torch in fp64."""

import pytest
import torch
import torch.nn.functional as F

from rxt_model.kernels.cross_entropy import row_losses


@pytest.mark.parametrize("z_weight", [0.0, 0.3])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 3), (7, 64), (5, 4096), (3, 9001)])
def test_losses_and_gradient_equal_torch(rows, vocabulary, biased, z_weight):
    torch.manual_seed(0)
    logits = 5 * torch.randn(rows, vocabulary)
    bias = torch.randn(vocabulary) if biased else None
    labels = torch.randint(0, vocabulary, (rows,))
    if rows > 2:
        labels[1] = -100
        labels[2] = (logits[2] if bias is None else logits[2] + bias).argmax()
    counted = labels >= 0
    wide = logits.double().requires_grad_()
    shifted = wide if bias is None else wide + bias.double()
    expected = F.cross_entropy(shifted, labels, reduction="none")
    normaliser = torch.where(counted, shifted.logsumexp(-1), 0)
    (expected.sum() + z_weight * normaliser.square().sum()).backward()

    found = row_losses(logits, bias, labels, z_weight, True)
    assert torch.allclose(found.loss.double(), expected, atol=1e-4)
    assert torch.allclose(found.normaliser.double(), normaliser, atol=1e-4)
    assert torch.equal(found.right, counted & (shifted.argmax(-1) == labels))
    assert torch.allclose(logits.double(), wide.grad, atol=1e-5)


def test_without_a_gradient_the_logits_stay():
    logits = torch.randn(4, 33)
    before = logits.clone()
    row_losses(logits, None, torch.tensor([0, 5, -100, 32]), 0.1, False)
    assert torch.equal(logits, before)


def test_a_row_that_is_not_finite_has_a_loss_that_is_not():
    logits = torch.zeros(2, 9)
    logits[1, 4] = float("nan")
    loss = row_losses(logits, None, torch.tensor([1, 1]), 0.0, False).loss
    assert loss[0].isfinite() and not loss[1].isfinite()
