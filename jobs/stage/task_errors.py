"""What went wrong in a worker of Ray, in words for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.stage.context import StageError
from tokenization.files.integrity import DamagedFile
from tokenization.files.storage import NO_SPACE

if TYPE_CHECKING:
    from ray.exceptions import RayError


def task_failure(error: RayError, what: str, uri: str) -> StageError:
    """The failure of a task that was making `what` at `uri`."""
    from ray.exceptions import RayTaskError  # after `ensure_ray`, which sets what Ray reads on import

    if isinstance(error, RayTaskError):
        return StageError(told(error.cause, what, uri))
    return StageError(f"a worker that made {what} at {uri} died again and again: {error}")


def told(cause: BaseException, what: str, uri: str) -> str:
    """What a task that was making `what` at `uri` raised."""
    if isinstance(cause, OSError) and cause.errno in NO_SPACE:
        return (
            f"no space is left for {what} at {uri}: {cause}; what is finished is kept, nothing half-written counts: "
            "make room and run the same command again"
        )
    if isinstance(cause, DamagedFile):
        return str(cause)
    return f"a task that made {what} at {uri} failed: {type(cause).__name__}: {cause}"
