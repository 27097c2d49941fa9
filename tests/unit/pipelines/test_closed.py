"""An attempt that this user may not read: it is named, and what does not need it goes on."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from pipelines import cli, session
from pipelines.artifacts import NEXT_COMMAND, ArtifactStore, Attempt
from pipelines.store_errors import LOOK_AT_DISK, AttemptClosed, StoreError
from pipelines.upkeep.gc import find_garbage
from tests.support.servers.unprivileged import as_owner, folder_of_nobody
from tests.support.toy_graph import run, toy

FIRST = toy("first", text="a", deterministic=True)
STEPS = toy("steps", FIRST, function="count", steps=2)
LAST = toy("last", STEPS, text="z")
STAGES = [FIRST, STEPS, LAST]


@pytest.fixture
def store(monkeypatch):
    """Give a store with three complete stages, and leave this process as a user who owns it and is not root."""
    with folder_of_nobody() as folder:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("RXT_STORE", str(folder / "store"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        monkeypatch.setattr(session, "curriculum", lambda config: STAGES)
        store = ArtifactStore(str(folder / "store"))
        assert run(STAGES, store) == 0
        with as_owner(folder):
            yield store
        monkeypatch.undo()


def rxt(*words):
    return CliRunner().invoke(cli.app, list(words))


def closed(store, stage, name="") -> Path:
    """Close the newest attempt at a stage, or one file in it."""
    path = Path(store.uri(max(store.attempts(stage))), name)
    path.chmod(0)
    return path


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_status_shows_all_other_stages_and_the_way_out(store, name):
    folder = closed(store, "last", name).parent if name else closed(store, "last")
    shown = rxt("status")
    assert shown.exit_code == 0
    assert f"last failed {folder.name}" in " ".join(shown.stdout.split())
    assert f"next: chmod -R u+rwX {folder}   since last failed" in shown.stdout
    found = {entry["stage"]: entry for entry in json.loads(rxt("status", "--json").stdout)["stages"]}
    assert [found[stage]["state"] for stage in ("first", "steps", "last")] == ["complete", "complete", "failed"]
    assert found["last"]["reason"] == f"{folder} cannot be read: Permission denied"
    assert "unreadable" in rxt("stage", "show", "last").stdout
    (folder / name if name else folder).chmod(0o700)
    assert "failed" not in rxt("status").stdout


def test_an_attempt_with_other_settings_is_named_beside_the_state(store, monkeypatch):
    folder = closed(store, "last")
    monkeypatch.setattr(session, "curriculum", lambda config: [FIRST, STEPS, toy("last", STEPS, text="y")])
    (last,) = [entry for entry in json.loads(rxt("status", "--json").stdout)["stages"] if entry["stage"] == "last"]
    assert (last["state"], last["reason"]) == ("missing", f"{folder} cannot be read: Permission denied")
    folder.chmod(0o700)


def test_gc_names_it_and_keeps_what_it_may_need(store):
    assert run(STAGES, store, targets=[FIRST], fresh=["first"]) == 0
    old = min(store.attempts("first"))
    folder = closed(store, "steps")
    told: list[str] = []
    assert find_garbage(store, told.append) == []
    (said,) = told
    assert (
        said
        == f"steps {folder.name} stays, and so does what others replaced: {folder} cannot be read: Permission denied"
    )
    shown = rxt("gc", "--yes")
    assert shown.exit_code == 0 and said in shown.stderr and Path(store.uri(old)).exists()
    folder.chmod(0o700)
    assert [garbage.attempt.stage for garbage in find_garbage(store, told.append)] == ["steps"]


def test_gc_goes_on_behind_what_cannot_be_deleted(store):
    for stage in ("first", "last"):
        Path(store.root, stage, f"discarded-{store.attempts(stage)[0].artifact_id}").touch()
    stays = Path(store.root, "first")
    stays.chmod(0o500)
    shown = rxt("gc", "--yes", "--json")
    assert shown.exit_code == 2 and "error: first " in shown.stderr and "was not deleted: " in shown.stderr
    assert {entry["stage"] for entry in json.loads(shown.stdout)["garbage"]} == {"last", "steps"}
    assert not any(Path(store.root, "last").glob("*-1/*"))
    stays.chmod(0o700)


def test_a_run_and_a_check_name_it_too(store):
    folder = closed(store, "last")
    shown = rxt("verify")
    assert shown.exit_code == 1 and f"DAMAGED {folder} cannot be read: Permission denied" in shown.stdout
    assert shown.stdout.splitlines()[-1] == f"next: chmod -R u+rwX {folder}"
    for words in (["run"], ["logs", "last"], ["stage", "discard", "last", folder.name, "--yes"]):
        told = rxt(*words)
        assert told.exit_code == 2 and f"error: {folder} cannot be read: Permission denied" in told.stderr, words
        assert f"next: chmod -R u+rwX {folder}" in told.stderr
    folder.chmod(0o700)


def fails(monkeypatch, filesystem, method, place, number):
    """Let a method of a filesystem raise an error for every path with `place` in it."""
    works = getattr(filesystem, method)

    def read(self, path, *arguments, **options):
        if place in path:
            raise OSError(number, "it was refused")
        return works(self, path, *arguments, **options)

    monkeypatch.setattr(filesystem, method, read)


@pytest.mark.parametrize("name", ["manifest.json", "out.txt"])
def test_a_disk_that_fails_is_to_be_looked_at_and_nothing_is_discarded(store, monkeypatch, name):
    (attempt,) = store.attempts("last")
    fails(monkeypatch, LocalFileSystem, "open", f"{attempt.artifact_id}/{name}", errno.EIO)
    shown = rxt("verify")
    assert shown.exit_code == 1 and shown.stdout.splitlines()[-1] == f"next: {LOOK_AT_DISK}"
    if name == "manifest.json":
        reason = f"{store.uri(attempt)} cannot be read: it was refused"
        assert f"DAMAGED {reason}" in shown.stdout
        shown = rxt("status")
        assert f"next: {LOOK_AT_DISK}   since last failed" in shown.stdout and "discard" not in shown.output


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])  # an expired token, and what the server does not explain
def test_an_object_store_that_refuses_a_file_asks_for_credentials(monkeypatch, number):
    store = ArtifactStore("memory://refusing")
    attempt = Attempt("first", "0" * 12, 1)
    store.write_json(attempt, "manifest.json", {})
    fails(monkeypatch, MemoryFileSystem, "cat_file", attempt.artifact_id, number)
    with pytest.raises(StoreError, match="^store memory:/.*refusing cannot be used: .*it was refused") as caught:
        store.manifest(attempt)
    assert caught.value.remedy == NEXT_COMMAND and not isinstance(caught.value, AttemptClosed)
