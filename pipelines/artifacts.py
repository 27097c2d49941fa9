"""The artifact store keeps `<store>/<stage>/<artifact id>/` on any fsspec URL. No other file knows these paths.

An attempt is complete when its `manifest.json` exists. That file is written last.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import BaseModel

from jobs.stage.background import in_background
from jobs.stage.context import Look, StageError
from pipelines.fingerprint import fingerprint as digest_of
from pipelines.guard.addresses import masked_address
from pipelines.records import BeginningForm, FailureForm, LeaseForm, ManifestForm, RunForm, fault
from pipelines.store_errors import AttemptClosed, OtherSchema, RecordDamaged, RecordUnreadable, StoreError
from tokenization.files import storage
from tokenization.files.chains import filesystem_of

MANIFEST = "manifest.json"  # what an artifact is; written last
RESOLVED = "attempt.json"  # resolved config and execution, from the start
FAILURE, RUN, METRICS, LOG = "failure.json", "run.json", "metrics.jsonl", "log.txt"
SCHEMA = 1  # of the records in a store: raise it when this code cannot read those that were written before
_FORMS: dict[str, type[BaseModel]] = {
    MANIFEST: ManifestForm, RESOLVED: BeginningForm, FAILURE: FailureForm, RUN: RunForm, "lease-": LeaseForm,
}  # fmt: skip
_NAME = re.compile(r"^(?P<short>[0-9a-f]{12})-(?P<number>[1-9][0-9]*)$")
NEXT_COMMAND = "RXT_STORE=URL rxt status"
_STAGE = re.compile(r"^\w[\w-]*$")  # else it is of somebody else, such as lost+found
_TOMBSTONE = "discarded-"
RACERS = 4  # writers of the probe
ANSWER_SECONDS = 30
# Not part of the result: records about the attempt, checkpoints that only a resume reads, half-written files.
_PRIVATE_TOP = re.compile(
    r"^(manifest|attempt|failure|run|checkpoints|checkpoint_manager_snapshot)\.json$"
    r"|^metrics\.jsonl$|^log\.txt$|^(lease|fence|step|ray)-|^rl$"
)
_PRIVATE = re.compile(r"^\.|\.tmp$")
_CHECKPOINTS = re.compile(r"^(checkpoints|checkpoint_manager_snapshot)\.json$|^(step|ray)-|^rl$")


@dataclass(frozen=True, order=True)
class Attempt:
    """The `number`-th try at one fingerprint of one stage; `artifact_id` is its folder's name."""

    stage: str
    short: str
    number: int

    @property
    def artifact_id(self) -> str:
        return f"{self.short}-{self.number}"


def _reaching(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns every exception of a filesystem into a StoreError. Filesystems raise their own, and not all of them are
    OSErrors."""

    @functools.wraps(method)
    def wrapped(self: ArtifactStore, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except StageError:
            raise
        except Exception as error:  # every filesystem has exceptions of its own
            if isinstance(error, OSError) and error.errno in storage.NO_SPACE:
                raise StoreError(f"no space is left for store {self.shown}: {error}", storage.MAKE_ROOM) from error
            raise StoreError(f"store {self.shown} cannot be used: {error}", NEXT_COMMAND) from error

    return wrapped


class ArtifactStore:
    """Every method that reads or writes may raise StoreError. So does a URL that no installed filesystem serves."""

    def __init__(self, url: str) -> None:
        if "::" in url:  # fsspec would take a part of it for the folder
            raise StoreError(f"store {masked_address(url)}: `::` must not be part of its name", NEXT_COMMAND)
        try:
            self.fs, root = filesystem_of(url)
        except Exception as error:  # every filesystem has exceptions of its own
            raise StoreError(f"store {masked_address(url)}: {error}", NEXT_COMMAND) from error
        self.root = root.rstrip("/")
        if not self.root:
            raise StoreError(f"store {masked_address(url)} names no folder", NEXT_COMMAND)
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self.url = self._url(self.root)
        self.shown = masked_address(self.url)

    def check_readable(self) -> None:
        """Looks once. Raises StoreError with what the filesystem said, or if it says nothing for ANSWER_SECONDS: a
        client of an object store would wait for minutes. A store that does not exist yet is empty."""
        try:
            in_background(self._look, "store").result(ANSWER_SECONDS)
        except TimeoutError:
            raise StoreError(f"store {self.shown} gave no answer within {ANSWER_SECONDS} s", NEXT_COMMAND) from None

    @_reaching
    def check_writable(self) -> None:
        """Writes and removes a small file, which several threads try to create at once. Raises StoreError with what the
        filesystem said, or if more than one thread created the file: then two runs could write one attempt."""
        probe = f"{self.root}/.probe-{uuid.uuid4().hex}"
        with ThreadPoolExecutor(RACERS) as pool:
            created = list(pool.map(lambda number: self._create(probe, b"%d" % number), range(RACERS)))
        self.fs.rm_file(probe)
        if sum(created) != 1:
            raise StoreError(
                f"store {self.shown} ignores conditional writes: {sum(created)} of {RACERS} writers created one file,"
                " so two runs could write one attempt. Use a folder, or an object store that honours `If-None-Match`",
                NEXT_COMMAND,
            )

    def check_shared(self) -> None:
        """Raises StoreError for a store that no other process sees: Ray's workers would write to one of their own."""
        if isinstance(self.fs, MemoryFileSystem):
            raise StoreError(f"store {self.shown} is in the memory of one process, and ends with it", NEXT_COMMAND)

    def uri(self, attempt: Attempt) -> str:
        """The absolute local path, or the URL, of the attempt's folder."""
        return self._url(self._path(attempt))

    def stages(self) -> list[str]:
        """The names of all stages that have an attempt, of whatever preset."""
        names = filter(_STAGE.match, self._names(self.root))
        return [name for name in names if any(map(_NAME.match, self._names(f"{self.root}/{name}")))]

    def attempts(self, stage: str) -> list[Attempt]:
        """All attempts that were not discarded, sorted by fingerprint and number."""
        names = self._names(f"{self.root}/{stage}")
        discarded = {name.removeprefix(_TOMBSTONE) for name in names if name.startswith(_TOMBSTONE)}
        return sorted(self._attempt(stage, name) for name in names if _NAME.match(name) and name not in discarded)

    def half_discarded(self, stage: str) -> list[Attempt]:
        """The attempts whose discard was interrupted."""
        names = self._names(f"{self.root}/{stage}")
        return [self._attempt(stage, name) for name in names if _NAME.match(name) and f"{_TOMBSTONE}{name}" in names]

    def newest(self, stage: str, fingerprint: str) -> Attempt | None:
        """The newest attempt at this fingerprint: the one that counts."""
        return max((a for a in self.attempts(stage) if a.short == fingerprint[:12]), default=None)

    def next_attempt(self, stage: str, fingerprint: str) -> Attempt:
        """An attempt with a number that was never used. A discarded number must not come back with other content."""
        names = [name.removeprefix(_TOMBSTONE) for name in self._names(f"{self.root}/{stage}")]
        used = [int(m["number"]) for m in map(_NAME.match, names) if m and m["short"] == fingerprint[:12]]
        return Attempt(stage, fingerprint[:12], 1 + max(used, default=0))

    def find(self, stage: str, artifact_id: str) -> Attempt:
        """The attempt of that name, even if it is half discarded. Raises StageError, which names those that exist."""
        names = [name for name in self._names(f"{self.root}/{stage}") if _NAME.match(name)]
        if artifact_id not in names:
            raise StageError(
                f"{stage} has no artifact {artifact_id}; there are: {', '.join(names) or 'none'}",
                Look(stage),
            )
        return self._attempt(stage, artifact_id)

    def manifest(self, attempt: Attempt) -> dict[str, Any] | None:
        """The manifest of an attempt, None while it is not complete. Raises RecordUnreadable."""
        return self.read_json(attempt, MANIFEST)

    @_reaching
    def names(self, attempt: Attempt) -> list[str]:
        """The names in the attempt's folder, without a cache. Raises AttemptClosed."""
        with self._opened(attempt):
            return self._listed(self._path(attempt))

    @_reaching
    def read_text(self, attempt: Attempt, name: str) -> str | None:
        """A small file, None if there is none. Raises AttemptClosed."""
        try:
            with self._opened(attempt):
                return self.fs.cat_file(f"{self._path(attempt)}/{name}").decode(errors="replace")
        except FileNotFoundError:
            return None

    def read_json(self, attempt: Attempt, name: str) -> dict[str, Any] | None:
        """A record, None if there is none. Raises OtherSchema for a manifest of another schema, and RecordDamaged for
        what is no JSON, or has not the form of such a record."""
        text = self.read_text(attempt, name)
        if text is None:
            return None
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
            raise RecordDamaged(self, attempt, name, str(error)) from error
        if not isinstance(record, dict):
            raise RecordDamaged(self, attempt, name, f"{text.strip()[:40]} is no object")
        if name == MANIFEST and record.setdefault("schema", 1) != SCHEMA:  # the first manifests did not name it
            raise OtherSchema(attempt, record["schema"], SCHEMA)
        form = next((form for beginning, form in _FORMS.items() if name.startswith(beginning)), None)
        if form and (reason := fault(record, form)):
            raise RecordDamaged(self, attempt, name, reason)
        if name in (MANIFEST, RESOLVED) and (record["stage"], record["artifact_id"]) != (
            attempt.stage,
            attempt.artifact_id,
        ):
            raise RecordDamaged(self, attempt, name, f"it is that of {record['stage']} {record['artifact_id']}")
        return record

    def read_note(self, attempt: Attempt, name: str) -> dict[str, Any] | None:
        """A record that nothing depends on. One that is damaged counts as absent. Raises AttemptClosed."""
        try:
            return self.read_json(attempt, name)
        except AttemptClosed:  # it may be good
            raise
        except RecordUnreadable:
            return None

    @_reaching
    def fetch(self, attempt: Attempt, name: str, folder: str) -> str | None:
        """Copies one file below the local `folder`, under the same name. Returns its path, None if there is no such
        file."""
        target = Path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.fs.get_file(f"{self._path(attempt)}/{name}", str(target))
        except FileNotFoundError:
            return None
        return str(target)

    def write_json(self, attempt: Attempt, name: str, value: Any) -> None:
        """Replaces a record. A reader sees the old one or the new one, never a part."""
        self._write(f"{self._path(attempt)}/{name}", _json(value))

    def create_json(self, attempt: Attempt, name: str, value: Any) -> bool:
        """Creates a record that must not exist. If several processes try at once, exactly one gets True."""
        return self._create(f"{self._path(attempt)}/{name}", _json(value))

    @_reaching
    def remove(self, attempt: Attempt, name: str) -> None:
        try:
            self.fs.rm_file(f"{self._path(attempt)}/{name}")
        except FileNotFoundError:
            return

    @_reaching
    def append(self, attempt: Attempt, name: str, lines: str) -> None:
        """Adds whole lines. An object store cannot append, so the file is written again there: call it seldom."""
        path = f"{self._path(attempt)}/{name}"
        if not self.is_local:
            self._write(path, ((self.read_text(attempt, name) or "") + lines).encode())
            return
        with open(path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a killed writer left half a line
                    file.write(b"\n")
            file.write(lines.encode())

    @_reaching
    def outputs(self, attempt: Attempt) -> dict[str, dict[str, Any]]:
        """The files of the result as {relative path: {size, sha256}}, without records, checkpoints, and links that lead
        nowhere."""
        base = self._path(attempt)
        self.fs.invalidate_cache(base)
        found = {}
        for path, info in sorted(self.fs.find(base, detail=True).items()):
            name = path.removeprefix(base).lstrip("/")
            parts = name.split("/")
            if not _PRIVATE_TOP.search(parts[0]) and not any(map(_PRIVATE.search, parts)):
                try:
                    with self.fs.open(path, "rb") as file:
                        found[name] = {"size": info["size"], "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
                except OSError as error:
                    if not _leads_nowhere(error):
                        raise
        return found

    @_reaching
    def sizes(self, attempt: Attempt) -> dict[str, int]:
        """All files of an attempt as {relative path: bytes}, records and checkpoints among them."""
        base = self._path(attempt)
        self.fs.invalidate_cache(base)
        found = self.fs.find(base, detail=True)
        return {path.removeprefix(base).lstrip("/"): info["size"] for path, info in sorted(found.items())}

    def checkpoints(self, attempt: Attempt) -> tuple[str, ...]:
        """What only a resume reads: names in the attempt's folder."""
        return tuple(filter(_CHECKPOINTS.match, self.names(attempt)))

    @_reaching
    def remove_entries(self, attempt: Attempt, names: tuple[str, ...]) -> None:
        """Deletes files and folders of an attempt. What is gone already counts as deleted."""
        for name in names:
            try:
                self.fs.rm(f"{self._path(attempt)}/{name}", recursive=True)
            except FileNotFoundError:
                continue

    def commit(self, attempt: Attempt, manifest: dict[str, Any]) -> bool:
        """Makes the attempt complete. False if it already was. Only the holder of the lease may call it."""
        return self.create_json(attempt, MANIFEST, manifest)

    @_reaching
    def discard(self, attempt: Attempt) -> None:
        """Deletes an attempt. If it is interrupted, what is left never counts as a result, and a second call removes
        it."""
        self._create(f"{self.root}/{attempt.stage}/{_TOMBSTONE}{attempt.artifact_id}", b"")
        self.remove(attempt, MANIFEST)
        self.fs.rm(self._path(attempt), recursive=True)

    def _attempt(self, stage: str, name: str) -> Attempt:
        match = _NAME.match(name)
        assert match is not None, f"{name}: callers pass names that match"
        return Attempt(stage, match["short"], int(match["number"]))

    def _path(self, attempt: Attempt) -> str:
        return f"{self.root}/{attempt.stage}/{attempt.artifact_id}"

    def _look(self) -> None:
        self._names(self.root)
        if self._is_file(self.root):
            raise StoreError(f"store {self.shown} is a file, not a folder", NEXT_COMMAND)

    @_reaching
    def _is_file(self, path: str) -> bool:
        return self.fs.isfile(path)

    def _url(self, path: str) -> str:
        return path if self.is_local else self.fs.unstrip_protocol(path)

    @contextmanager
    def _opened(self, attempt: Attempt) -> Generator[None]:
        """Tell an attempt on a disk that cannot be read from a store that cannot. An object store that refuses to give
        a file asks for credentials, and its filesystem makes EIO of answers that it does not know."""
        try:
            yield
        except OSError as error:
            if self.is_local and (isinstance(error, PermissionError) or error.errno == errno.EIO):
                raise AttemptClosed(self, attempt, error) from error
            raise

    @_reaching
    def _names(self, path: str) -> list[str]:
        return self._listed(path)

    def _listed(self, path: str) -> list[str]:
        self.fs.invalidate_cache(path)
        try:
            return sorted(name.rstrip("/").rpartition("/")[2] for name in self.fs.ls(path, detail=False))
        except OSError as error:
            if not _leads_nowhere(error):
                raise
            return []

    @_reaching
    def _write(self, path: str, data: bytes) -> None:
        storage.replace(self.fs, path, data)

    @_reaching
    def _create(self, path: str, data: bytes) -> bool:
        return storage.create(self.fs, path, data)


def content_digest(outputs: dict[str, dict[str, Any]]) -> str:
    """One digest of a whole result: of the names, sizes and bytes of its files."""
    return digest_of(outputs)


def _leads_nowhere(error: OSError) -> bool:
    """Whether there is nothing of that name, or a link in a circle. A missing bucket is an error of the place."""
    if storage.error_code(error) == "NoSuchBucket":
        return False
    return isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
