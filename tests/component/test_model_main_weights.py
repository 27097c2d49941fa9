"""Half-precision weights with fp32 masters: gradients of several passes add up, and an update survives the rounding."""

import torch

from rxt_model.main_weights import MainWeights
from rxt_model.model import ReactiveTransformer
from tests.models import small_config, small_model

CONFIG = small_config()


def loss(model: ReactiveTransformer, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(20, CONFIG.vocab_size, (3, 7), generator=draw)
    memory = torch.randn(CONFIG.stateful_layers, 3, 5, CONFIG.dim, generator=draw)
    hidden = model.decode(ids, memory.to(model.embedding.weight.dtype)).hidden
    return model.logits(hidden).float().logsumexp(-1).square().mean()


def test_gradients_of_two_passes_are_the_sum_that_autograd_makes():
    ours, theirs = small_model(), small_model()
    main = MainWeights(ours, torch.float32)
    for seed in (1, 2):
        loss(ours, seed).backward()
        loss(theirs, seed).backward()
    for (name, weight), master in zip(theirs.named_parameters(), main.masters, strict=True):
        expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
        assert torch.allclose(master.grad, expected, atol=1e-6), name
    assert all(weight.grad is None for weight in main.working)


def test_weights_are_rounded_masters_and_routers_are_not_rounded():
    ours, before = small_model(), small_model()
    main = MainWeights(ours)
    exact = dict(before.named_parameters())
    for (name, weight), master in zip(ours.named_parameters(), main.masters, strict=True):
        assert weight.dtype == (torch.float32 if name.endswith("router.weight") else torch.bfloat16), name
        assert torch.equal(master, exact[name]) and torch.equal(weight, master.to(weight.dtype))


def test_small_updates_add_up_in_the_masters():
    """One step of 1e-4 is lost when rounded to bf16 around 1; a hundred of them are not."""
    ours = small_model()
    main = MainWeights(ours)
    norm = ours.decoder.norm.weight
    master = next(m for w, m in zip(main.working, main.masters, strict=True) if w is norm)
    start = master.detach().clone()
    for _ in range(100):
        loss(ours, 1).backward()
        assert master.grad.abs().sum() > 0
        master.data -= 1e-4
        main.publish()
        assert master.grad.abs().sum() == 0
    assert torch.allclose(master, start - 1e-2, atol=1e-6)
    assert torch.equal(norm, master.bfloat16()) and (norm < start).all()
