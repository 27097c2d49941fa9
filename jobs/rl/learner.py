"""The learner actor replays trajectories, rebuilds their memory with gradients, and updates policy and critic.

Its results depend on weights, moments and trajectories alone. It keeps no random state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from jobs.configs.rl import MrlConfig
from jobs.rl import losses, replay
from jobs.rl.policy import Critic, TokenScores, mean_per_answer
from jobs.rl.replay_buffer import Trajectory
from jobs.stage.model_folder import load_reactive, upload
from jobs.stage.resources import Device
from jobs.training.objectives.collapse import ALARM, COLLAPSED, RANK, ROWS
from jobs.training.optimizers.stage import StageOptimizer
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.memory.statistics import rank_share
from rxt_model.moe.layer import balance_loss, router_z_loss
from tokenization.files import storage


class Learner:
    """Trains the policy. `version` counts updates. Rewards are divided by the largest possible reward.

    If every question is answered once, a critic says what reward to expect. If it is answered several times, answers
    are compared with each other instead, since the critic sees only the question and would expect the same of all.
    """

    def __init__(self, model_uri: str, config: MrlConfig, threads: int, device: Device = "cpu") -> None:
        torch.set_num_threads(threads)
        self.config, self.version = config, 0
        self.model = load_reactive(model_uri, device)
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        self.critic = Critic(self.model) if config.samples == 1 else None
        steps = config.iterations * config.update_epochs
        self.optimizers = {"policy": StageOptimizer(self.model, config.optimizer, steps)}
        if self.critic is not None:
            # a separate optimizer, so that the critic's gradients do not count towards the policy's clipped norm
            self.optimizers["critic"] = StageOptimizer(self.critic, config.optimizer, steps)

    def weights(self, version: int) -> dict[str, Tensor]:
        """A copy of the policy's weights on the CPU. Raises ValueError if they are not of `version`."""
        if version != self.version:
            raise ValueError(f"weights of policy version {version} were asked for, the learner has {self.version}")
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.model.state_dict().items()}

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Take `update_epochs` optimizer steps on one batch and return metrics.

        A loss or gradient norm that is not finite ends the update. The metrics then contain it, and the weights must
        not be used any more. Raises ValueError for trajectories of another policy version.
        """
        wrong = sorted({t.policy_version for t in trajectories} - {self.version})
        if wrong:
            raise ValueError(f"trajectories of policy version {wrong}, but the learner has version {self.version}")
        batch = replay.ReplayBatch(trajectories, self.model.embedding.weight.device)
        batch.rewards = batch.rewards / self.config.reward.scale
        fixed = self._fixed(batch)
        metrics: dict[str, float] = {}
        for epoch in range(self.config.update_epochs):
            step = self.version * self.config.update_epochs + epoch
            self.optimizers["policy"].begin(step, self.trained(self.version))
            if self.critic is not None:
                self.optimizers["critic"].begin(step, [self.critic])
            loss, metrics = self._loss(batch, fixed)
            if not loss.isfinite():
                break
            loss.backward()
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
        return [*parts, self.model.encoder] if passed == 2 else parts

    @torch.no_grad()
    def _fixed(self, batch: replay.ReplayBatch) -> dict[str, Tensor]:
        """Per answer, the critic's first `values`, `advantages` and `returns`; per token, log-probabilities under the
        `reference` policy, which builds its own memory, and from the memory one write `earlier`. These stay the same
        over the epochs."""
        seed, temperature = self.config.seed, self.config.temperature
        values = torch.zeros_like(batch.rewards)
        if self.critic is not None:
            values = batch.dense(self.critic(batch.critic_inputs))
        estimate = losses.gae_advantages if self.config.algorithm == "ppo" else losses.impo_advantages
        advantages, returns = estimate(batch.rewards, values, batch.mask, batch.group)
        own = replay.rebuild(self.reference, batch, seed).read
        reference = replay.score(self.reference, own, batch, temperature).log_probs
        fixed = {
            "values": batch.flat(values),
            "advantages": batch.flat(advantages),
            "returns": batch.flat(returns),
            "reference": reference,
        }
        if self.config.kl_turns:
            before = replay.rebuild(self.model, batch, seed).before
            fixed["earlier"] = replay.score(self.model, before, batch, temperature).log_probs
        return fixed

    def _loss(self, batch: replay.ReplayBatch, fixed: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        config, answers = self.config, len(batch.answers)
        memories = replay.rebuild(self.model, batch, config.seed)
        scores = replay.score(self.model, memories.read, batch, config.temperature)

        def mean(values: Tensor) -> Tensor:
            return mean_per_answer(values, scores.row, answers).mean()

        gain, held = losses.surrogate(scores.log_probs, batch.old, fixed["advantages"][scores.row], config.clip)
        kl_reference = mean(losses.divergence(scores.log_probs, fixed["reference"], batch.old))
        change = replay.memory_change(memories)
        drift = (batch.turn.sqrt() * change).mean()
        entropy = mean(scores.entropy)
        policy_loss = -mean(gain)
        loss = (
            policy_loss
            + config.kl_reference * kl_reference
            + config.memory_drift * drift
            - config.entropy * entropy
            + config.balance_weight * balance_loss(scores.routing)
        )
        size = memories.before.pow(2).mean((0, 2, 3))
        share = rank_share(memories.read[:, :ROWS, :, : self.model.config.dim].detach())
        metrics = {"rl/policy_loss": policy_loss, RANK: share, ALARM: (share < COLLAPSED).float()}
        if config.router_z_weight:
            router_z = router_z_loss(scores.routing)
            loss = loss + config.router_z_weight * router_z
            metrics["rl/router_z"] = router_z
        if config.kl_turns:
            kl_turns = self._turn_divergence(scores, fixed["earlier"], batch)
            loss = loss + config.kl_turns * kl_turns
            metrics["rl/kl_turns"] = kl_turns
        if self.critic is not None:
            value_loss = self._value_loss(self.critic, batch, fixed)
            loss = loss + value_loss
            metrics["rl/value_loss"] = value_loss
            metrics["rl/explained_variance"] = losses.explained_variance(fixed["values"], fixed["returns"])
        metrics |= {
            "rl/loss": loss,
            "rl/kl": mean(losses.divergence(batch.old, scores.log_probs, batch.old)),
            "rl/kl_reference": kl_reference,
            "rl/entropy": entropy,
            "rl/clip_fraction": held.float().mean(),
            "rl/stm_change": (change / size.clamp(min=1e-12)).sqrt().mean(),
        }
        return loss, {name: float(value.detach()) for name, value in metrics.items()}

    def _value_loss(self, critic: Critic, batch: replay.ReplayBatch, fixed: dict[str, Tensor]) -> Tensor:
        values = critic(batch.critic_inputs)
        if self.config.algorithm == "ppo":
            return losses.clipped_value_loss(values, fixed["values"], fixed["returns"], self.config.clip).mean()
        return (values - fixed["returns"]).pow(2).mean()

    def _turn_divergence(self, scores: TokenScores, earlier: Tensor, batch: replay.ReplayBatch) -> Tensor:
        """KL between the policies of consecutive turns. Each answer is scored from memory before and after the last
        write, for turns after at least two writes. The papers name the term but do not define it."""
        each = losses.divergence(scores.log_probs, earlier, batch.old)
        later = mean_per_answer(each, scores.row, len(batch.answers))[batch.turn > 1]
        return later.mean() if later.numel() else scores.log_probs.sum() * 0

    def moments(self) -> dict[str, Tensor]:
        """The state of the optimizers by name. These are the optimizers' own tensors."""
        return {
            f"{part}.{name}": moment
            for part, optimizer in self.optimizers.items()
            for name, moment in optimizer.moments().items()
        }

    def save(self, folder_uri: str) -> None:
        """Write policy, moments, and the critic if there is one. The caller records the version."""
        storage.write(f"{folder_uri}/policy.safetensors", save(_contiguous(self.model.state_dict())))
        if self.critic is not None:
            storage.write(f"{folder_uri}/critic.safetensors", save(_contiguous(self.critic.state_dict())))
        storage.write(f"{folder_uri}/optimizer.safetensors", save(_contiguous(self.moments())))

    def load(self, folder_uri: str, version: int) -> None:
        """Read what `save` wrote, as policy `version`. Raises FileNotFoundError for a missing file."""
        self.model.load_state_dict(_read(f"{folder_uri}/policy.safetensors"))
        if self.critic is not None:
            self.critic.load_state_dict(_read(f"{folder_uri}/critic.safetensors"))
        saved = _read(f"{folder_uri}/optimizer.safetensors")
        for name, moment in self.moments().items():
            moment.copy_(saved[name])
        self.version = version

    def export(self, folder_uri: str) -> None:
        """Write the policy as a model folder."""
        with TemporaryDirectory(prefix="rxt-") as folder:
            save_pretrained(self.model, folder)
            upload(Path(folder), folder_uri)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read(uri: str) -> dict[str, Tensor]:
    data = storage.read(uri)
    if data is None:
        raise FileNotFoundError(uri)
    return load(data)
