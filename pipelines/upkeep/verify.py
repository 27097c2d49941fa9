"""`rxt verify`: whether the files of complete attempts are those that were written, by their digests."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.artifacts import ArtifactStore, Attempt, AttemptClosed, RecordUnreadable, StoreError


@dataclass(frozen=True)
class Verified:
    """`damage` says what is wrong with a complete attempt, and is empty if nothing is. If it could not be read, it may
    be good, and `way_out` is what to do. `size` is in bytes."""

    attempt: Attempt
    files: int
    size: int
    damage: str
    way_out: str = ""


def verify(store: ArtifactStore, attempt: Attempt) -> Verified | None:
    """Reads every file of a complete attempt. None if the attempt is not complete. Raises StoreError if the store
    itself cannot be read."""
    try:
        manifest = store.manifest(attempt)
        if manifest is None:
            return None
        recorded, found = manifest["outputs"], store.outputs(attempt)
    except AttemptClosed as error:
        return Verified(attempt, 0, 0, str(error), error.way_out)
    except RecordUnreadable as error:
        return Verified(attempt, 0, 0, str(error))
    except StoreError as error:
        store.check_readable()  # else the store is away, and every other attempt with it
        cause = error.__cause__
        on_disk = store.is_local and isinstance(cause, OSError)
        way_out = AttemptClosed(store, attempt, cause).way_out if on_disk else str(error.remedy)
        return Verified(attempt, 0, 0, f"cannot be read: {cause}", way_out)
    missing = sorted(recorded.keys() - found.keys())
    changed = sorted(name for name in recorded.keys() & found.keys() if recorded[name] != found[name])
    added = sorted(found.keys() - recorded.keys())
    kinds = (("missing", missing), ("changed", changed), ("not of this artifact", added))
    damage = "; ".join(f"{kind}: {_few(names)}" for kind, names in kinds if names)
    return Verified(attempt, len(recorded), sum(entry["size"] for entry in recorded.values()), damage)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
