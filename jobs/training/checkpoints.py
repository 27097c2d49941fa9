"""Save a training stage's checkpoints as DCP folders that all ranks write while they train on, and record the complete
ones.

Ray Train keeps a snapshot of its own, but overwrites it in place and learns of a checkpoint only some time after it is
complete. So `checkpoints.json`, which is replaced atomically after each complete checkpoint, decides where a stage goes
on. Ray's snapshot only has to be undamaged, because otherwise `fit` refuses to start.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, cast

import fsspec

from jobs.stage.background import in_background
from jobs.stage.context import Restart, StageError
from tokenization.files.storage import MAKE_ROOM, NO_SPACE, write_json

RECORD = "checkpoints.json"
SNAPSHOT = "checkpoint_manager_snapshot.json"
MARKER = ".validate_storage_marker"  # the file that Ray Train writes first
METADATA = ".metadata"  # the file that DCP writes last


@dataclass(frozen=True)
class Recorded:
    """A complete checkpoint after `step` optimizer steps. `folder` is relative to the artifact folder; `files` gives
    the size of each file in bytes."""

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
    """The name of the checkpoint folder after `step` optimizer steps."""
    return f"step-{step:08d}"


def recorded(output_uri: str) -> list[Recorded]:
    """The recorded checkpoints, oldest first; empty if there is no record. Raises StageError for a damaged record."""
    fs, root = fsspec.url_to_fs(output_uri)
    try:
        entries = json.loads(fs.cat_file(f"{root}/{RECORD}"))["checkpoints"]
        return [Recorded(**entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{output_uri}/{RECORD} is damaged: {error}", Restart()) from error


def complete(output_uri: str) -> Iterator[Recorded]:
    """Yield the recorded checkpoints whose files all have their recorded sizes, newest first."""
    for entry in reversed(recorded(output_uri)):
        if _files(f"{output_uri}/{entry.folder}") == entry.files:
            yield entry


def resume_point(output_uri: str) -> ResumePoint:
    """Find the step and the run folder in which the next fit starts. The driver calls this before each fit.

    If Ray's snapshot in the last run folder cannot be loaded, or names a folder that is gone, the fit gets a new run
    folder. Raises StageError if there are checkpoints but none is recorded and whole, instead of starting at step 0.
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
            f"{output_uri}: no checkpoint is both recorded in {RECORD} and whole; found {', '.join(lost)}",
            Restart(),
        )
    run_folder = used[-1] if known[used[-1]] is not None else f"ray-{len(used)}"
    return ResumePoint(run_folder, newest.step if newest else 0, fs.exists(f"{root}/{MARKER}"))


def keep_newest(output_uri: str) -> None:
    """Remove every checkpoint but the newest whole one, after the last step. This makes Ray's own record invalid, so a
    fit that is repeated before the stage is committed starts in a new run folder."""
    fs, root = fsspec.url_to_fs(output_uri)
    newest = next(complete(output_uri))
    write_json(f"{output_uri}/{RECORD}", {"checkpoints": [asdict(newest)]})
    for path in fs.glob(f"{root}/step-*") + fs.glob(f"{root}/ray-*/step-*"):
        if path.rstrip("/") != f"{root}/{newest.folder}":
            fs.rm(path, recursive=True)


class Checkpointer:
    """Saves and restores one rank's part of a training state. Every rank must call each method equally often.

    `state` returns the tensors to save; `restore` overwrites them in place. `register` hands a complete checkpoint
    (URI, step) to Ray Train, which removes older ones. `on_gpu` says where the tensors are.

    A step waits only until its state is copied to memory of the host, which is kept for the next copy. A thread writes
    the copy. The ranks' threads have a process group of their own, so that their messages never meet those of a step.
    """

    def __init__(
        self,
        output_uri: str,
        run_folder: str,
        state: Callable[[], dict],
        *,
        keep: int,
        rank: int,
        register: Callable[[str, int], None],
        on_gpu: bool = False,
    ) -> None:
        import torch.distributed as dist
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        self.output_uri, self.run_folder, self.state = output_uri, run_folder, state
        self.keep, self.rank, self.register = keep, rank, register
        group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self._group = cast("dist.ProcessGroup | None", group)
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=on_gpu,
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=on_gpu,
            )
        )
        self._writing: tuple[int, Future[str]] | None = None

    def save(self, step: int) -> None:
        """Copy the state after `step` optimizer steps and begin to write the copy, once the checkpoint before is
        complete. Raises as `finish` does, for that checkpoint."""
        self.finish()
        copied = self._stager.stage(self.state())
        self._writing = step, in_background(lambda: self._write(step, copied), f"checkpoint-{step}")

    def finish(self) -> None:
        """Wait until the checkpoint that is written, if any, is complete and recorded.

        If its tensors could not be written, this raises on all ranks: StageError for a full disk, else what DCP raises.
        If rank 0 cannot record it, rank 0 raises and the others end with it. Earlier ones stay.
        """
        if self._writing is None:
            return
        (step, written), self._writing = self._writing, None
        self.register(written.result(), step)

    def _write(self, step: int, state: Any) -> str:
        """Write a checkpoint with the other ranks and record it. Returns its URI."""
        import torch.distributed.checkpoint as dcp

        folder = f"{self.run_folder}/{step_folder(step)}".lstrip("/")
        uri = f"{self.output_uri}/{folder}"
        fs, path = fsspec.url_to_fs(uri)
        if self.rank == 0 and fs.exists(path):
            fs.rm(path, recursive=True)  # a run that was killed while it saved left this folder
        self._wait_for_all()
        try:
            dcp.save(state, checkpoint_id=uri, process_group=self._group)
        except dcp.CheckpointException as error:  # all ranks get it
            if not (full := _without_space(error)):
                raise
            if self.rank == 0 and fs.exists(path):
                fs.rm(path, recursive=True)  # half of a checkpoint would keep others from being written
            raise StageError(
                f"no space is left for the checkpoint of step {step} at {uri}: {full}; earlier ones are kept", MAKE_ROOM
            ) from error
        if self.rank == 0:
            entry = Recorded(step, folder, _files(uri))
            entries = [old for old in recorded(self.output_uri) if old.step < step] + [entry]
            record = {"checkpoints": [asdict(e) for e in entries[-self.keep :]]}
            write_json(f"{self.output_uri}/{RECORD}", record)
        self._wait_for_all()
        return uri

    def _wait_for_all(self) -> None:
        import torch.distributed as dist

        if self._group is not None:
            dist.barrier(self._group)

    def restore(self) -> int:
        """Read the newest whole checkpoint into the state. Returns its step, or 0 if there is no checkpoint.

        Raises StageError if there are whole checkpoints but none can be read.
        """
        import torch.distributed.checkpoint as dcp

        from jobs.training.checkpoint_reader import reader

        unreadable = []
        for entry in complete(self.output_uri):
            try:
                dcp.load(self.state(), storage_reader=reader(f"{self.output_uri}/{entry.folder}"))
            except dcp.CheckpointException as error:  # all ranks get it, so all of them try the next older checkpoint
                unreadable.append(f"{entry.folder}: {error}")
                continue
            return entry.step
        if unreadable:
            raise StageError(f"no checkpoint of {self.output_uri} can be read: {'; '.join(unreadable)}", Restart())
        return 0


def _without_space(error: BaseException) -> str:
    """What a full disk said to one of the ranks; empty if none had one. `failures` has exception and traceback by
    rank."""
    for failure, _ in getattr(error, "failures", {}).values():
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in NO_SPACE:
                return str(cause)
            cause = cause.__context__
        # of another rank comes only the last exception: torch's writer, which counts bytes that were not written
        if "unexpected pos" in str(failure) or "file write failed" in str(failure):
            return os.strerror(errno.ENOSPC)
    return ""


def _files(uri: str) -> dict[str, int]:
    """The sizes of a checkpoint folder's files in bytes; empty if the folder is gone or was never finished."""
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
