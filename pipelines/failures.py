"""Describes why a stage failed: finds the root cause below what Ray wraps around it, and records it."""

from __future__ import annotations

import time
import traceback
from typing import Any

from jobs.stage.context import Look, Rerun, StageError
from jobs.stage.ray_setup import RayUnavailable
from pipelines.guard.secrets import redacted
from pipelines.invocation import Invocation
from tokenization.files.storage import MAKE_ROOM, NO_SPACE

OUR_PACKAGES = ("rxt_model", "tokenization", "jobs", "pipelines")
LOSSES = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "ObjectLostError")


def failure_record(
    error: BaseException, stage: str, step: int | None, workers: int, invocation: Invocation
) -> dict[str, Any]:
    """The content of failure.json (`FailureForm`).

    A remedy that says `look at all stages` becomes `look at this stage`: the table of all stages would tell nothing
    new.
    """
    cause, rank, ranks = root_cause(error)
    remedy = cause.remedy if isinstance(cause, StageError) else ""
    if isinstance(cause, OSError) and cause.errno in NO_SPACE:
        remedy = MAKE_ROOM
    if remedy == Look():
        remedy = Look(stage)
    return {
        "stage": stage,
        "rank": rank,
        "failed_ranks": ranks,
        "workers": workers,
        "step": step,
        "type": type(cause).__name__,
        "message": redacted(str(cause)),
        "next_command": invocation.next(remedy, stage),
        "repeats": not isinstance(remedy, str),  # what a text asks for lies outside: done, the attempt can go on
        "rerun": remedy.stage if isinstance(remedy, Rerun) else None,
        "traceback": redacted("".join(traceback.format_exception(error))),
        "time": time.time(),
    }


def root_cause(error: BaseException) -> tuple[BaseException, int | None, list[int]]:
    """The innermost exception, its rank, and all ranks that failed. An exception of this project counts as innermost,
    since its message is written for the user.

    Ray Train keeps the exceptions of workers by rank (`worker_failures`), Ray tasks keep theirs as `cause`, Python as
    `__cause__`. Often one rank fails and the others report that it is gone. So a rank whose exception does not blame a
    peer comes first, then the lowest rank.
    """
    rank, ranks = None, []
    while True:
        workers = getattr(error, "worker_failures", None)
        if workers:
            ranks = sorted(workers)
            rank = min(ranks, key=lambda r: (_blames_a_peer(workers[r]), r))
            inner = workers[rank]
        else:
            below = None if _package(error) in OUR_PACKAGES else error.__cause__
            inner = getattr(error, "cause", None) or below
        if not isinstance(inner, BaseException) or inner is error:
            return error, rank, ranks
        error = inner


def is_loss_of_ray(error: BaseException) -> bool:
    """Whether Ray, or one of its processes, is gone. Then the stage itself did nothing wrong."""
    cause, _, _ = root_cause(error)
    return _package(cause) == "ray" or isinstance(cause, RayUnavailable) or _blames_a_peer(cause)


def is_loss_of_process(error: BaseException) -> bool:
    """Whether Ray lost an actor, a worker or a machine, in the words of Ray itself. Workers of a training, which Ray
    Train has started again before it gives up, have other errors; so has an actor that could not begin."""
    return (
        _package(error) == "ray"
        and any(kind.__name__ in LOSSES for kind in type(error).__mro__)
        and not getattr(error, "actor_init_failed", False)
    )


def headline(stage: str, failure: dict[str, Any]) -> str:
    """`smat failed on rank 1 of 2 at step 340`."""
    rank = "" if failure["rank"] is None else f" on rank {failure['rank']} of {failure['workers']}"
    step = "" if failure["step"] is None else f" at step {failure['step']}"
    return f"{stage} failed{rank}{step}"


def summary(failure: dict[str, Any]) -> str:
    """The message. The type of the exception stands before it if the message was not written for the user."""
    message = failure["message"].strip()
    return message if failure["type"] == StageError.__name__ else f"{failure['type']}: {message}"


def _package(error: BaseException) -> str:
    """The top package of the exception's class. Ray makes classes of its own for exceptions of tasks."""
    return type(error).__module__.partition(".")[0]


def _blames_a_peer(error: BaseException) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("connection closed by peer", "connection reset", "gloo", "nccl"))
