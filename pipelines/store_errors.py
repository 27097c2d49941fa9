"""What can be wrong with a store, with an attempt in it, and with the records of an attempt."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from jobs.stage.context import Discard, StageError
from pipelines.guard.addresses import masked_address

if TYPE_CHECKING:
    from pipelines.artifacts import ArtifactStore, Attempt


class RecordUnreadable(StageError):
    """This code cannot use a record of an attempt. The remedy discards the attempt."""

    def __init__(self, attempt: Attempt, message: str) -> None:
        super().__init__(message, Discard(attempt.stage, attempt.artifact_id))


class RecordDamaged(RecordUnreadable):
    """A record is not what was written, or lacks a part that this code needs."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, name: str, reason: str) -> None:
        super().__init__(attempt, f"{masked_address(store.uri(attempt))}/{name} is damaged: {reason}")


class OtherSchema(RecordUnreadable):
    """Another version of this code wrote the manifest, in another form."""

    def __init__(self, attempt: Attempt, schema: object, ours: int) -> None:
        super().__init__(
            attempt,
            f"{attempt.stage} {attempt.artifact_id} was written by another version of this code (store schema {schema},"
            f" this one reads {ours}): discard it, or name a new store by RXT_STORE",
        )


class AttemptClosed(RecordUnreadable):
    """The folder of an attempt, or a record in it, may not be read by this user, or its disk fails."""

    def __init__(self, store: ArtifactStore, attempt: Attempt, error: OSError) -> None:
        super().__init__(attempt, f"{masked_address(store.uri(attempt))} cannot be read: {error.strerror or error}")
        if store.is_local and isinstance(error, PermissionError):
            self.remedy = shlex.join(["chmod", "-R", "u+rwX", store.uri(attempt)])


class StoreError(StageError):
    """The store cannot be used: it is full, read-only, gone, unknown, or asks for credentials."""
