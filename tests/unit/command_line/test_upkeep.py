"""`rxt gc`, `verify`, `logs`, `doctor`: on the store of toy stages that the real runner has run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from typer.testing import CliRunner

from pipelines import cli, session
from pipelines.artifacts import ArtifactStore, StoreError
from pipelines.planner import plan
from pipelines.upkeep import doctor
from pipelines.upkeep.gc import find_garbage
from pipelines.upkeep.verify import verify
from tests.support.toy_graph import run, toy

FIRST = toy("first", text="a", deterministic=True)
STEPS = toy("steps", FIRST, function="count", steps=2)
LAST = toy("last", STEPS, text="z")
STAGES = [FIRST, STEPS, LAST]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(session, "curriculum", lambda config: STAGES)
    store = ArtifactStore(str(tmp_path / "store"))
    assert run(STAGES, store) == 0
    return store


def rxt(*words):
    return CliRunner().invoke(cli.app, list(words))


def files(store):
    return {str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if path.is_file()}


def test_gc_deletes_only_when_told_to_and_only_checkpoints_of_what_counts(store):
    before = files(store)
    shown = rxt("gc")
    assert "checkpoints of a complete stage" in shown.stdout and "next: rxt gc --yes" in shown.stdout
    assert files(store) == before
    assert rxt("gc", "--yes").exit_code == 0
    gone = before - files(store)
    assert {Path(name).name for name in gone} == {"checkpoints.json", "step-log"}
    assert all(status.is_complete for status in plan(STAGES, store).values())
    assert rxt("verify").exit_code == 0
    assert rxt("gc", "--json").stdout and json.loads(rxt("gc", "--json").stdout)["garbage"] == []


def test_gc_keeps_a_replaced_attempt_as_long_as_something_was_built_from_it(store):
    assert run(STAGES, store, targets=[FIRST], fresh=["first"]) == 0  # same content: what follows stays complete
    told: list[str] = []
    old = min(store.attempts("first"))
    assert old not in {garbage.attempt for garbage in find_garbage(store, told.append) if not garbage.entries}
    assert told == [f"first {old.artifact_id} stays: another artifact was built from it"]
    assert run(STAGES, store, targets=[STEPS], fresh=["steps"]) == 0
    assert run(STAGES, store) == 0  # `last` is built from the new steps, and the one from the old steps stays
    kept = {attempt for stage in ("steps", "last") for attempt in store.attempts(stage)}
    assert not kept & {garbage.attempt for garbage in find_garbage(store, told.append) if not garbage.entries}


def test_gc_takes_a_chain_that_only_itself_needs(tmp_path):
    store = ArtifactStore(str(tmp_path / "another"))
    chain = [FIRST, toy("next", FIRST, deterministic=True)]
    assert run(chain, store) == run(chain, store, fresh=["first", "next"]) == 0
    found = [(g.attempt.stage, g.attempt.number, g.entries) for g in find_garbage(store, print)]
    assert found == [("first", 1, ()), ("next", 1, ())]


@pytest.mark.parametrize("content", ["", '{"schema": 1, "inp', '{"schema": 2}', "{}"])
def test_gc_keeps_the_good_attempt_while_a_newer_one_cannot_be_read(store, content):
    (good,) = store.attempts("last")
    newer = Path(store.uri(good)).with_name(f"{good.short}-2")
    shutil.copytree(store.uri(good), newer)
    (newer / "manifest.json").write_text(content)
    told: list[str] = []
    found = find_garbage(store, told.append)
    assert {garbage.attempt.stage for garbage in found} == {"steps"} and all(garbage.entries for garbage in found)
    (said,) = told
    assert said.startswith(f"last {good.short}-2 stays, and so does what others replaced: ")


@pytest.mark.parametrize("record", ["manifest.json", "attempt.json"])
@pytest.mark.parametrize("content", ["", '{"inputs": []}'])
def test_gc_keeps_what_an_attempt_may_need_whose_records_cannot_be_read(tmp_path, record, content):
    store = ArtifactStore(str(tmp_path / "another"))
    chain = [FIRST, toy("next", FIRST, deterministic=True)]
    assert run(chain, store) == run(chain, store, targets=[FIRST], fresh=["first"]) == 0
    (reader,) = store.attempts("next")
    store.remove(reader, "manifest.json")
    Path(store.uri(reader), record).write_text(content)
    assert [garbage for garbage in find_garbage(store, print) if not garbage.entries] == []


def test_gc_leaves_what_is_under_way_and_finishes_an_interrupted_discard(store):
    (attempt,) = store.attempts("last")
    Path(store.root, "last", f"discarded-{attempt.artifact_id}").touch()
    found = [garbage for garbage in find_garbage(store, print) if not garbage.entries]
    assert [(garbage.attempt, garbage.reason) for garbage in found] == [(attempt, "its discard was interrupted")]
    assert rxt("gc", "--yes").exit_code == 0
    assert not Path(store.uri(attempt)).exists()
    assert store.next_attempt("last", attempt.short + "0" * 52).number == 2


@pytest.mark.parametrize("harm", ["missing", "changed", "not of this artifact"])
def test_verify_names_the_file_and_the_way_out(store, harm):
    (attempt,) = store.attempts("first")
    file = Path(store.uri(attempt), "out.txt")
    {
        "missing": file.unlink,
        "changed": lambda: file.write_text("b"),
        "not of this artifact": lambda: file.with_name("other.txt").touch(),
    }[harm]()
    shown = rxt("verify")
    name = "other.txt" if harm == "not of this artifact" else "out.txt"
    assert shown.exit_code == 1 and f"first {attempt.artifact_id}: DAMAGED {harm}: {name}" in shown.stdout
    assert f"rxt stage discard first {attempt.artifact_id}" in shown.stdout
    assert rxt("verify", "last").exit_code == 0
    assert json.loads(rxt("verify", "--json").stdout)["damaged"] == 1


def test_verify_goes_on_behind_what_cannot_be_read(store, monkeypatch):
    (attempt,) = store.attempts("first")
    cannot = f"{store.uri(attempt)}/out.txt"

    def opens(self, path, *args, **options):
        if path == cannot:
            raise OSError(errno.EIO, "Input/output error", path)
        return opened(self, path, *args, **options)

    opened = LocalFileSystem.open
    monkeypatch.setattr(LocalFileSystem, "open", opens)
    shown = rxt("verify")
    told = f"first {attempt.artifact_id}: DAMAGED cannot be read: [Errno 5] Input/output error: '{cannot}'\n"
    assert shown.exit_code == 1 and told in shown.stdout and "3 complete artifacts, 1 of them damaged" in shown.stdout
    shutil.rmtree(store.root)
    Path(store.root).touch()  # the store itself is gone
    with pytest.raises(StoreError):
        verify(store, attempt)


def test_what_is_no_stage_or_leads_nowhere_stops_no_command(store):
    (attempt,) = store.attempts("first")
    file = Path(store.uri(attempt), "out.txt")
    for name in ("loop", "nowhere"):
        Path(store.root, name).symlink_to(name if name == "loop" else "missing")
        file.with_name(name).symlink_to(name if name == "loop" else "missing")
    Path(store.root, "lost+found", attempt.artifact_id).mkdir(parents=True)
    assert store.stages() == ["first", "last", "steps"]
    assert rxt("gc").exit_code == rxt("status").exit_code == rxt("verify").exit_code == 0
    file.unlink()
    file.symlink_to("missing")
    shown = rxt("verify")
    assert shown.exit_code == 1 and f"first {attempt.artifact_id}: DAMAGED missing: out.txt" in shown.stdout


def test_what_verify_proposes_works_for_a_stage_of_another_preset(store, monkeypatch):
    (attempt,) = store.attempts("first")
    Path(store.uri(attempt), "out.txt").unlink()
    shown = rxt("verify")
    monkeypatch.setattr(session, "curriculum", lambda config: [toy("other")])
    done = rxt(*shown.stdout.rpartition("or rxt ")[2].split(), "--yes")
    assert done.exit_code == 0 and "  steps " in done.stdout and "was built from it" in done.stdout
    assert rxt("stage", "discard", "absent", attempt.artifact_id).exit_code == 2


def test_verify_of_a_stage_that_is_not_there(store):
    shown = rxt("verify", "sft")
    assert shown.exit_code == 2 and "no stage sft; there are: first, last, steps" in shown.stderr


def test_logs_tell_what_was_said_and_why_it_failed(store, tmp_path, monkeypatch):
    shown = rxt("logs", "steps").stdout
    assert "began: rxt run" in shown and "complete: 2 steps" in shown and '"train/loss": 0.5' in shown
    flag = tmp_path / "flag"
    flag.touch()
    failing = toy("failing", FIRST, fails_while=str(flag))
    monkeypatch.setattr(session, "curriculum", lambda config: [*STAGES, failing])
    assert run([*STAGES, failing], store) == 1
    shown = rxt("logs", "failing").stdout
    assert "failed: StageError" in shown and "Traceback" in shown and f"failing cannot while {flag} exists" in shown


def test_logs_of_what_was_never_made(store, monkeypatch):
    monkeypatch.setattr(session, "curriculum", lambda config: [*STAGES, toy("later", LAST)])
    shown = rxt("logs", "later")
    assert shown.exit_code == 2 and "nothing was made yet" in shown.stderr and "next: rxt run" in shown.stderr


def test_diff_tells_what_changed_between_two_attempts(store, monkeypatch):
    changed = toy("steps", FIRST, function="count", steps=3)
    monkeypatch.setattr(session, "curriculum", lambda config: [FIRST, changed])
    assert run([FIRST, changed], store) == 0
    (two,) = [attempt for attempt in store.attempts("steps") if store.manifest(attempt)["result"] == "2 steps"]
    (three,) = [attempt for attempt in store.attempts("steps") if attempt != two]
    shown = rxt("stage", "show", "steps", "--diff", two.artifact_id, three.artifact_id).stdout
    assert "config and inputs:\n  config.steps: 2 -> 3\n" in shown
    assert "files:\n  out.txt.sha256" not in shown and "\n  out.txt: " in shown and "packages: the same" in shown
    again = json.loads(rxt("stage", "show", "steps", "--json", "--diff", two.artifact_id, two.artifact_id).stdout)
    assert [again[part] for part in ("config and inputs", "metrics", "files", "code", "packages")] == [[]] * 5
    wrong = rxt("stage", "show", "steps", "--diff", two.artifact_id, "0123456789ab-1")
    assert wrong.exit_code == 2 and "no artifact 0123456789ab-1" in wrong.stderr


def test_a_log_steers_no_terminal(store):
    (attempt,) = store.attempts("steps")
    Path(store.uri(attempt), "log.txt").write_text("a\x1b[31mb\x07\tc\u202e\n")
    shown = rxt("logs", "steps").stdout
    assert "a\N{REPLACEMENT CHARACTER}[31mb" in shown and not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_doctor_finds_what_is_wrong_and_says_the_command(store, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    shown = rxt("doctor", "--json")
    found = {finding["check"]: finding for finding in json.loads(shown.stdout)["findings"]}
    assert shown.exit_code == 2
    wrong = {name: finding["next"] for name, finding in found.items() if finding["state"] == "bad"}
    assert wrong.keys() == {"Ray", "tracking", "folder of Ray"}
    assert wrong["Ray"] == "unset RAY_ADDRESS" and "unset MLFLOW_TRACKING_URI" in wrong["tracking"]
    assert found["store"] == {
        "check": "store", "state": "ok", "found": f"{store.url}: 3 stages have results", "next": ""
    }  # fmt: skip


def test_no_login_is_printed(store, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://bob:hunter22@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hunter22@127.0.0.1:1")
    monkeypatch.setenv("RXT_STORE", "memory://bob:hunter22@b/x")
    for words in (["doctor"], ["doctor", "--json"], ["gc", "--json"], ["verify", "--json"], ["status"],
                  ["status", "--json"]):  # fmt: skip
        told = rxt(*words).output
        assert "memory:///bob:***@b/x" in told and "hunter22" not in told, words
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:it'sPW9@127.0.0.1:1/db")
    for words in (["status"], ["status", "--json"], ["doctor"]):
        told = rxt(*words).output
        assert "postgresql://u:***@127.0.0.1:1/db" in told and "PW9" not in told


def test_doctor_asks_torch_where_a_driver_has_a_device(store, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "DEVICES", tmp_path)
    assert [finding.found.split(";")[0] for finding in doctor.examine_machine() if finding.check == "GPUs"] == ["none"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "nvidia3").touch()
    (found,) = [finding for finding in doctor.examine_machine() if finding.check == "GPUs"]
    assert found.found.startswith("there is one") and "CUDA build" in found.next


def test_doctor_of_a_store_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "file"))
    shown = rxt("doctor")
    assert shown.exit_code == 2 and "is a file, not a folder" in shown.stdout


def test_doctor_waits_for_no_answer_for_long(store, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 0.5)
        found = {finding.check: finding for finding in doctor.examine_machine()}
    assert found["tracking"] == doctor.Finding("tracking", "bad", "no answer within 0.5 s", "rxt doctor")
    assert found["store"].state == "ok"


def test_version_and_completion():
    shown = rxt("--version")
    assert shown.exit_code == 0 and shown.stdout.startswith("rxt 0.")
    environment = {"_RXT_COMPLETE": "complete_bash", "COMP_WORDS": "rxt logs sm", "COMP_CWORD": "2"}
    offered = CliRunner().invoke(cli.app, [], env={**os.environ, **environment}, prog_name="rxt")
    assert "smat" in offered.stdout.split()


def test_a_store_that_holds_nothing_is_named_and_not_taken_for_a_sound_one(store, monkeypatch, tmp_path):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "stroe"))
    shown = rxt("verify")
    assert shown.exit_code == 2
    assert f"error: store {tmp_path}/stroe holds no artifacts: there is nothing to verify" in shown.stderr
    shown = rxt("gc")
    assert shown.exit_code == 0 and shown.stdout == f"store {tmp_path}/stroe: 0 B may go; nothing was deleted\n"
