"""Run a stage's tasks on Ray, a few at a time, stop when the user asks, and word failures for the user.

Ray is imported only when it is needed, after `ensure_ray` has set what Ray reads on import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobs.stage.context import Interrupted, StageContext, StageError
from jobs.stage.ray_setup import ensure_ray
from tokenization.files.integrity import DamagedFile
from tokenization.files.storage import NO_SPACE

if TYPE_CHECKING:
    from ray.exceptions import RayError

Call = tuple[int, Sequence[Any]]  # the call's number and its own arguments

POLL_SECONDS = 0.5
RETRIES = 2  # for a task whose worker died


def run_tasks(
    ctx: StageContext,
    function: Callable[..., Any],
    calls: Iterable[Call],
    what: str,
    *,
    at_once: int,
    gpus: int = 0,
    shared: Sequence[Any] = (),
) -> Iterator[tuple[int, Any]]:
    """Yield the number and result of `function(*arguments, *shared)` for each of `calls`, in the order they finish.

    At most `at_once` calls run at a time, each with `gpus` GPUs of its own, and each is taken from `calls` just before
    it starts. `shared` is sent to the
    workers once. Raises Interrupted if the user asked to stop, and StageError if a task fails; `what` tells the user
    what the tasks make.
    """
    ensure_ray(ctx.execution)
    import ray

    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(function)
    sent = [ray.put(one) for one in shared]
    due = iter(calls)
    running: dict[Any, int] = {}
    done = 0
    try:
        while True:
            while len(running) < at_once and (call := next(due, None)):
                running[remote.remote(*call[1], *sent)] = call[0]
            if not running:
                return
            finished, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in finished:
                number = running.pop(reference)
                done += 1
                yield number, _result(ctx, reference, what)
            if ctx.should_stop():
                raise Interrupted(f"stopped after {done} steps")
    finally:  # calls are still running only after a failure or a stop
        for reference in running:
            ray.cancel(reference, force=True)


def _result(ctx: StageContext, reference: Any, what: str) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayError as error:
        if ctx.should_stop() and not isinstance(error, RayTaskError):  # Ctrl-C reaches the workers too
            raise Interrupted(f"a worker that made {what} was stopped") from error
        raise failure(error, what, ctx.output_uri) from error


def failure(error: RayError, what: str, uri: str) -> StageError:
    """The StageError for a task that failed while it made `what` at `uri`."""
    from ray.exceptions import RayTaskError

    if not isinstance(error, RayTaskError):
        return StageError(f"a worker that made {what} at {uri} died again and again: {error}")
    return error.cause if isinstance(error.cause, StageError) else StageError(told(error.cause, what, uri))


def told(cause: BaseException, what: str, uri: str) -> str:
    """The user's message for `cause`, which a task raised while it made `what` at `uri`."""
    if isinstance(cause, OSError) and cause.errno in NO_SPACE:
        return (
            f"no space is left for {what} at {uri}: {cause}; finished files are kept, half-written ones do not count: "
            "make room and run the same command again"
        )
    if isinstance(cause, DamagedFile):
        return str(cause)
    return f"a task that made {what} at {uri} failed: {type(cause).__name__}: {cause}"
