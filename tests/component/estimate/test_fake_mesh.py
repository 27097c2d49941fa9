"""What `rxt plan` says about RxT-Beta, against RxT-Beta itself, built without weights as rank 0 of 64."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.estimate.layouts import ParallelLayout
from rxt_model.estimate.states import sharded_groups, state_bytes
from rxt_model.family import FAMILY
from rxt_model.model import ReactiveTransformer
from rxt_model.training.parallelize import parallelize

RANKS = 64
BETA = FAMILY["beta"].config
CLOSE = 0.05


@pytest.fixture
def mesh():
    dist.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    yield
    dist.destroy_process_group()


def build(stateless: bool) -> torch.nn.Module:
    with torch.device("meta"):
        return StatelessDecoder(matching_config(BETA)) if stateless else ReactiveTransformer(BETA)


def local_bytes(module: torch.nn.Module) -> int:
    """Sum up the bytes of the parameters on this rank."""
    return sum((weight.to_local() if isinstance(weight, DTensor) else weight).nbytes for weight in module.parameters())


@pytest.mark.parametrize(
    ("expert_parallel", "replicas", "shard", "stateless"),
    [(1, 1, "block", False), (8, 1, "block", False), (8, 8, "block", False), (16, 1, "root", True)],
)
def test_the_plan_of_beta_on_64_gpus_is_what_a_rank_holds(mesh, expert_parallel, replicas, shard, stateless):
    module = build(stateless)
    whole = sum(weight.numel() for weight in module.parameters())
    layout = ParallelLayout(RANKS, expert_parallel, shard, replicas=replicas)
    groups = sharded_groups(module, layout)
    planned = state_bytes(groups, width=2)
    parallelize(module, RANKS, shard=shard, expert_parallel=expert_parallel, replicas=replicas)
    found = local_bytes(module)
    optimizer = torch.optim.AdamW(module.parameters())
    for weight in module.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    moments = [state[key].to_local() for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    assert planned.weights == pytest.approx(found, rel=CLOSE)
    assert planned.gradients == pytest.approx(found, rel=CLOSE)
    assert planned.optimizer == pytest.approx(sum(moment.nbytes for moment in moments), rel=CLOSE)
    spread = [group for group in groups if group.ranks < layout.shards]
    assert sum(group.values for group in groups) + (expert_parallel - 1) * sum(g.values for g in spread) == whole
