"""`rxt verify`: whether the files of complete attempts are those that were written, by their digests."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.artifacts import ArtifactStore, Attempt, RecordUnreadable, StoreError


@dataclass(frozen=True)
class Verified:
    """`damage` says what is wrong with a complete attempt, and is empty if nothing is. `size` is in bytes."""

    attempt: Attempt
    files: int
    size: int
    damage: str


def verify(store: ArtifactStore, attempt: Attempt) -> Verified | None:
    """Reads every file of a complete attempt. None if the attempt is not complete. Raises StoreError if the store
    itself cannot be read."""
    try:
        manifest = store.manifest(attempt)
        if manifest is None:
            return None
        recorded, found = manifest["outputs"], store.outputs(attempt)
    except RecordUnreadable as error:
        return Verified(attempt, 0, 0, str(error))
    except StoreError as error:
        store.check_readable()  # else the store is away, and every other attempt with it
        return Verified(attempt, 0, 0, f"cannot be read: {error.__cause__}")
    missing = sorted(recorded.keys() - found.keys())
    changed = sorted(name for name in recorded.keys() & found.keys() if recorded[name] != found[name])
    added = sorted(found.keys() - recorded.keys())
    kinds = (("missing", missing), ("changed", changed), ("not of this artifact", added))
    damage = "; ".join(f"{kind}: {_few(names)}" for kind, names in kinds if names)
    return Verified(attempt, len(recorded), sum(entry["size"] for entry in recorded.values()), damage)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
