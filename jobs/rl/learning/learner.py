"""A learner replays trajectories, rebuilds their memory with gradients, and updates policy and critic.

If it is one of a group, it is a rank of the default process group: it holds its part of the model and learns from its
share of the conversations. Results depend on weights, moments and trajectories alone, not on the size of the group. A
learner keeps no random state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from jobs.configs.execution import LayoutExecution
from jobs.configs.rl import MrlConfig
from jobs.rl.learning import losses
from jobs.rl.learning.objective import Fixed, PolicyObjective, ReferencePolicy
from jobs.rl.learning.replay import ReplayBatch
from jobs.rl.policy import Critic
from jobs.rl.replay_buffer import Trajectory, dealt
from jobs.stage.model_folder import load_reactive, upload
from jobs.stage.resources import Device
from jobs.training.objectives.global_sums import global_sum
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.passes import forward_backward
from jobs.training.rank import spread
from rxt_model.delta.layer import MemoryDrive
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.layers.parts import parts_of
from tokenization.files import storage


class Learner:
    """Trains the policy. `version` counts updates. Rewards are divided by the largest possible reward.

    If every question is answered once, a critic says what reward to expect. If it is answered several times, answers
    are compared with each other instead, since the critic sees only the question and would expect the same of all.

    All ranks of a group call each method together.
    """

    def __init__(
        self,
        model_uri: str,
        config: MrlConfig,
        threads: int,
        device: Device = "cpu",
        layout: LayoutExecution | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self.config, self.version, self.layout = config, 0, layout or LayoutExecution()
        self.rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.model = load_reactive(model_uri, device)
        self.reference = ReferencePolicy(copy.deepcopy(self.model), config) if config.kl_reference else None
        self.critic = Critic(self.model) if config.samples == 1 else None
        self.objective = PolicyObjective(self.model, self.critic, config)
        if ranks > 1:
            for module in filter(None, (self.objective, self.reference)):
                spread(module, self.layout, ranks, device)
            for method in ("values", "earlier"):
                register_fsdp_forward_method(self.objective, method)
        steps = config.iterations * config.update_epochs
        self.optimizers = {"policy": StageOptimizer(self.model, config.optimizer, steps)}
        if self.critic is not None:
            # a separate optimizer, so that the critic's gradients do not count towards the policy's clipped norm
            self.optimizers["critic"] = StageOptimizer(self.critic, config.optimizer, steps)

    def weights(self, version: int) -> dict[str, Tensor]:
        """A copy of the policy's weights on the CPU, on rank 0; nothing on others. Raises ValueError if they are not of
        `version`."""
        if version != self.version:
            raise ValueError(f"weights of policy version {version} were asked for, the learner has {self.version}")
        return self._whole(self.model.state_dict())

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Take `update_epochs` optimizer steps on this rank's trajectories, and return metrics over all ranks.

        A loss or gradient norm that is not finite ends the update. The metrics then contain it, and the weights must
        not be used any more. Raises ValueError for trajectories of another policy version.
        """
        wrong = sorted({t.policy_version for t in trajectories} - {self.version})
        if wrong:
            raise ValueError(f"trajectories of policy version {wrong}, but the learner has version {self.version}")
        batches = self.batches(trajectories)
        fixed, metrics = self.fixed(batches), {}
        judged = _explained(fixed) if self.critic is not None else {}
        for epoch in range(self.config.update_epochs):
            step = self.version * self.config.update_epochs + epoch
            self.optimizers["policy"].begin(step, self.trained(self.version))
            if self.critic is not None:
                self.optimizers["critic"].begin(step, [self.critic])
            parts = list(zip(batches, fixed, strict=True))
            metrics = _over_ranks(*forward_backward(self.objective, parts, nullcontext())) | judged
            if not math.isfinite(metrics["rl/loss"]):
                break
            norms = {f"rl/{name}_gradient_norm": float(optimizer.step()) for name, optimizer in self.optimizers.items()}
            metrics |= norms
            if not all(map(math.isfinite, norms.values())):
                break
        self.version += 1
        return metrics

    def trained(self, iteration: int) -> list[nn.Module]:
        """The parts that train in an iteration: memory attention, then also memory reads and their norms, then the
        encoder, then everything."""
        passed = sum(iteration >= fraction * self.config.iterations for fraction in self.config.unfreeze)
        if passed == 3:
            return [self.model]
        parts: list[nn.Module] = [self.model.memory_attention]
        if passed >= 1:
            encoder = self.model.encoder
            for layer in (*self.model.decoder.stateful, *(encoder.layers if encoder.reads_memory else ())):
                parts += [layer.memory_read, layer.memory_query_norm, layer.memory_norm]
            parts += parts_of(self.model.decoder, MemoryDrive)
        return [*parts, self.model.encoder] if passed == 2 else parts

    def batches(self, trajectories: Sequence[Trajectory]) -> list[ReplayBatch]:
        """The micro-batches of this rank. Their rewards are shares of the largest possible one."""
        device = self.model.embedding.weight.device
        turns = _most(max(len(t.episode.turns) for t in trajectories) - 1, device)
        found = [ReplayBatch(part, device, turns) for part in dealt(trajectories, self.layout.micro_batches)]
        for batch in found:
            batch.rewards = batch.rewards / self.config.reward.scale
        return found

    @torch.no_grad()
    def fixed(self, batches: Sequence[ReplayBatch]) -> list[Fixed]:
        """What stays the same over the epochs, for each batch. Advantages are normalised over the batches of all
        ranks."""
        estimate = losses.gae_advantages if self.config.algorithm == "ppo" else losses.impo_advantages
        found = []
        for batch in batches:
            values = self.objective.values(batch)
            judged = estimate(batch.rewards, batch.dense(values), batch.mask, batch.group)
            reference = self.reference(batch) if self.reference is not None else None
            earlier = self.objective.earlier(batch) if self.config.kl_turns else None
            found.append(Fixed(values, batch.flat(judged.advantages), batch.flat(judged.returns), reference, earlier))
        for module in (self.objective, self.reference):
            if isinstance(module, FSDPModule):
                module.reshard()  # a forward without a backward leaves the root whole
        sizes = [len(batch.answers) for batch in batches]
        normal = losses.normalise(torch.cat([one.advantages for one in found])).split(sizes)
        return [one._replace(advantages=part) for one, part in zip(found, normal, strict=True)]

    def moments(self) -> dict[str, Tensor]:
        """The state of the optimizers by name. These are the optimizers' own tensors."""
        return {
            f"{part}.{name}": moment
            for part, optimizer in self.optimizers.items()
            for name, moment in optimizer.moments().items()
        }

    def save(self, folder_uri: str) -> None:
        """Write policy, moments, and the critic if there is one. The caller records the version."""
        for name, tensors in self._state().items():
            whole = self._whole(tensors)
            if self.rank == 0:
                storage.write(f"{folder_uri}/{name}.safetensors", save(whole))

    def load(self, folder_uri: str, version: int) -> None:
        """Read what a group of any size saved, as policy `version`. Raises FileNotFoundError for a missing file."""
        for name, tensors in self._state().items():
            saved = _read(f"{folder_uri}/{name}.safetensors")
            for key, tensor in tensors.items():
                _copy(tensor, saved[key])
        self.version = version

    def export(self, folder_uri: str) -> None:
        """Write the policy as a model folder."""
        state = self._whole(self.model.state_dict())
        if self.rank == 0:
            with TemporaryDirectory(prefix="rxt-") as folder:
                save_pretrained(self.model, folder, state)
                upload(Path(folder), folder_uri)

    def _state(self) -> dict[str, dict[str, Tensor]]:
        """All that a checkpoint holds, by file."""
        critic = {} if self.critic is None else {"critic": self.critic.state_dict()}
        return {"policy": self.model.state_dict(), **critic, "optimizer": self.moments()}

    def _whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gather the parts of all ranks, one tensor after the other: copies on the CPU on rank 0, nothing on others."""
        found = {}
        for name, tensor in tensors.items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.rank == 0:
                found[name] = whole.detach().to("cpu", copy=True).contiguous()
        return found


@torch.no_grad()
def _copy(target: Tensor, whole: Tensor) -> None:
    """Copy a tensor into one that may be a rank's part of it."""
    if isinstance(target, DTensor):
        whole = distribute_tensor(whole.to(target.device), target.device_mesh, target.placements)
    target.copy_(whole)


def _most(own: int, device: torch.device) -> int:
    """The largest of the numbers of all ranks."""
    most = torch.tensor(own, device=device)
    if dist.is_initialized():
        dist.all_reduce(most, dist.ReduceOp.MAX)
    return int(most)


def _over_ranks(loss: Tensor, metrics: dict[str, Tensor]) -> dict[str, float]:
    """The loss and the means of [sum, count] pairs, over all ranks."""
    pairs = global_sum(torch.stack([metrics[name].to(loss.device) for name in metrics]))
    means = (pairs[:, 0] / pairs[:, 1].clamp(min=1e-12)).tolist()
    return {"rl/loss": float(global_sum(loss)), **dict(zip(metrics, means, strict=True))}


def _explained(fixed: Sequence[Fixed]) -> dict[str, float]:
    values, returns = (torch.cat(parts) for parts in zip(*((one.values, one.returns) for one in fixed), strict=True))
    return {"rl/explained_variance": float(losses.explained_variance(values, returns))}


def _read(uri: str) -> dict[str, Tensor]:
    data = storage.read(uri)
    if data is None:
        raise FileNotFoundError(uri)
    return load(data)
