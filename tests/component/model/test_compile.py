"""Compiled layers compute the same as other layers, also on padded interactions."""

import pytest
import torch
from torch._dynamo.utils import counters

from rxt_model.training.compile import compile_layers
from rxt_model.training.parallelize import checkpoint_activations
from tests.support.models import small_config, small_model

CONFIG = small_config()


@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "recomputed"])
def test_compiled_layers_equal_eager_ones(recomputed):
    plain, compiled = small_model(), small_model()
    compile_layers(compiled, "aot_eager")  # all but the generated code, which takes a compiler and a minute
    if recomputed:
        checkpoint_activations(compiled)
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(1)
    ids = torch.randint(20, CONFIG.vocab_size, (3, 9))
    mask = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    memory = torch.randn(CONFIG.stateful_layers, 3, 5, CONFIG.dim)
    outputs = []
    for model in (plain, compiled):
        hidden = model.decode(ids, memory, mask=mask).hidden + model.encode(ids, mask)[-1]
        hidden.square().sum().backward()
        outputs.append((hidden, [p.grad for p in model.parameters() if p.grad is not None]))
    (expected, theirs), (found, ours) = outputs
    assert torch.allclose(found, expected, atol=1e-5)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-4, atol=1e-4)
    # a dense layer, an encoder layer, the projections, a stateful and a stateless layer in pieces around the experts
    assert counters["stats"]["unique_graphs"] >= 5
