"""The training loop of every stage. It knows neither Ray nor files; it gets everything it needs as arguments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from jobs.configs.training import StageConfig
from jobs.training.batching.batches import Batch
from jobs.training.objectives.base import Objective, StepContext
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.passes import cut, forward_backward
from rxt_model.moe.selection_bias import LoadBalancer
from tokenization.hashing import stable_seed

TOKENS = "train/tokens"  # the metric from which speed is computed


MOST_SKIPPED = 3  # steps in a row; single ones may be due to their batch


class NotFinite(RuntimeError):
    """In several steps in a row a loss or gradient was not finite. All ranks raise this together."""


@dataclass(frozen=True)
class Cadence:
    """The number of steps between two logs and between two checkpoints."""

    log: int
    checkpoint: int


@dataclass
class LoopResult:
    """How the loop ended: steps done, whether the user stopped it, seconds and tokens in steps, and the last value of
    every metric."""

    step: int
    interrupted: bool = False
    seconds: float = 0.0
    tokens: float = 0.0
    values: dict[str, float] = field(default_factory=dict)


def train(
    objective: Objective,
    optimizer: StageOptimizer,
    batch_at: Callable[[int], Batch],
    config: StageConfig,
    cadence: Cadence,
    *,
    start: int = 0,
    save: Callable[[int], None] = lambda _step: None,
    log: Callable[[int, Mapping[str, float]], None] = lambda _step, _values: None,
    should_stop: Callable[[], bool] = lambda: False,
    validation: Batch | None = None,
    micro_batches: int = 1,
    tell: Callable[[str], None] = lambda _text: None,
    save_batch: Callable[[int, Batch], None] = lambda _step, _batch: None,
) -> LoopResult:
    """Train from step `start` to `config.steps`, one optimizer step per batch.

    `batch_at(step)` returns this rank's part of the global batch. All ranks call `save(done)` every few steps, at the
    end and before they stop. `log(done, values)` gets values over all ranks. If `should_stop` is true on any rank, all
    ranks finish the step, save and return. With a `validation` batch the objective is evaluated at each save.

    A step whose loss or gradient is not finite changes nothing; `tell` gets a line about it. After MOST_SKIPPED of them
    in a row all ranks call `save_batch(step, batch)` and raise NotFinite.
    """
    objective.train()
    result, meter = LoopResult(start), Meter()
    balancer = LoadBalancer(objective.model.decoder, config.bias_speed) if config.bias_speed else None
    skipped = in_a_row = 0
    for step in range(start, config.steps):
        began = time.perf_counter()
        batch = batch_at(step)
        meter.waited += time.perf_counter() - began
        optimizer.begin(step, objective.trained(step))
        parts = [(part, step_context(config, step)) for part in cut(batch, micro_batches)]
        loss, metrics = forward_backward(objective, parts, precision(config, batch))
        total, stop, norm = _agree(loss, should_stop(), optimizer.clip())
        if np.isfinite(total) and np.isfinite(norm):
            in_a_row = 0
            optimizer.update()
            if balancer:
                balancer.step()
            meter.add(metrics, total)
        else:
            skipped, in_a_row = skipped + 1, in_a_row + 1
            optimizer.drop()
            if balancer:
                balancer.drop()
            fault = _fault(loss, total, norm)
            if in_a_row == MOST_SKIPPED:
                save_batch(step, batch)
                raise NotFinite(f"{fault} at step {step}, as in the {MOST_SKIPPED - 1} steps before")
            tell(f"{fault} at step {step}, which is skipped")
        meter.seconds += time.perf_counter() - began

        done = result.step = step + 1
        last = stop or done == config.steps
        saving = last or done % cadence.checkpoint == 0
        if last or done % cadence.log == 0:
            result.seconds += meter.seconds
            values = meter.drain()
            result.tokens += values.pop(TOKENS)
            values |= {"train/lr": optimizer.lr, "train/skipped_steps": skipped}
            if np.isfinite(norm):
                values["train/gradient_norm"] = norm
            if balancer:
                values["router/bias_range"] = balancer.range()
            result.values |= values
            log(done, values)
        if saving:
            if validation is not None:
                result.values |= (values := evaluate(objective, validation, config))
                log(done, values)
            save(done)
        if stop and done < config.steps:
            result.interrupted = True
            break
    if balancer:
        balancer.close()
    if start == config.steps and validation is not None:  # a run was stopped between its last checkpoint and its end
        result.values |= evaluate(objective, validation, config)
    return result


def evaluate(objective: Objective, batch: Batch, config: StageConfig) -> dict[str, float]:
    """Evaluate the objective on this rank's part of a batch; return metrics over all ranks, named `eval/...`.

    Schedules stand at their last step and the noise is always the same, so metrics can be compared over time.
    """
    context = StepContext(config.steps - 1, config.steps, stable_seed(config.seed, "validation"))
    meter = Meter()
    objective.eval()
    with torch.no_grad(), precision(config, batch):
        loss, metrics = objective(batch, context)
    objective.train()
    for group in objective.modules():
        if isinstance(group, FSDPModule):
            group.reshard()  # a forward without a backward leaves the root whole, but the optimizer works on shards
    meter.add(metrics, _sum(loss.detach()).item())
    values = meter.drain()
    del values[TOKENS]
    return {name.replace("train/", "eval/"): value for name, value in values.items() if name.startswith("train/")}


def step_context(config: StageConfig, step: int) -> StepContext:
    """The context of `step`. Its random numbers do not depend on earlier steps."""
    return StepContext(step, config.steps, stable_seed(config.seed, step))


def precision(config: StageConfig, batch: Batch) -> torch.autocast:
    """The autocast context of the forward pass. With bfloat16 it casts what is not bf16 yet: random draws, norms, and
    weights that FSDP does not gather in bf16. Parameters and optimizer stay in fp32."""
    device = batch["input_ids"].device.type
    return torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16")


class Meter:
    """Sums [sum, count] pairs over steps, then over ranks. All ranks must add the same names, also `train/tokens`."""

    def __init__(self) -> None:
        self.seconds = self.waited = 0.0
        self._pairs: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor], loss: float) -> None:
        """Add a step's [sum, count] pairs of this rank, and its `loss` over all ranks."""
        share = 1.0 / _world()[1]  # the loss is global already
        device = metrics[TOKENS].device
        for name, pair in {**metrics, "train/total_loss": torch.tensor([loss * share, share])}.items():
            pair = pair.to(device)
            self._pairs[name] = self._pairs[name] + pair if name in self._pairs else pair

    def drain(self) -> dict[str, float]:
        """Return the means over all ranks since the last call, the sum `train/tokens`, tokens per second, and the share
        of the time in which this rank waited for data."""
        names = list(self._pairs)
        if not names:  # all steps since then were skipped
            self.seconds = self.waited = 0.0
            return {TOKENS: 0.0}
        sums = _sum(torch.stack([self._pairs[name] for name in names])).tolist()
        values = {name: total / count for name, (total, count) in zip(names, sums, strict=True) if count}
        values[TOKENS] = sums[names.index(TOKENS)][0]
        if self.seconds:
            values["train/tokens_per_second"] = values[TOKENS] / self.seconds
            values["train/data_wait"] = self.waited / self.seconds
        self.seconds, self.waited, self._pairs = 0.0, 0.0, {}
        return values


def _agree(loss: Tensor, stop: bool, norm: Tensor) -> tuple[float, bool, float]:
    """The loss over all ranks, whether any rank wants to stop, and the gradient norm. This is the only time in a step
    that the host waits for the device."""
    mine = torch.stack([loss.float(), loss.new_tensor(float(stop), dtype=torch.float32)])
    total, stops, norm_found = torch.cat((_sum(mine), norm.float()[None])).tolist()
    return total, stops > 0, norm_found


def _fault(loss: Tensor, total: float, norm: float) -> str:
    """What is not finite, and on which ranks."""
    if np.isfinite(total):
        return f"gradient is not finite (norm {norm})"
    rank, world_size = _world()
    losses = torch.zeros(world_size, device=loss.device)
    losses[rank] = loss
    # each rank's loss has a place of its own, so that the sum does not spread a nan over the others
    found = enumerate(_sum(losses).tolist())
    bad = ", ".join(f"{value} on rank {r}" for r, value in found if not np.isfinite(value))
    return f"loss is not finite ({bad or total})"


def _sum(tensor: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def _world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
