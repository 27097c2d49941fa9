"""Compare what a stage asks of the machines with what they have, before it starts, and choose its device.

Ray itself waits in silence for what a cluster does not have.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from jobs.configs.base import Config
from jobs.configs.evaluation import EvaluateConfig
from jobs.configs.execution import Execution
from jobs.configs.rl import MrlConfig
from jobs.configs.training import BaselineConfig, TrainingConfig
from jobs.stage import ray_setup
from jobs.stage.context import Change, StageContext, StageError

Device = Literal["cpu", "cuda"]

WAIT_SECONDS = 30  # machines of a cluster may still be joining it


@dataclass(frozen=True)
class Demand:
    """`count` processes at once, each with `cpus` CPUs. On GPUs `on_gpu` processes take a share `gpu` of one each.
    `section` is where their settings are."""

    processes: str
    count: int
    cpus: int
    on_gpu: int
    gpu: float
    section: str


@dataclass(frozen=True)
class Machines:
    """The CPUs and the GPUs of each machine."""

    cpus: tuple[int, ...]
    gpus: tuple[int, ...]

    def __str__(self) -> str:
        where = "this machine has" if len(self.cpus) == 1 else f"{len(self.cpus)} machines have"
        return f"{where} {sum(self.cpus)} CPUs and {sum(self.gpus)} GPUs for Ray"

    def room(self, demand: Demand) -> tuple[int, int]:
        """How many of the processes find their CPUs, and how many their share of a GPU."""
        shares = int(1 / demand.gpu + 1e-6)
        return sum(cpus // demand.cpus for cpus in self.cpus), sum(self.gpus) * shares


def demand_of(config: Config, execution: Execution) -> Demand | None:
    """What the stage with this config asks for; None if its tasks run one by one."""
    train, rl = execution.train, execution.rl
    if isinstance(config, TrainingConfig | BaselineConfig):
        return Demand("workers", train.workers, train.threads, train.workers, 1.0, "train")
    if isinstance(config, MrlConfig):
        workers = rl.rollout_workers
        return Demand("rollout_workers", workers, rl.threads, workers + rl.learners, rl.gpu, "rl")
    return Demand("tasks", 1, 1, 1, 1.0, "train") if isinstance(config, EvaluateConfig) else None


def device_on(machines: Machines, stage: str, demand: Demand, wanted: str) -> Device:
    """The device that `stage` runs on if `execution.device` is `wanted`. Raises StageError, which names what is asked
    and what is there, for missing CPUs, and for missing GPUs if GPUs are wanted."""
    cpu_room, gpu_room = machines.room(demand)
    if cpu_room < demand.count:
        raise StageError(
            f"{stage}: {demand.count} {demand.processes} want {demand.cpus} CPUs each, and there is room for "
            f"{cpu_room}: {machines}",
            _fewer_cpus(demand, machines, cpu_room),
        )
    if wanted == "cuda" and gpu_room < demand.on_gpu:
        raise StageError(
            f"{stage}: execution.device = cuda: {demand.on_gpu} processes want {demand.gpu:g} GPU each, and there is "
            f"room for {gpu_room}: {machines}",
            _fewer_gpus(demand, sum(machines.gpus)),
        )
    return "cuda" if wanted != "cpu" and gpu_room >= demand.on_gpu else "cpu"


def device_for(stage: str, demand: Demand, execution: Execution) -> Device:
    """The device that `stage` runs on. Starts or joins Ray. Raises StageError as `device_on`."""
    ray_setup.ensure_ray(execution)
    deadline = time.monotonic() + (WAIT_SECONDS if ray_setup.has_joined() else 0)
    while True:
        try:
            return device_on(_machines(), stage, demand, execution.device)
        except StageError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(1)


def choose_device(ctx: StageContext, config: Config) -> Device:
    """The device of a stage with a demand, as `device_for`. Says so if there are GPUs that it leaves idle."""
    demand = demand_of(config, ctx.execution)
    assert demand is not None
    device = device_for(ctx.stage, demand, ctx.execution)
    gpus = sum(_machines().gpus)
    if device == "cpu" and ctx.execution.device == "auto" and gpus:
        told = f"{ctx.stage} runs on CPUs: {demand.on_gpu} processes want {demand.gpu:g} GPU each, and there are {gpus}"
        ctx.reporter.message(told, _fewer_gpus(demand, gpus))
    return device


def _fewer_cpus(demand: Demand, machines: Machines, room: int) -> Change:
    """The change after which the CPUs of each machine are enough."""
    if room:
        return Change(f"execution.{demand.section}.{demand.processes}", room)
    return Change(f"execution.{demand.section}.threads", max(1, *machines.cpus))


def _fewer_gpus(demand: Demand, gpus: int) -> Change:
    """The change after which `gpus` GPUs are enough."""
    if not gpus:
        return Change("execution.device", "cpu")
    if demand.on_gpu - demand.count > 1:
        return Change("execution.rl.learners", 1)
    if demand.section == "rl":
        return Change("execution.rl.gpu_share", int(100 / -(-demand.on_gpu // gpus)) / 100)
    return Change("execution.train.workers", gpus)


def _machines() -> Machines:
    """What the machines of the cluster have. A cluster that grows by itself counts as one machine of its full size."""
    import ray
    from ray._private.state import state

    full = state.get_max_resources_from_cluster_config()  # None if it does not grow
    nodes = [full] if full else [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Machines(*(tuple(int(node.get(kind, 0)) for node in nodes) for kind in ("CPU", "GPU")))
