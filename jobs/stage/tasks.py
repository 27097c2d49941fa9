"""Many Ray tasks, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.stage.context import Interrupted, StageContext
from jobs.stage.task_errors import task_failure


def run_tasks(ctx: StageContext, calls: Iterator[tuple[int, Any]], what: str) -> Iterator[tuple[int, Any]]:
    """Results by number as they come; at most `execution.data.parallelism` calls at once, each made when it is due.
    Raises Interrupted, and StageError for what goes wrong in a task that makes `what`."""
    import ray

    running: dict[Any, int] = {}
    done = 0
    try:
        while True:
            while len(running) < ctx.execution.data.parallelism and (call := next(calls, None)):
                running[call[1]] = call[0]
            if not running:
                return
            finished, _ = ray.wait(list(running), timeout=0.5)
            for reference in finished:
                number = running.pop(reference)
                done += 1
                yield number, _result(ctx, reference, what)
            if ctx.should_stop():
                raise Interrupted(f"stopped after {done} steps")
    finally:  # there are some only where one failed or a stop was asked for
        for reference in running:
            ray.cancel(reference, force=True)


def _result(ctx: StageContext, reference: Any, what: str) -> Any:
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(reference)
    except RayError as error:
        raise task_failure(error, what, ctx.output_uri) from error
