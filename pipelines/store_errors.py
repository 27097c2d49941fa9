"""What can be wrong with a store, with an attempt in it, and with the records of an attempt."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from jobs.stage.context import Discard, StageError
from pipelines.guard.addresses import masked_address

if TYPE_CHECKING:
    from pipelines.artifacts import ArtifactStore, Attempt


LOOK_AT_DISK: Final = "look at the disk, or at the server that it belongs to, then run the same command again"


class RecordUnreadable(StageError):
    """This code cannot use a record of an attempt."""


class RecordDamaged(RecordUnreadable):
    """A record is not what was written, or lacks a part that this code needs. The remedy discards the attempt."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, name: str, reason: str) -> None:
        message = f"{masked_address(store.uri(attempt))}/{name} is damaged: {reason}"
        super().__init__(message, Discard(attempt.stage, attempt.artifact_id))


class OtherSchema(RecordUnreadable):
    """Another version of this code wrote the manifest, in another form. The remedy discards the attempt."""

    def __init__(self, attempt: Attempt, schema: object, ours: int) -> None:
        super().__init__(
            f"{attempt.stage} {attempt.artifact_id} was written by another version of this code (store schema {schema},"
            f" this one reads {ours}): discard it, or name a new store by RXT_STORE",
            Discard(attempt.stage, attempt.artifact_id),
        )


class AttemptClosed(RecordUnreadable):
    """The folder of an attempt on a disk, or a file in it, may not be read by this user, or the disk fails. It may be
    good, so the remedy, a text, deletes nothing."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, error: OSError) -> None:
        chmod = shlex.join(["chmod", "-R", "u+rwX", store.uri(attempt)])
        self.way_out = chmod if isinstance(error, PermissionError) else LOOK_AT_DISK
        message = f"{masked_address(store.uri(attempt))} cannot be read: {error.strerror or error}"
        super().__init__(message, self.way_out)


class StoreError(StageError):
    """The store cannot be used: it is full, read-only, gone, unknown, or asks for credentials."""
