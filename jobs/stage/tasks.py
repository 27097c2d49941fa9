"""Parallel Ray tasks of a stage: a few at a time, heeding the wish to stop, with failures in words for the user.

Ray itself is imported when it is needed, after `ensure_ray` has set what Ray reads on import.
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

Call = tuple[int, Sequence[Any]]  # its number, and the arguments that are its own

POLL_SECONDS = 0.5
RETRIES = 2  # of a task whose worker died


def run_tasks(
    ctx: StageContext,
    function: Callable[..., Any],
    calls: Iterable[Call],
    what: str,
    *,
    at_once: int,
    shared: Sequence[Any] = (),
) -> Iterator[tuple[int, Any]]:
    """The results of `function(*arguments, *shared)` for each of `calls`, by their numbers, as they come.

    At most `at_once` calls run at a time, and each is taken from `calls` when it is due. `shared` is sent to the
    workers once. Raises Interrupted, the StageError of a task, and StageError for whatever else goes wrong in a task
    that makes `what`.
    """
    ensure_ray(ctx.execution)
    import ray

    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(function)
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
    finally:  # there are some only where one failed or a stop was asked for
        for reference in running:
            ray.cancel(reference, force=True)


def _result(ctx: StageContext, reference: Any, what: str) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayError as error:
        if ctx.should_stop() and not isinstance(error, RayTaskError):  # one signal goes to a whole group of processes
            raise Interrupted(f"a worker that made {what} was stopped") from error
        raise failure(error, what, ctx.output_uri) from error


def failure(error: RayError, what: str, uri: str) -> StageError:
    """The failure of a task that was making `what` at `uri`."""
    from ray.exceptions import RayTaskError

    if not isinstance(error, RayTaskError):
        return StageError(f"a worker that made {what} at {uri} died again and again: {error}")
    return error.cause if isinstance(error.cause, StageError) else StageError(told(error.cause, what, uri))


def told(cause: BaseException, what: str, uri: str) -> str:
    """What a task that was making `what` at `uri` raised, in words for the user."""
    if isinstance(cause, OSError) and cause.errno in NO_SPACE:
        return (
            f"no space is left for {what} at {uri}: {cause}; what is finished is kept, nothing half-written counts: "
            "make room and run the same command again"
        )
    if isinstance(cause, DamagedFile):
        return str(cause)
    return f"a task that made {what} at {uri} failed: {type(cause).__name__}: {cause}"
