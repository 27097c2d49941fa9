"""The bytes that `rxt plan` says a GPU sends, against the collectives of a real step on a fake mesh."""

import math

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from rxt_model.config import ModelConfig
from rxt_model.estimate.layouts import ParallelLayout
from rxt_model.estimate.states import MASTER, sharded_groups, traffic
from rxt_model.estimate.work import Pass
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.training.parallelize import parallelize
from tests.support.training_toys import toy_config

RANKS, ROWS, LENGTH = 4, 2, 8


class Sent(TorchDispatchMode):
    """Adds up what one rank sends: to the others of its replica its shard, and their parts of its gradients; to those
    that hold the same shard its gradients, in a ring."""

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.replicas, self.sharded, self.copied = replicas, 0.0, 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, others = str(function), RANKS // self.replicas - 1
        if "c10d._allgather_base_" in name:
            self.sharded += args[1].nbytes * others
        elif "c10d._reduce_scatter_base_" in name:
            self.sharded += args[0].nbytes * others
        elif "c10d.allreduce_" in name:
            self.copied += 2 * (self.replicas - 1) / self.replicas * sum(tensor.nbytes for tensor in args[0])
        return function(*args, **(kwargs or {}))


@pytest.fixture
def mesh():
    dist.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    yield
    dist.destroy_process_group()


class Step(torch.nn.Module):
    """Encodes once, writes `writes` times, and decodes."""

    def __init__(self, config: ModelConfig, writes: int) -> None:
        super().__init__()
        self.model, self.writes = ReactiveTransformer(config, mlm_head=False), writes

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        real = torch.ones_like(ids, dtype=torch.bool)
        projected = self.model.project(self.model.encode(ids, real), real)
        for _ in range(self.writes):
            memory = self.model.memory_attention(memory, projected, real)
        return self.model.decode(ids, memory).hidden.sum()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shard", "writes", "replicas"), [("root", 2, 1), ("block", 1, 1), ("block", 3, 1), ("root", 2, 2), ("block", 3, 2)]
)
def test_the_collectives_of_a_step(mesh, shard, writes, replicas, precision):
    config, layout = toy_config(), ParallelLayout(RANKS, 1, shard, replicas=replicas)
    with torch.device("meta"):
        groups = sharded_groups(ReactiveTransformer(config, mlm_head=False), layout)
    parts = {"encoder": 1, "write": writes, "decoder": 1}
    passes = [Pass(part, ROWS, LENGTH, calls=calls) for part, calls in parts.items()]
    layout_of = dict(shard=shard, replicas=replicas, precision=precision)
    module = parallelize(seeded(lambda: Step(config, writes), 0), RANKS, **layout_of)
    for weight in module.parameters():
        weight.detach().to_local().normal_(std=0.02)
    memory = torch.randn(config.stateful_layers, ROWS, config.memory.slots, config.dim)
    half = precision == "bfloat16"
    with Sent(replicas) as sent:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total = module(torch.full((ROWS, LENGTH), 20), memory)
        total.backward()
    planned = traffic(config, groups, passes, layout, width=2 if half else MASTER)
    assert planned.sharded == pytest.approx(sent.sharded, rel=0.05)
    assert planned.copied == pytest.approx(sent.copied, rel=0.05) and (planned.copied > 0) == (replicas > 1)


def test_routed_rows_travel_four_times_in_training_and_six_with_recomputation():
    config = toy_config()
    passes = [Pass("decoder", ROWS, LENGTH), Pass("encoder", ROWS, LENGTH)]
    sent = {}
    for recompute in (False, True):
        layout = ParallelLayout(RANKS, 2, "root", recompute)
        sent[recompute] = traffic(config, [], passes, layout, width=2).routed
    layers = config.stateful_layers + config.initial_layers + config.final_layers - min(1, config.initial_layers)
    rows = ROWS * LENGTH * config.moe.top_k * layers
    assert sent[False] == 4 * rows // 2 * config.dim * 2
    assert sent[True] == pytest.approx(1.5 * sent[False])
    assert math.isclose(traffic(config, [], passes, ParallelLayout(RANKS), width=2).routed, 0)
