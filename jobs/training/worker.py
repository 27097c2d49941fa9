"""Each worker of a Ray Train run builds the model, restores a checkpoint, trains, and writes the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from ray.actor import ActorHandle
from ray.train import Checkpoint, CheckpointUploadMode
from safetensors.torch import save

from jobs.configs.execution import TrainExecution
from jobs.configs.training import StageConfig
from jobs.stage.context import Change
from jobs.stage.model_folder import upload
from jobs.stage.resources import Device
from jobs.training.batching.batches import Batch
from jobs.training.checkpoints import Checkpointer, step_folder
from jobs.training.loop import Cadence, LoopResult, NotFinite, train
from jobs.training.monitor import Channel
from jobs.training.objectives.collapse import ALARM, RANK, alarm_of
from jobs.training.rank import prepare
from jobs.training.recipe import Inputs
from rxt_model.config import ConfigError
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import TokenModel
from tokenization.files import storage

NOT_FINITE = "not-finite"  # the folder of batches that no step could be taken with


def run_stage(
    *,
    stage: str,
    recipe: str,
    config: StageConfig,
    execution: TrainExecution,
    device: Device,
    inputs: Inputs,
    output_uri: str,
    run_folder: str,
    monitor: ActorHandle,
) -> None:
    """Train from the newest checkpoint in `output_uri` to the end and write `model/` there.

    `recipe` names the function that makes the stage's recipe, as `module:function`. `inputs` has the upstream results
    by name. `run_folder` is Ray's run folder, relative to `output_uri`. Rank 0 tells the monitor how the run ended.
    """
    rank = dist.get_rank()
    place = ray.train.torch.get_device() if device == "cuda" else torch.device("cpu")
    torch.set_num_threads(execution.threads)

    channel = Channel(monitor) if rank == 0 else None
    try:
        part = prepare(recipe, config, execution, inputs, place)
    except ConfigError as error:
        _fail(channel, str(error), Change("execution.train.expert_parallel", 1))
        return
    objective, optimizer = part.objective, part.optimizer
    checkpointer = Checkpointer(
        output_uri,
        run_folder,
        lambda: {"model": objective.state_dict(), "optimizer": optimizer.moments()},
        keep=execution.keep_checkpoints,
        rank=rank,
        register=_register,
        on_gpu=device == "cuda",
    )
    start = checkpointer.restore()
    if channel and start:
        channel.message(f"resumed at step {start}")

    def save_batch(step: int, batch: Batch) -> None:
        storage.write(f"{output_uri}/{NOT_FINITE}/{step_folder(step)}-rank-{rank}.safetensors", save(batch))

    try:
        result = train(
            objective,
            optimizer,
            part.batch_at,
            config,
            Cadence(execution.log_every_steps, execution.checkpoint_every_steps),
            start=start,
            save=checkpointer.save,
            log=_logger(channel, config.steps) if channel else lambda _step, _values: None,
            should_stop=channel.should_stop if channel else lambda: False,
            validation=part.validation,
            micro_batches=execution.micro_batches,
            tell=channel.message if channel else lambda _text: None,
            save_batch=save_batch,
        )
    except NotFinite as error:
        checkpointer.finish()
        reason = f"{error}; its batch is kept in {output_uri}/{NOT_FINITE}"
        _fail(channel, reason, Change(f"{stage}.optimizer.lr", config.optimizer.lr / 2))
        return
    if not result.interrupted:
        _hand_over(objective.model, f"{output_uri}/model")
    checkpointer.finish()
    if channel:
        channel.close(_summary(result))


def _fail(channel: Channel | None, reason: str, remedy: Change) -> None:
    """Tell the driver. The same would happen again, so all ranks return without an error and Ray does not retry."""
    if channel:
        channel.close({"state": "failed", "reason": reason, "remedy": remedy})


def _register(uri: str, step: int) -> None:
    """Tell Ray Train of a complete checkpoint. Ray copies nothing and removes older checkpoints."""
    ray.train.report(
        {"step": step},
        checkpoint=Checkpoint(uri),
        checkpoint_dir_name=step_folder(step),
        checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
    )


def _logger(channel: Channel, steps: int) -> Callable[[int, Mapping[str, float]], None]:
    collapsed = False

    def log(done: int, values: Mapping[str, float]) -> None:
        nonlocal collapsed
        channel.metrics(done, values)
        before, collapsed = collapsed, values.get(ALARM, collapsed) > 0
        if collapsed and not before:  # said once, not at every step that it lasts
            channel.message(f"step {done}: {alarm_of(values[RANK])}")
        if "train/loss" in values:
            note = f"loss {values['train/loss']:.3f}, {values['train/tokens_per_second']:,.0f} tokens/s"
            channel.progress(done, steps, note)

    return log


def _summary(result: LoopResult) -> dict:
    return {
        "state": "interrupted" if result.interrupted else "done",
        "step": result.step,
        "seconds": result.seconds,
        "tokens": result.tokens,
        "values": result.values,
    }


def _hand_over(model: TokenModel, uri: str) -> None:
    """Write the model folder at `uri`. All ranks share the work."""
    fs, path = fsspec.url_to_fs(uri)
    if "file" in fs.protocol:
        save_pretrained(model, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder)
        upload(Path(folder), uri)
