"""What the objectives compute, against formulas written out one row, slot or turn at a time."""

import numpy as np
import pytest
import torch

from jobs.objectives.memory_pretrain import _resample


@pytest.mark.parametrize("slots", [3, 4, 7, 8, 12])
def test_targets_of_the_memory_take_every_real_token_into_account(slots):
    """More tokens than slots: means; fewer: interpolation; as many: the tokens themselves. Padding never counts."""
    torch.manual_seed(0)
    encoded, lengths = torch.randn(2, 4, 8, 5), [8, 7, 4, 1]
    real = torch.arange(8) < torch.tensor(lengths)[:, None]
    found = _resample(encoded, real, slots)
    assert found.shape == (2, 4, slots, 5)
    for row, length in enumerate(lengths):
        tokens = encoded[:, row, :length].numpy()
        for slot in range(slots):
            if length > slots:
                first, end = slot * length // slots, -(-(slot + 1) * length // slots)
                expected = tokens[:, first:end].mean(1)
            else:
                at = slot * (length - 1) / (slots - 1)
                expected = np.array(
                    [[np.interp(at, range(length), tokens[layer, :, i]) for i in range(5)] for layer in range(2)]
                )
            np.testing.assert_allclose(found[:, row, slot].numpy(), expected, atol=1e-5)
