"""Checkpoints of a training stage: DCP folders written by all ranks, and our own record of the complete ones.

Ray Train keeps a snapshot of its own, but overwrites it in place and learns of a checkpoint only some time after it is
complete. So `checkpoints.json`, replaced atomically after each complete checkpoint, decides where a stage goes on;
Ray's snapshot only must not be damaged, because then its `fit` would refuse to start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import fsspec

from jobs.stage.context import Restart, StageError
from tokenization.files.storage import write_json

RECORD = "checkpoints.json"
SNAPSHOT = "checkpoint_manager_snapshot.json"
MARKER = ".validate_storage_marker"  # what Ray Train writes first
METADATA = ".metadata"  # the file that DCP writes last


@dataclass(frozen=True)
class Recorded:
    """A complete checkpoint: `step` optimizer steps are done; `folder` is relative to the artifact folder; `files`
    are its sizes in bytes."""

    step: int
    folder: str
    files: dict[str, int]


@dataclass(frozen=True)
class ResumePoint:
    """Where a fit starts: Ray's run folder, relative to the artifact folder ("" is the artifact folder itself), the
    steps that are done, and whether an earlier fit had begun."""

    run_folder: str
    step: int
    begun: bool


def step_folder(step: int) -> str:
    """The name of the folder that holds the checkpoint after so many steps."""
    return f"step-{step:08d}"


def recorded(output_uri: str) -> list[Recorded]:
    """The recorded checkpoints, oldest first; empty if there is no record. StageError if it cannot be read."""
    fs, root = fsspec.url_to_fs(output_uri)
    try:
        entries = json.loads(fs.cat_file(f"{root}/{RECORD}"))["checkpoints"]
        return [Recorded(**entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{output_uri}/{RECORD} is damaged: {error}", Restart()) from error


def complete(output_uri: str) -> Iterator[Recorded]:
    """The recorded checkpoints whose files are all there with their recorded sizes, newest first."""
    for entry in reversed(recorded(output_uri)):
        if _files(f"{output_uri}/{entry.folder}") == entry.files:
            yield entry


def resume_point(output_uri: str) -> ResumePoint:
    """On the driver, before each fit: from which step, and in which run folder.

    A run folder whose snapshot cannot be loaded, or names a folder that is gone, is left behind for a fresh one below
    the same attempt. StageError if checkpoints are recorded but none is whole: never step 0 in silence.
    """
    fs, root = fsspec.url_to_fs(output_uri)
    fs.invalidate_cache()
    used = [""]
    while fs.exists(f"{root}/ray-{len(used)}"):
        used.append(f"ray-{len(used)}")
    known = {folder: _snapshot(f"{output_uri}/{folder}".rstrip("/")) for folder in used}
    newest = next(complete(output_uri), None)
    lost = [entry.folder for entry in recorded(output_uri)] + [name for names in known.values() for name in names or ()]
    if newest is None and lost:
        raise StageError(
            f"{output_uri}: none of its checkpoints is recorded in {RECORD} and whole: {', '.join(lost)}",
            Restart(),
        )
    run_folder = used[-1] if known[used[-1]] is not None else f"ray-{len(used)}"
    return ResumePoint(run_folder, newest.step if newest else 0, fs.exists(f"{root}/{MARKER}"))


def keep_newest(output_uri: str) -> None:
    """After the last step: remove every checkpoint but the newest whole one. Ray's own record no longer holds then,
    and a fit that is repeated before the stage is committed starts in a fresh run folder."""
    fs, root = fsspec.url_to_fs(output_uri)
    newest = next(complete(output_uri))
    write_json(f"{output_uri}/{RECORD}", {"checkpoints": [asdict(newest)]})
    for path in fs.glob(f"{root}/step-*") + fs.glob(f"{root}/ray-*/step-*"):
        if path.rstrip("/") != f"{root}/{newest.folder}":
            fs.rm(path, recursive=True)


class Checkpointer:
    """Saves and restores one rank's part of a training state; every rank calls each method equally often.

    `state` gives the tensors that are saved and, on restoring, overwritten in place. `barrier` waits for all ranks.
    `register` hands a complete checkpoint (URI, step) to Ray Train, which removes older ones.
    """

    def __init__(
        self,
        output_uri: str,
        run_folder: str,
        state: Callable[[], dict],
        *,
        keep: int,
        rank: int,
        barrier: Callable[[], None],
        register: Callable[[str, int], None],
    ) -> None:
        self.output_uri, self.run_folder, self.state = output_uri, run_folder, state
        self.keep, self.rank, self.barrier, self.register = keep, rank, barrier, register

    def save(self, step: int) -> None:
        """Write the state after `step` optimizer steps; when this returns, it is complete and recorded."""
        import torch.distributed.checkpoint as dcp

        folder = f"{self.run_folder}/{step_folder(step)}".lstrip("/")
        uri = f"{self.output_uri}/{folder}"
        fs, path = fsspec.url_to_fs(uri)
        if self.rank == 0 and fs.exists(path):
            fs.rm(path, recursive=True)  # left by a run that was killed before it was complete
        self.barrier()
        dcp.save(self.state(), checkpoint_id=uri)
        if self.rank == 0:
            entry = Recorded(step, folder, _files(uri))
            entries = [old for old in recorded(self.output_uri) if old.step < step] + [entry]
            record = {"checkpoints": [asdict(e) for e in entries[-self.keep :]]}
            write_json(f"{self.output_uri}/{RECORD}", record)
        self.barrier()
        self.register(uri, step)

    def restore(self) -> int:
        """Read the newest whole checkpoint into the state; the number of steps that it has seen, 0 without one."""
        import torch.distributed.checkpoint as dcp

        unreadable = []
        for entry in complete(self.output_uri):
            try:
                dcp.load(self.state(), checkpoint_id=f"{self.output_uri}/{entry.folder}")
            except dcp.CheckpointException as error:  # raised on all ranks alike: all of them try the next older one
                unreadable.append(f"{entry.folder}: {error}")
                continue
            return entry.step
        if unreadable:
            raise StageError(f"no checkpoint of {self.output_uri} can be read: {'; '.join(unreadable)}", Restart())
        return 0


def _files(uri: str) -> dict[str, int]:
    """Sizes of the files of a checkpoint folder; empty if it is gone or was never finished."""
    fs, path = fsspec.url_to_fs(uri)
    fs.invalidate_cache()
    try:
        entries = fs.ls(path, detail=True)
    except FileNotFoundError:
        return {}
    sizes = {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["size"] for entry in entries}
    return sizes if METADATA in sizes else {}


def _snapshot(uri: str) -> list[str] | None:
    """The checkpoint folders that Ray Train's snapshot in a run folder lists; None if Ray could not load it."""
    fs, root = fsspec.url_to_fs(uri)
    try:
        snapshot = json.loads(fs.cat_file(f"{root}/{SNAPSHOT}"))
        listed = [result["checkpoint_dir_name"] for result in snapshot["checkpoint_results"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        return None
    return listed if all(fs.exists(f"{root}/{name}") for name in listed) else None
