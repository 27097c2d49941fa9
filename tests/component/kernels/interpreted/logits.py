"""Router logits of 16-bit rows, and their gradients, against fp64."""

import pytest
import torch

from rxt_model.kernels.logits import split
from rxt_model.moe.router import SplitLogits

# tokens, d, experts: one of each, remainders of every size, several tiles and several runs of tokens along each
SHAPES = {"one": (1, 1, 1), "ragged": (37, 26, 20), "even": (128, 64, 128), "large": (900, 300, 150)}


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_gradients_are_nearly_those_of_fp64(name):
    tokens, d, experts = SHAPES[name]
    torch.manual_seed(0)
    x, w, dz = torch.randn(tokens, d).half(), torch.randn(experts, d) / d**0.5, torch.randn(tokens, experts)
    ours = [tensor.clone().requires_grad_() for tensor in (x, w)]
    theirs = [tensor.double().requires_grad_() for tensor in (x, w)]
    made, expected = SplitLogits.apply(*ours), theirs[0] @ theirs[1].T
    made.backward(dz)
    expected.backward(dz.double())
    assert [made.dtype, ours[0].grad.dtype, ours[1].grad.dtype] == [torch.float32, torch.float16, torch.float32]
    for mine, other, limit in (
        (made, expected, 2e-6),
        (ours[1].grad, theirs[1].grad, 2e-6),
        (ours[0].grad, theirs[0].grad, 6e-4),  # rounded to 16 bits
    ):
        assert (mine.double() - other).norm() < limit * other.norm()


def test_a_split_number_is_the_sum_of_its_parts():
    w = torch.randn(33, 65)
    high, low = split(w, torch.float16).double()
    assert torch.equal(high, w.half().double())
    assert (high + low - w.double()).abs().max() < 2**-20 * w.abs().max()
