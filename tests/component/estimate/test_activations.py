"""The bytes that `rxt plan` counts for activations, against what autograd saves in a real step."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rxt_model.config import AttentionConfig, DeltaConfig, MemoryConfig, ModelConfig, MoEConfig
from rxt_model.estimate.activations import activation_bytes, expert_bytes
from rxt_model.estimate.work import Pass
from rxt_model.family import BETA, FAMILY
from rxt_model.memory.registry import WRITES
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.training.parallelize import checkpoint_activations
from tests.benchmarks.result_lines import lines

ROWS, LENGTH, SLOTS, SINGLE = 3, 96, 40, 4
CLOSE = 0.05


def config(**changes) -> ModelConfig:
    half, whole = AttentionConfig(4, 2, gate="elementwise"), AttentionConfig(8, 8, gate="elementwise")
    small = replace(
        BETA,
        dim=64,
        heads=8,
        stateful_layers=3,
        initial_layers=2,
        final_layers=1,
        decoder_attention=half,
        cross_attention=AttentionConfig(4, 2),
        encoder_attention=whole,
        dense_dim=96,
        encoder_dim=160,
        moe=MoEConfig(experts=4, top_k=2, expert_dim=80, shared_experts=2, shared_dim=40),
        memory=MemoryConfig(slots=SLOTS, variant="grouped", groups=1),
        length=LENGTH,
    )
    return replace(small, **changes).with_vocabulary(50)


class FusedNorm(torch.autograd.Function):
    """The norm of a GPU, which keeps its input. On a CPU torch composes the norm of operations that keep more."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return F.rms_norm(x, weight.shape, weight)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = (saved.detach().requires_grad_() for saved in ctx.saved_tensors)
        with torch.enable_grad():
            y = F.rms_norm(x, weight.shape, weight)
        return torch.autograd.grad(y, (x, weight), gradient)


@pytest.fixture(autouse=True)
def fused(monkeypatch):
    monkeypatch.setattr(nn.RMSNorm, "forward", lambda self, x: FusedNorm.apply(x, self.weight))


def saved_bytes(module: nn.Module, call, *inputs: torch.Tensor) -> int:
    """Sum up the storages that autograd saves in `call`, without weights, without `inputs`, and without masks of
    attention, which a GPU does not have."""
    others = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *inputs)}
    found, kept = {}, []

    def pack(tensor):
        if tensor.shape[-2:] != (LENGTH, LENGTH) and tensor.untyped_storage().data_ptr() not in others:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # so that no storage is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept.append(call())
    return sum(found.values())


def inputs(c: ModelConfig) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(20, c.vocab_size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids, dtype=torch.bool)


@pytest.mark.parametrize(
    "changes", [{}, {"encoder_attention": AttentionConfig(4, 4)}, {"dim": 128, "encoder_dim": 64}], ids=str
)
def test_an_encoder_pass(changes):
    c = config(**changes)
    model, (ids, mask) = seeded(lambda: ReactiveTransformer(c), 0), inputs(c)
    planned = activation_bytes(c, [Pass("encoder", ROWS, LENGTH)], SINGLE, recompute=False)
    # autograd keeps the stacked states once; who called holds the result, too
    found = saved_bytes(model, lambda: model.encode(ids, mask)) + c.stateful_layers * ids.numel() * c.dim * SINGLE
    assert planned.total == pytest.approx(found, rel=CLOSE)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"initial_layers": 0, "dense_dim": 0},
        {"moe": MoEConfig(experts=4, top_k=3, expert_dim=32)},
        {"delta": DeltaConfig(4)},
        {"delta": DeltaConfig(8, kernel=2), "heads": 16, "initial_layers": 0, "dense_dim": 0},
    ],
    ids=["beta", "stateful", "more-experts", "delta", "delta-alone"],
)
def test_a_decoder_pass(changes):
    c = config(**changes)
    model, (ids, mask) = seeded(lambda: ReactiveTransformer(c), 0), inputs(c)
    memory = model.initial_memory(ROWS)
    reading = Pass("decoder", ROWS, LENGTH, reads=SLOTS, memories=ROWS)
    planned = activation_bytes(c, [reading], SINGLE, recompute=False)
    found = saved_bytes(model, lambda: model.decode(ids, memory, mask=mask))
    # the noised copy of the memory is the objective's
    assert planned.total - memory.numel() * SINGLE == pytest.approx(found, rel=CLOSE)


@pytest.mark.parametrize("variant", WRITES)
@pytest.mark.parametrize("slots", [16, 160])
def test_a_memory_write(variant, slots):
    c = config(memory=MemoryConfig(slots=slots, variant=variant))
    model, (ids, mask) = seeded(lambda: ReactiveTransformer(c), 0), inputs(c)
    encoded = model.encode(ids, mask).detach().requires_grad_()
    memory = model.initial_memory(ROWS).clone().requires_grad_()
    planned = activation_bytes(c, [Pass("write", ROWS, LENGTH, reads=c.memory.slots)], SINGLE, recompute=False)
    found = saved_bytes(model, lambda: model.write(memory, encoded, mask), encoded)
    assert planned.memory == pytest.approx(found, rel=CLOSE), f"`kept` of {variant} is not what autograd saves"


def test_with_recomputation_layers_keep_their_input_alone():
    c = config()
    model, (ids, mask) = seeded(lambda: ReactiveTransformer(c), 0), inputs(c)
    checkpoint_activations(model)
    one = Pass("encoder", ROWS, LENGTH)
    planned, whole = (activation_bytes(c, [one], SINGLE, recompute=recompute).layers for recompute in (True, False))
    layers = c.stateful_layers
    recomputed = whole // layers  # the layer that is computed again
    found = saved_bytes(model, lambda: model.encode(ids, mask)) - layers * ids.numel() * c.dim * SINGLE
    assert planned - recomputed == pytest.approx(found, rel=CLOSE)


def test_an_expert_layer_of_beta_keeps_what_was_measured_on_a_gpu():
    measured = [line for line in lines("moe_gpu") if line["impl"] == "ours"][-1]
    c = replace(FAMILY["beta"].config, moe=replace(BETA.moe, shared_experts=0, shared_dim=0))
    assert measured["shape"]["T"] * expert_bytes(c, 2) == pytest.approx(measured["saved_bytes"], rel=CLOSE)


def test_logits_exist_in_chunks():
    c = config()
    few = activation_bytes(c, [Pass("decoder", 1, 8, scored=8)], 2, recompute=False).logits
    assert few == SINGLE * (2 * 8 * c.vocab_size + c.vocab_size * c.dim)
    wide = replace(FAMILY["beta"].config)
    many = [activation_bytes(wide, [Pass("decoder", n, 8192, scored=8192)], 2, recompute=False).logits for n in (8, 64)]
    assert many[0] == many[1] < 3 * 2**30
