"""What `run` and `stage rerun` do: run targets, show where the stages stand, and tell the user's command about it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from pipelines.commands import plan
from pipelines.guard.terminal import patient, say

if TYPE_CHECKING:
    from pipelines.session import Session

FAILED, REFUSED = 1, 2


def execute(session: Session, targets: list, fresh: list[str] | tuple[()], as_json: bool, wait: bool = True) -> int:
    """Runs the targets, and tells the command of the user how that ended."""
    from jobs.stage.context import StageError
    from pipelines.notify import notify

    began = time.monotonic()
    try:
        code, lost_ray = _run(session, targets, fresh, as_json, wait)
    except Exception as error:  # whatever it is, it is told, and goes on
        notify(session, REFUSED if isinstance(error, StageError) else FAILED, time.monotonic() - began, str(error))
        raise
    notify(session, code, time.monotonic() - began)
    if lost_ray:
        sys.stdout.flush()
        os._exit(code)
    return code


def _run(session: Session, targets: list, fresh: list[str] | tuple[()], as_json: bool, wait: bool) -> tuple[int, bool]:
    """Returns the exit code, and whether Ray was lost, for which the end of the process must not wait."""
    from pipelines import views
    from pipelines.display import Board, console_on
    from pipelines.runner import Runner
    from pipelines.tracking import Tracking

    tracking = Tracking(session.tracking_uri, session.invocation.preset)
    progress = sys.stderr if as_json else sys.stdout  # of libraries, too: Ray prints what its cluster reports
    with patient(progress), contextlib.redirect_stdout(progress), Board(console_on(progress)) as board:
        board.line(session.header)
        runner = Runner(session.stages, session.store, session.config.execution, tracking, board, session.invocation)
        code = runner.run(targets, fresh, wait)
        statuses = session.plan()
        if not as_json:
            board.close()
            views.table(session, statuses, header=False)
    if as_json:
        print_json({**session.as_object(statuses), "exit_code": code})
    return code, runner.lost_ray


def show_dry_run(session: Session, names: list[str], as_json: bool) -> int:
    """Shows what would run, and the whole config."""
    from pipelines import views
    from pipelines.fingerprint import plain

    statuses = {name: status for name, status in session.plan().items() if name in names}
    planned = plan.short_form(session)
    if as_json:
        print_json({**session.as_object(statuses), "config": plain(session.config), "plan": planned})
    else:
        views.config(session)
        say(planned)
        views.table(session, statuses)
    return 0


def print_json(value: dict[str, Any]) -> None:
    """Print an object as `--json` does."""
    print(json.dumps(value, indent=2))
