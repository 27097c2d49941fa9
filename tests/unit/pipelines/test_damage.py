"""Store records that differ from what was written: which count as absent, which are an error, and the way out."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.stage.context import Discard, StageError
from pipelines import cli, session
from pipelines.artifacts import MANIFEST, SCHEMA, ArtifactStore
from pipelines.failures import failure_record
from pipelines.invocation import Invocation
from pipelines.lease import take
from pipelines.planner import plan
from pipelines.records import ManifestForm
from tests.support.toy_graph import QUICK, MemoryTracking, run, toy

WORDS = ("--set", "execution.train.workers=1")


def stages(config=None):
    base = toy("sft", deterministic=True, text="b")
    return [base, toy("smat", base)]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Give a store with two complete stages."""
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(session, "curriculum", stages)
    store = ArtifactStore(str(tmp_path / "store"))
    assert run(stages(), store) == 0
    return store


def rxt(*words, **options):
    return CliRunner().invoke(cli.app, [*words, *WORDS], **options)


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", b"\xff\xfe", b"null"])
@pytest.mark.parametrize("name", ["sft", "smat"])
def test_a_damaged_manifest_is_named_and_the_suggested_command_gets_rid_of_it(store, name, content):
    (attempt,) = store.attempts(name)
    path = Path(store.uri(attempt), MANIFEST)
    path.write_bytes(content)
    for words in (["status"], ["run"], ["stage", "show", name]):
        result = rxt(*words)
        assert result.exit_code == 2
        error, following = result.stderr.splitlines()
        assert error.startswith(f"error: {path} is damaged: ")
        assert following == f"next: rxt stage discard {name} {attempt.artifact_id} --set execution.train.workers=1"
    result = rxt(*following.split()[2:-2], "--yes")
    assert result.exit_code == 0, result.stderr
    assert plan(stages(), store)[name].state == "missing"


def test_a_manifest_without_a_part_says_which(store):
    (attempt,) = store.attempts("sft")
    manifest = store.manifest(attempt)
    assert set(manifest) == {"schema", *ManifestForm.model_fields}
    del manifest["provenance"], manifest["finished"]
    store.write_json(attempt, MANIFEST, manifest)
    with pytest.raises(StageError, match="it has no provenance, finished") as caught:
        plan(stages(), store)
    assert caught.value.remedy == Discard("sft", attempt.artifact_id)


@pytest.mark.parametrize(
    ("key", "value"),
    [("seconds", None), ("result", 5), ("finished", "now"), ("inputs", []), ("outputs", {"a": 1}), ("payload", []),
     ("seconds", math.nan), ("seconds", math.inf), ("finished", math.nan), ("finished", 1e300), ("finished", -1e300),
     ("provenance", {"code": None}), ("metrics", None), ("schema", SCHEMA + 1)],
)  # fmt: skip
def test_a_manifest_with_a_part_of_another_type_is_named(store, key, value):
    (attempt,) = store.attempts("sft")
    store.write_json(attempt, MANIFEST, store.manifest(attempt) | {key: value})
    for words in (["status"], ["stage", "show", "sft"], ["verify"], ["gc"]):
        told = rxt(*words) if words[0] in ("status", "stage") else CliRunner().invoke(cli.app, words)
        assert isinstance(told.exception, SystemExit | None) and key in told.output, (words, told.exc_info)
    assert store.read_note(attempt, MANIFEST) is None


@pytest.mark.parametrize("name", [MANIFEST, "attempt.json"])
def test_the_record_of_another_artifact_is_damaged(store, name):
    (base,), (other,) = store.attempts("sft"), store.attempts("smat")
    shutil.copy(Path(store.uri(other), name), store.uri(base))
    with pytest.raises(StageError, match=f"sft/{base.artifact_id}/{name} is damaged: it is that of smat {other.short}"):
        store.read_json(base, name)


def test_a_record_that_no_parser_takes_is_damaged(store):
    (attempt,) = store.attempts("sft")
    for content in (f'{{"a": {"9" * 5000}}}', '{"a": ' * 100_000):
        Path(store.uri(attempt), MANIFEST).write_text(content)
        assert rxt("status").exit_code == 2 and store.read_note(attempt, MANIFEST) is None


def test_a_beginning_with_no_payload_has_no_difference_to_show(store):
    (attempt,) = store.attempts("smat")
    store.remove(attempt, MANIFEST)
    Path(store.uri(attempt), "attempt.json").write_text("{}")
    told = rxt("stage", "show", "smat", "--diff", attempt.artifact_id, attempt.artifact_id)
    assert told.exit_code == 2 and "attempt.json is damaged: it has no stage" in told.stderr


def test_a_damaged_manifest_does_not_keep_another_artifact_from_being_discarded(store):
    (attempt,) = store.attempts("sft")
    Path(store.uri(store.attempts("smat")[0]), MANIFEST).write_text("{}")
    assert rxt("stage", "discard", "sft", attempt.artifact_id, "--yes").exit_code == 0


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_the_record_of_the_tracker_run_is_not_needed(store, content):
    path = Path(store.uri(store.attempts("smat")[0]), "run.json")
    path.write_text(content)
    found = json.loads(rxt("status", "--json").stdout)["stages"]
    assert [stage["state"] for stage in found] == ["complete", "complete"] and found[1]["mlflow_run_id"] is None
    assert rxt("stage", "show", "smat").exit_code == 0
    tracking = MemoryTracking()
    assert run([*stages(), toy("more")], store, tracking=tracking) == 0
    assert len(tracking.of("smat")) == 1  # it was sent again


@pytest.mark.parametrize("change", [{}, {"message": None}, {"rerun": ["a"]}, {"time": "now"}, {"type": 5}])
def test_a_record_of_a_failure_with_a_part_of_another_type_is_damaged(store, change):
    (attempt,) = store.attempts("smat")
    store.remove(attempt, MANIFEST)
    failure = failure_record(ValueError("no"), "smat", None, 1, Invocation("rxt run"))
    store.write_json(attempt, "failure.json", failure | change)
    reason = "failure.json is damaged" if change else "ValueError: no"
    assert plan(stages(), store)["smat"].reason == reason and rxt("status").exit_code == 0


@pytest.mark.parametrize("change", [{"pid": "x"}, {"pid": -1}, {"monotonic": None}, {"host": None}, {"time": "now"}])
def test_a_lease_with_a_part_of_another_type_holds_nobody_up(store, change):
    (attempt,) = store.attempts("smat")
    store.remove(attempt, MANIFEST)
    lease = take(store, attempt, print, times=QUICK)
    lease.release()
    (name,) = [name for name in store.names(attempt) if name.startswith("lease-000002")]
    store.write_json(attempt, name, store.read_json(attempt, name) | {"released": False})
    assert plan(stages(), store)["smat"].state == "running"
    store.write_json(attempt, name, store.read_json(attempt, name) | change)
    assert plan(stages(), store)["smat"].state == "interrupted" and rxt("status").exit_code == 0


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_damaged_record_of_a_failure_leaves_the_stage_failed(store, content):
    (attempt,) = store.attempts("smat")
    store.remove(attempt, MANIFEST)
    Path(store.uri(attempt), "failure.json").write_text(content)
    status = plan(stages(), store)["smat"]
    assert (status.state, status.reason) == ("failed", "failure.json is damaged")
    assert run(stages(), store) == 0


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_damaged_lease_holds_nobody_up(store, content):
    (attempt,) = store.attempts("smat")
    store.remove(attempt, MANIFEST)
    Path(store.uri(attempt), "lease-000001.json").write_text(content)
    assert plan(stages(), store)["smat"].state == "interrupted"
    lease = take(store, attempt, print, times=QUICK)
    assert "lease-000002.json" in store.names(attempt) and lease.is_ours()
    lease.release()


def test_commands_about_an_unknown_artifact_repeat_the_overrides(store):
    result = rxt("stage", "discard", "sft", "0" * 12 + "-1")
    assert result.stderr.splitlines()[-1] == "next: rxt stage show sft --set execution.train.workers=1"
