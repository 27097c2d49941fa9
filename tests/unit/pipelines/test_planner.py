"""One table: what was built and changed, and the state and reason of every stage."""

from __future__ import annotations

import json

import pytest

from jobs.stage.context import StageError
from pipelines.artifacts import MANIFEST, ArtifactStore
from pipelines.lease import take
from pipelines.planner import downstream, named, needed, plan
from tests.support.toy_graph import QUICK, run, toy


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


def graph(data="d", model="m", tail="t"):
    base = toy("data", deterministic=True, text=data)
    side = toy("side", base, text="s")
    middle = toy("model", base, text=model)
    last = toy("tail", middle, side, text=tail)
    return [base, side, middle, last, toy("end", last)]


def states(stages, store):
    return {name: status.state for name, status in plan(stages, store).items()}


def test_empty_store(store):
    statuses = plan(graph(), store)
    assert [s.state for s in statuses.values()] == ["missing", "blocked", "blocked", "blocked", "blocked"]
    assert statuses["end"].reason == "waits for data"


def test_complete_after_a_run_and_reused(store):
    run(graph(), store)
    assert set(states(graph(), store).values()) == {"complete"}


def test_changed_config_makes_stale_with_the_difference_and_blocks_what_follows(store):
    run(graph(), store)
    statuses = plan(graph(model="other"), store)
    assert [s.state for s in statuses.values()] == ["complete", "complete", "stale", "blocked", "blocked"]
    assert statuses["model"].reason == "config.text: m -> other"
    assert statuses["end"].reason == "waits for model"


def test_several_changes_are_counted_and_all_listed(store):
    base = toy("data", text="d")
    run([base], store)
    status = plan([toy("data", text="e", steps=2)], store)["data"]
    assert status.reason == "config.text: d -> e (and 1 more)"
    assert status.changes == ("config.text: d -> e", "config.steps: 0 -> 2")


def test_rerun_makes_exactly_the_next_stage_stale(store):
    run(graph(), store)
    stages = graph()
    run(stages, store, targets=[stages[2]], fresh=["model"])
    statuses = plan(stages, store)
    assert [s.state for s in statuses.values()] == ["complete", "complete", "complete", "stale", "blocked"]
    short = statuses["model"].attempt.short
    assert statuses["tail"].reason == f"inputs.model: {short}-1 -> {short}-2"
    assert statuses["end"].waits_for == ("tail",)


def test_rerun_of_a_deterministic_stage_leaves_what_follows_complete(store):
    run(graph(), store)
    stages = graph()
    run(stages, store, targets=[stages[0]], fresh=["data"])
    statuses = plan(stages, store)
    assert statuses["data"].attempt.number == 2
    assert {s.state for s in statuses.values()} == {"complete"}


def test_going_back_finds_the_earlier_artifacts(store):
    run(graph(), store)
    before = {name: s.attempt for name, s in plan(graph(), store).items()}
    run(graph(model="other"), store)
    assert {name: s.attempt for name, s in plan(graph(), store).items()} == before


def test_failed_interrupted_and_running(store, tmp_path):
    flag = tmp_path / "flag"
    flag.touch()
    stages = [toy("data", fails_while=str(flag))]
    run(stages, store)
    status = plan(stages, store)["data"]
    assert (status.state, status.reason) == ("failed", f"data cannot while {flag} exists")
    store.remove(status.attempt, "failure.json")
    assert states(stages, store) == {"data": "interrupted"}
    lease = take(store, status.attempt, print, times=QUICK)
    assert states(stages, store) == {"data": "running"}
    assert "pid" in plan(stages, store)["data"].reason
    lease.release()
    assert states(stages, store) == {"data": "interrupted"}


def test_version_is_identity(store):
    from dataclasses import replace

    base = toy("data")
    run([base], store)
    assert plan([replace(base, version=2)], store)["data"].reason == "version: 1 -> 2"


def test_manifest_is_what_makes_complete(store):
    run(graph(), store)
    attempt = plan(graph(), store)["model"].attempt
    store.remove(attempt, MANIFEST)
    assert states(graph(), store)["model"] == "interrupted"


def test_code_change_is_a_note_not_a_state(store):
    run(graph(), store)
    attempt = plan(graph(), store)["model"].attempt
    manifest = store.manifest(attempt)
    manifest["provenance"]["code"] = {"jobs/training/fit.py": "0"}
    store.write_json(attempt, MANIFEST, manifest)
    status = plan(graph(), store)["model"]
    assert (status.state, status.reason) == ("complete", "code changed since: jobs/training/fit.py")


def test_a_damaged_manifest_says_where_it_lies(store, tmp_path):
    run(graph(), store)
    attempt = plan(graph(), store)["model"].attempt
    path = tmp_path / "store" / "model" / attempt.artifact_id / MANIFEST
    path.write_text(path.read_text()[:100])
    with pytest.raises(StageError, match=f"{attempt.artifact_id}/manifest.json is damaged"):
        plan(graph(), store)


def test_selection():
    stages = graph()
    assert [s.name for s in needed(stages, "model")] == ["data", "model"]
    assert [s.name for s in needed(stages, None)] == ["data", "side", "model", "tail", "end"]
    assert [s.name for s in downstream(stages, "side")] == ["tail", "end"]
    with pytest.raises(StageError, match="modle: unknown stage; did you mean model?"):
        named(stages, "modle")


def test_the_manifest_tells_what_it_was_made_of(store):
    run(graph(), store)
    statuses = plan(graph(), store)
    manifest = json.loads(json.dumps(statuses["tail"].manifest))
    assert manifest["payload"]["inputs"] == {
        "model": statuses["model"].attempt.artifact_id,
        "side": statuses["side"].attempt.artifact_id,
    }
    assert statuses["model"].payload["inputs"] == {"data": statuses["data"].manifest["content_digest"]}
    assert list(manifest["outputs"]) == ["out.txt"]
    assert manifest["outputs"]["out.txt"]["size"] == len("dmdst")
    assert manifest["metrics"] == {"toy/texts": 2} and manifest["result"] == "2 texts"
    assert {"commit", "code", "packages", "hardware", "command"} <= set(manifest["provenance"])
    assert manifest["provenance"]["packages"]["ray"].startswith("2.60")
