"""`rxt plan`: what training a preset on GPUs takes, before anything is rented."""

from __future__ import annotations

import difflib
import json
import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.arguments import ConfigFile, Json, Preset, Sets

if TYPE_CHECKING:
    from pipelines.invocation import Invocation
    from pipelines.session import Session
    from rxt_model.estimate.gpus import Gpu

DEFAULT_GPU = "h100-80gb"
SHOWN = 8  # layouts


def plan(
    preset: Preset = "tiny",
    gpus: Annotated[int | None, typer.Option("--gpus", metavar="N", min=1, help="As the preset has.")] = None,
    gpu: Annotated[str, typer.Option("--gpu", metavar="NAME", help="The kind of GPU.")] = DEFAULT_GPU,
    price: Annotated[
        float | None, typer.Option("--price", metavar="X", min=0.0, help="Of one GPU for an hour, in any currency.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
) -> None:
    """What training on GPUs takes: bytes, layouts, time, cost. Predicted by arithmetic; nothing is started."""
    from pipelines.session import Session

    if price is not None and not math.isfinite(price):
        raise typer.BadParameter(f"--price {price}: expected a number")
    session = Session.open(preset, config, sets or [])
    found = _gpu(gpu, session.invocation)
    from pipelines.estimate.report import make_report  # builds on torch

    report = make_report(session, found, gpus or _asked(session))
    if as_json:
        print(json.dumps(session.identity | report.as_object(price), indent=2))
        return
    report.print(sys.stdout, price, SHOWN)


def short_form(session: Session) -> str:
    """One line for `rxt run --dry-run`: what the configuration takes on the GPUs that it asks for."""
    from jobs.stage.context import StageError

    if session.config.execution.device != "cuda":
        return f"asks for no GPUs; what one would take: {session.invocation.plan('--gpus', '1')}"
    from pipelines.estimate.report import make_report
    from rxt_model.estimate.gpus import GPUS

    try:
        return make_report(session, GPUS[DEFAULT_GPU], _asked(session)).summary()
    except StageError as error:
        return f"{error}; more: {session.invocation.plan()}"


def _asked(session: Session) -> int:
    """The GPUs that the configuration asks for, or one."""
    execution = session.config.execution
    return execution.train.workers if execution.device == "cuda" else 1


def _gpu(name: str, invocation: Invocation) -> Gpu:
    from jobs.stage.context import StageError
    from rxt_model.estimate.gpus import GPUS

    if name not in GPUS:
        near = difflib.get_close_matches(name, GPUS, 1, cutoff=0.3)
        raise StageError(
            f"--gpu {name}: unknown GPU; there are: {', '.join(GPUS)}",
            invocation.plan("--gpu", near[0] if near else DEFAULT_GPU),
        )
    return GPUS[name]
