"""Expert parallelism: each rank of the `ep` axis owns some experts, and rows travel to the owner and back."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single, all_to_all_single_autograd
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from rxt_model.config import ConfigError
from rxt_model.layers.parts import parts_of
from rxt_model.moe.experts import routed_experts
from rxt_model.moe.layer import Experts, MoELayer


class SpreadExperts(Experts):
    """This rank's share of the experts of `whole`, split along dimension 0 over `mesh`. It takes and returns the same.

    The weights are DTensors of the full logical shape under the same names, so checkpoints do not depend on the degree.
    Every rank of the axis must call it equally often.
    """

    def __init__(self, whole: Experts, mesh: DeviceMesh) -> None:
        nn.Module.__init__(self)
        self.mesh = mesh
        self.register_parameter("b_in", None)
        self.register_parameter("b_out", None)
        for name, weight in whole.named_parameters():
            share = weight.detach().chunk(mesh.size(), 0)[mesh.get_local_rank()].clone()
            setattr(self, name, nn.Parameter(DTensor.from_local(share, mesh, [Shard(0)], run_check=False)))

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Map x [N, d], weights and chosen experts [N, K] of this rank to sums [N, d] and assignments [E]."""
        group, degree = self.mesh.get_group(), self.mesh.size()
        w_in, w_out = _local(self.w_in), _local(self.w_out)
        biases = (None if stack is None else _local(stack) for stack in (self.b_in, self.b_out))
        own = w_in.shape[0]
        expert, order = chosen.flatten().sort(stable=True)
        counts = torch.bincount(expert, minlength=degree * own)
        received = all_to_all_single(counts, None, None, group).unflatten(0, (degree, own))
        outward, inward = counts.unflatten(0, (degree, own)).sum(1).tolist(), received.sum(1).tolist()

        arrived = all_to_all_single_autograd(x[order // chosen.shape[1]], inward, outward, group)
        # rows arrive by (source, expert)
        local = torch.arange(own, device=x.device).repeat(degree).repeat_interleave(received.flatten())[:, None]
        ones = torch.ones_like(local, dtype=weights.dtype)
        done, _ = routed_experts(arrived, ones, local, w_in, w_out, *biases)
        rows = all_to_all_single_autograd(done, outward, inward, group)
        inverse = torch.empty_like(order).index_copy_(0, order, torch.arange(order.numel(), device=order.device))
        y = (rows[inverse].unflatten(0, chosen.shape) * weights[..., None]).sum(1)  # in fp32, as in one process
        return y.to(rows.dtype), counts


def _local(weight: Tensor) -> Tensor:
    """Return this rank's part of a DTensor."""
    return cast("DTensor", weight).to_local()


def spread_experts(module: nn.Module, mesh: DeviceMesh) -> list[SpreadExperts]:
    """Replace the experts of every mixture-of-experts layer in `module` by this rank's share of them."""
    spread = []
    for layer in parts_of(module, MoELayer):
        layer.experts = SpreadExperts(layer.experts, mesh)
        spread.append(layer.experts)
    return spread


def check_degree(module: nn.Module, world_size: int, degree: int, replicas: int = 1) -> None:
    """Raise ConfigError unless `replicas` divides the ranks, `degree` divides the ranks of a replica and the experts,
    and the ranks per expert divide its widths."""
    if world_size % replicas:
        raise ConfigError(f"replicas = {replicas}: must divide the {world_size} ranks")
    group = world_size // replicas
    if group % degree:
        of_replica = f" of each of {replicas} replicas" if replicas > 1 else ""
        raise ConfigError(f"expert_parallel = {degree}: must divide the {group} ranks{of_replica}")
    for experts in parts_of(module, Experts):
        count, dim, _ = experts.w_in.shape
        if count % degree:
            raise ConfigError(f"expert_parallel = {degree}: must divide the {count} experts of a layer")
        width, sharing = experts.w_out.shape[1], group // degree
        if degree > 1 and (dim % sharing or width % sharing):
            raise ConfigError(
                f"expert_parallel = {degree}: leaves {sharing} ranks to share each expert, "
                f"which must divide dim = {dim} and expert_dim = {width}"
            )
