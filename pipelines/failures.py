"""What went wrong in a stage: the root cause below what Ray wraps around it, as a record that outlives the process."""

from __future__ import annotations

import time
import traceback
from typing import Any

from jobs.stage.context import Look, Rerun, StageError
from pipelines.invocation import Invocation

OUR_PACKAGES = ("rxt_model", "tokenization", "jobs", "pipelines")
KEYS = (
    "stage", "rank", "failed_ranks", "workers", "step", "type", "message", "next_command", "repeats", "rerun",
    "traceback", "time",
)  # fmt: skip


def failure_record(
    error: BaseException, stage: str, step: int | None, workers: int, invocation: Invocation
) -> dict[str, Any]:
    """The content of failure.json (`KEYS`). `rank`, of so many `workers`, is None where the failure has none; `repeats`
    is true where the attempt would fail again as it is; `rerun` is the stage that has to be made again before, if any.

    A stage whose remedy is a look at everything is shown itself: that all others stand well is no news.
    """
    cause, rank, ranks = root_cause(error)
    remedy = cause.remedy if isinstance(cause, StageError) else ""
    if remedy == Look():
        remedy = Look(stage)
    return {
        "stage": stage,
        "rank": rank,
        "failed_ranks": ranks,
        "workers": workers,
        "step": step,
        "type": type(cause).__name__,
        "message": str(cause),
        "next_command": invocation.next(remedy, stage),
        "repeats": not isinstance(remedy, str),  # what a text asks for lies outside: done, the attempt can go on
        "rerun": remedy.stage if isinstance(remedy, Rerun) else None,
        "traceback": "".join(traceback.format_exception(error)),
        "time": time.time(),
    }


def root_cause(error: BaseException) -> tuple[BaseException, int | None, list[int]]:
    """The innermost exception, or the one of this project above it, whose message is made to be read; the lowest rank
    it happened on, and all ranks that failed.

    Ray Train keeps the workers' exceptions by rank (`worker_failures`), Ray tasks theirs as `cause`, Python as
    `__cause__`. The lowest rank is not always the first to fail, but the others often only say that it is gone: so a
    rank whose exception is not about its peers comes first.
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
    """Ray, or a process of it, is gone; nothing that the stage itself did wrong."""
    cause, _, _ = root_cause(error)
    return _package(cause) == "ray" or _blames_a_peer(cause)


def headline(stage: str, failure: dict[str, Any]) -> str:
    """`smat failed on rank 1 of 2 at step 340`."""
    rank = "" if failure["rank"] is None else f" on rank {failure['rank']} of {failure['workers']}"
    step = "" if failure["step"] is None else f" at step {failure['step']}"
    return f"{stage} failed{rank}{step}"


def summary(failure: dict[str, Any]) -> str:
    """The message, with the exception's type where it was not written for the user."""
    message = failure["message"].strip()
    return message if failure["type"] == StageError.__name__ else f"{failure['type']}: {message}"


def _package(error: BaseException) -> str:
    """The top package of its class. What Ray makes of a task's exception is a class of Ray."""
    return type(error).__module__.partition(".")[0]


def _blames_a_peer(error: BaseException) -> bool:
    text = str(error).lower()
    return any(word in text for word in ("connection closed by peer", "connection reset", "gloo", "nccl"))
