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
    """Adds up what one rank sends: its shard to all others, and their parts of its gradients."""

    total = 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if "c10d._allgather_base_" in name:
            self.total += args[1].nbytes * (RANKS - 1)
        elif "c10d._reduce_scatter_base_" in name:
            self.total += args[0].nbytes * (RANKS - 1)
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


@pytest.mark.parametrize(("shard", "writes"), [("root", 2), ("block", 1), ("block", 3)])
def test_the_collectives_of_a_step(mesh, shard, writes):
    config, layout = toy_config(), ParallelLayout(RANKS, 1, shard)
    with torch.device("meta"):
        groups = sharded_groups(ReactiveTransformer(config, mlm_head=False), layout)
    parts = {"encoder": 1, "write": writes, "decoder": 1}
    passes = [Pass(part, ROWS, LENGTH, calls=calls) for part, calls in parts.items()]
    module = parallelize(seeded(lambda: Step(config, writes), 0), RANKS, shard=shard)
    for weight in module.parameters():
        weight.detach().to_local().normal_(std=0.02)
    memory = torch.randn(config.stateful_layers, ROWS, config.memory.slots, config.dim)
    with Sent() as sent:
        module(torch.full((ROWS, LENGTH), 20), memory).backward()
    assert traffic(config, groups, passes, layout, width=MASTER).sharded == pytest.approx(sent.total, rel=0.05)


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
