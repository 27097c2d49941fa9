"""What goes wrong with a tracking store."""

from __future__ import annotations

from jobs.stage.context import StageError


class TrackingError(StageError):
    """The tracking store cannot be used, and nothing was started."""


class TrackingUnavailable(TrackingError):
    """The tracking store failed during a run. The run goes on; the caller keeps what was not logged."""
