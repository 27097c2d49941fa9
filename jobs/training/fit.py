"""Run one training stage as one Ray Train run, whose workers run the loop in `jobs.training.loop`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from jobs.configs.execution import TrainExecution
from jobs.configs.training import StageConfig
from jobs.stage.background import in_background
from jobs.stage.context import Change, Interrupted, StageContext, StageError
from jobs.stage.resources import choose_device
from jobs.training.checkpoints import keep_newest, resume_point
from jobs.training.monitor import start_monitor
from jobs.training.recipe import Recipe, check

POLL_SECONDS = 0.25

# Ray Train reads these variables here and passes them on to its processes. Each saves a process per fit.
TRAIN_SETTINGS = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def work(settings: dict[str, Any]) -> None:
    """Run `run_stage` with the keyword arguments in `settings`. Ray Train calls this on every worker.

    The settings are a plain dict because Ray's controller unpickles them too. For a class of the module of `run_stage`,
    the controller would have to import everything that this module imports; and the driver need not either.
    """
    from jobs.training.worker import run_stage

    run_stage(**settings)


def fit(ctx: StageContext, config: StageConfig, recipe: Callable[..., Recipe]) -> dict[str, float | str]:
    """Train to `config.steps` from the newest checkpoint of this attempt on. Every worker calls `recipe`, a function at
    the top level of its module, for its share of the batches.

    Returns the stage's metrics. Raises Interrupted once a stop has been checkpointed, StageError for unusable inputs
    and for a loss or gradient that is not finite, and Ray Train's errors, with the workers' exceptions in
    `worker_failures`.
    """
    execution = ctx.execution.train
    check(ctx.inputs)
    _check_execution(ctx.stage, config, execution)
    point = resume_point(ctx.output_uri)
    if point.begun and not point.step:
        ctx.reporter.message("resumed at step 0: the stage was stopped before its first checkpoint")

    for name, value in TRAIN_SETTINGS.items():
        os.environ.setdefault(name, value)
    device = choose_device(ctx, config)
    if ctx.should_stop():
        raise Interrupted(f"{ctx.stage} stopped before it went on from step {point.step}")
    began = time.perf_counter()
    monitor = start_monitor()
    parent, name = f"{ctx.output_uri}/{point.run_folder}".rstrip("/").rsplit("/", 1)
    trainer = TorchTrainer(
        work,
        train_loop_config=dict(
            stage=ctx.stage,
            recipe=f"{recipe.__module__}:{recipe.__name__}",
            config=config,
            execution=execution,
            device=device,
            inputs=ctx.inputs,
            output_uri=ctx.output_uri,
            run_folder=point.run_folder,
            monitor=monitor,
        ),
        scaling_config=ScalingConfig(
            num_workers=execution.workers,
            use_gpu=device == "cuda",
            resources_per_worker={"CPU": execution.threads} | ({"GPU": 1} if device == "cuda" else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=parent,
            failure_config=FailureConfig(max_failures=execution.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=execution.keep_checkpoints),
        ),
    )
    running = in_background(trainer.fit, "ray-train-fit")
    outcome, finished = {}, False
    try:
        while not finished:
            finished = bool(wait([running], timeout=POLL_SECONDS).done)
            for kind, *arguments in _reported(monitor, ctx.should_stop()):
                if kind == "outcome":
                    (outcome,) = arguments
                else:
                    getattr(ctx.reporter, kind)(*arguments)
    finally:
        ray.kill(monitor)
    seconds = time.perf_counter() - began
    running.result()
    return _conclude(ctx, outcome, seconds)


def _reported(monitor: ActorHandle, should_stop: bool) -> list[tuple]:
    """What the workers reported. Raises RuntimeError if the monitor was lost: workers that nobody hears may still
    train, and the stage must not begin again beside them."""
    try:
        return ray.get(monitor.drain.remote(should_stop))
    except RayError as error:
        raise RuntimeError(f"the process that hears the workers was lost: {error}") from error


def _check_execution(stage: str, config: StageConfig, execution: TrainExecution) -> None:
    rows, workers, parts = config.smallest_batch, execution.workers, execution.micro_batches
    if rows < workers:
        raise StageError(
            f"{stage}: a batch of {rows} rows has no row for some of {workers} workers",
            Change("execution.train.workers", rows),
        )
    if rows < workers * parts:
        raise StageError(
            f"{stage}: a batch of {rows} rows has no row for some of {parts} micro-batches of {workers} workers",
            Change("execution.train.micro_batches", rows // workers),
        )


def _conclude(ctx: StageContext, outcome: dict, seconds: float) -> dict:
    if outcome["state"] == "failed":
        raise StageError(f"{ctx.stage}: {outcome['reason']}", outcome["remedy"])
    if outcome["state"] == "interrupted":
        raise Interrupted(f"{ctx.stage} stopped after step {outcome['step']}; its checkpoint is saved")
    keep_newest(ctx.output_uri)
    share = outcome["seconds"] / seconds
    ctx.reporter.message(f"{share:.0%} of {seconds:.0f} s were spent in steps")
    values = outcome["values"]
    metrics = {name: value for name, value in values.items() if name.endswith(("loss", "accuracy"))}
    metrics |= {"steps": outcome["step"], "step_share": share}
    metrics |= {"seconds_in_steps": outcome["seconds"], "seconds_in_fit": seconds}
    if outcome["seconds"]:
        metrics["tokens_per_second"] = outcome["tokens"] / outcome["seconds"]
    loss = values["eval/loss"] if "eval/loss" in values else values.get("train/loss")
    if loss is not None:
        metrics["result"] = f"loss {loss:.2f}"
    return metrics
