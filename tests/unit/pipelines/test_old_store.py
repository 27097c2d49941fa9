"""A store that older commits wrote: every command says in one line what it cannot read, or plans afresh.

`tests/assets/old_store` was written by commit 39ef87d (toy stages: two complete, one failed, one killed) and by 6c24849
(the first stages of the nano pipeline, of which only the records are kept). Names of machines and folders are replaced.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import cli, session
from pipelines.artifacts import SCHEMA, ArtifactStore
from pipelines.code_digest import ROOT
from pipelines.fingerprint import flatten
from pipelines.planner import plan
from tests.support.toy_graph import run, toy

OLD = ROOT / "tests" / "assets" / "old_store"
RECORDS = sorted(
    str(path.relative_to(OLD)) for stage in ("model", "stops", "fails") for path in (OLD / stage).rglob("*.json")
)
COMMANDS = (["status"], ["status", "--json"], ["run", "--dry-run"], *(["stage", "show", n] for n in ("base", "stops")))


def stages(config=None):
    """Make the stages that the older code was asked for."""
    base = toy("base", deterministic=True, text="b")
    stops = toy("stops", base, function="count", steps=6, pause=0.2)
    return [base, toy("model", base, text="m"), stops, toy("fails", base, fails_while="blocked")]


@pytest.fixture
def old(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "store")
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


@pytest.fixture
def toys(old, monkeypatch):
    monkeypatch.setattr(session, "curriculum", stages)
    return old


def rxt(*words):
    """Return exit code and error lines. A command that raises anything else fails the test."""
    result = CliRunner().invoke(cli.app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
    assert "Traceback" not in result.output
    return result


def says_one_line(result) -> bool:
    """Check that nothing is wrong, or that one line says what is wrong, and one what to type."""
    errors = result.stderr.splitlines()
    return result.exit_code == 0 or (
        result.exit_code == 2 and [line.partition(" ")[0] for line in errors] == ["error:", "next:"]
    )


def edit(path: Path, change) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps(change(record) or record))


def test_what_is_complete_counts_and_the_rest_goes_on(toys):
    states = {name: status.state for name, status in plan(stages(), ArtifactStore(str(toys))).items()}
    assert states == {"base": "complete", "model": "complete", "stops": "interrupted", "fails": "failed"}
    assert all(says_one_line(rxt(*words)) for words in COMMANDS)
    assert run(stages(), ArtifactStore(str(toys))) == 0
    steps = (next((toys / "stops").iterdir()) / "step-log").read_text().split()
    assert steps == ["1", "2", "3", "4", "5", "6"]  # three of them by the older code


def test_the_stages_of_then_are_planned_afresh_and_say_what_differs(old):
    found = json.loads(rxt("status", "--json").stdout)["stages"]
    states = {stage["stage"]: (stage["state"], stage["reason"]) for stage in found}
    assert states["corpus"][0] == "stale" and states["corpus"][1].startswith("version: 1 -> 12")
    assert states["pretrain"] == ("blocked", "waits for corpus")
    assert rxt("stage", "show", "pretrain").exit_code == 0


@pytest.mark.parametrize("record", RECORDS)
def test_no_key_that_a_record_may_lack_ends_in_a_traceback(toys, record):
    whole = (OLD / record).read_text()
    parts = [
        key.split(".") for key, _ in flatten(json.loads(whole)) if not {"packages", "execution"} & set(key.split("."))
    ]
    for path in {tuple(key[:depth]) for key in parts for depth in range(1, len(key) + 1)}:

        def without(found, path=path):
            for key in path[:-1]:
                found = found[int(key) if isinstance(found, list) else key]
            del found[int(path[-1]) if isinstance(found, list) else path[-1]]

        (toys / record).write_text(whole)
        try:
            edit(toys / record, without)
        except (KeyError, ValueError):  # a key with a dot in it
            continue
        for words in (["status", "--json"], ["stage", "show", record.partition("/")[0]]):
            assert says_one_line(rxt(*words)), (record, path, words)


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "next"])
def test_a_manifest_of_another_schema_is_named_with_the_way_out(toys, schema):
    path = next((toys / "model").glob("*/manifest.json"))
    edit(path, lambda record: record | {"schema": schema})
    name = path.parent.name
    for words in (["status"], ["run"], ["stage", "show", "base"]):
        result = rxt(*words)
        assert result.exit_code == 2
        assert result.stderr.splitlines() == [
            f"error: model {name} was written by another version of this code (store schema {schema}, this one reads "
            f"{SCHEMA}): discard it, or name a new store by RXT_STORE",
            f"next: rxt stage discard model {name}",
        ]
    assert rxt("stage", "discard", "model", name, "--yes").exit_code == 0
    assert plan(stages(), ArtifactStore(str(toys)))["model"].state == "missing"


def test_one_of_another_schema_and_another_configuration_is_in_nobody_s_way(toys, monkeypatch):
    edit(next((toys / "model").glob("*/manifest.json")), lambda record: record | {"schema": 99})
    changed = [*stages()[:1], toy("model", stages()[0], text="other")]
    monkeypatch.setattr(session, "curriculum", lambda config: changed)
    assert plan(changed, ArtifactStore(str(toys)))["model"].state == "missing"
    shown = rxt("stage", "show", "model")
    assert shown.exit_code == 0 and "unreadable" in shown.output and "store schema 99" in shown.output


def test_what_is_written_names_its_schema(toys):
    store = ArtifactStore(str(toys))
    assert run([toy("new")], store) == 0
    (attempt,) = store.attempts("new")
    assert json.loads(store.read_text(attempt, "manifest.json"))["schema"] == SCHEMA
