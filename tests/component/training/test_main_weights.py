"""Half-precision weights with fp32 masters: gradients of several passes add up, and an update survives the rounding."""

import torch

from rxt_model.model import ReactiveTransformer
from rxt_model.training.main_weights import MainWeights
from tests.support.models import small_config, small_model

CONFIG = small_config()


def loss(model: ReactiveTransformer, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(20, CONFIG.vocab_size, (3, 7), generator=draw)
    memory = torch.randn(CONFIG.stateful_layers, 3, 5, CONFIG.dim, generator=draw)
    output = model.decode(ids, memory.to(model.embedding.weight.dtype))
    return model.logits(output).float().logsumexp(-1).square().mean()


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


def test_gradients_that_an_optimizer_dropped_start_again():
    ours, theirs = small_model(), small_model()
    main = MainWeights(ours, torch.float32)
    optimizer = torch.optim.SGD(main.masters, lr=0.1)
    loss(ours, 1).backward()
    optimizer.zero_grad()
    assert all(master.grad is None for master in main.masters)
    loss(ours, 2).backward()
    loss(theirs, 2).backward()
    for weight, master in zip(theirs.parameters(), main.masters, strict=True):
        assert (weight.grad is None) == (master.grad is None)
        assert weight.grad is None or torch.allclose(master.grad, weight.grad, atol=1e-6)
    experts = ours.decoder.stateful[0].feed_forward.experts
    places = [next(n for n, w in enumerate(main.working) if w is part) for part in (experts.w_in, experts.w_out)]
    optimizer.zero_grad()
    for place, gradient in zip(places, experts.main_gradients(), strict=True):  # where a kernel adds its own
        assert gradient is main.masters[place].grad
    optimizer.zero_grad()
    main.publish()
    assert not any(master.grad.any() for master in main.masters)


def test_frozen_weights_are_rounded_and_have_no_master():
    ours, theirs = small_model(), small_model()
    for model in (ours, theirs):
        model.encoder.requires_grad_(False)
        model.decoder.stateful[0].feed_forward.experts.w_in.requires_grad_(False)
    main = MainWeights(ours)
    assert [w.shape for w in main.masters] == [w.shape for w in theirs.parameters() if w.requires_grad]
    assert all(weight.dtype == torch.bfloat16 for weight in ours.encoder.parameters())
    assert ours.decoder.stateful[0].feed_forward.experts.main_gradients is None
    loss(ours, 1).backward()
    main.publish()
    assert all(
        torch.equal(w, w0.bfloat16())
        for w, w0 in zip(ours.encoder.parameters(), theirs.encoder.parameters(), strict=True)
    )


def test_weights_are_rounded_masters_and_routers_are_not_rounded():
    ours, before = small_model(), small_model()
    main = MainWeights(ours)
    exact = dict(before.named_parameters())
    for (name, weight), master in zip(ours.named_parameters(), main.masters, strict=True):
        assert weight.dtype == (torch.float32 if name.endswith("router.weight") else torch.bfloat16), name
        assert torch.equal(master, exact[name]) and torch.equal(weight, master.to(weight.dtype))


def test_small_updates_add_up_in_the_masters():
    """One step of 1e-4 around 1 is lost when rounded to bf16; a hundred of them are not."""
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
