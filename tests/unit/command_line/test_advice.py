"""Which command a message names last (after repeated failures, and after reruns that changed nothing), and what it
does."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.stage.context import Change, Interrupted, Look, Rerun, Restart, StageError
from pipelines import cli, session
from pipelines.artifacts import ArtifactStore
from pipelines.planner import plan
from tests.support import toy_graph
from tests.support.toy_graph import MemoryTracking, run, toy


def graph(config=None):
    """As in the real graph, what makes a model reads it as `model`, and stages that read shards depend on their
    content."""
    tokenizer = toy("tokenizer", function="makes", deterministic=True)
    shards = toy("text-shards", tokenizer, function="makes", deterministic=True)
    pretrain = toy("pretrain", shards, function="makes")
    return [tokenizer, shards, pretrain, replace(toy("export", function="makes"), inputs={"model": pretrain})]


@pytest.fixture
def broken(monkeypatch):
    """Say what the stages of these names raise."""
    errors: dict[str, Exception] = {}

    def makes(ctx, config):
        if ctx.stage in errors:
            raise errors[ctx.stage]
        Path(ctx.output_uri, "model").mkdir(exist_ok=True)
        Path(ctx.output_uri, "model", "config.json").write_text(ctx.stage)
        return {}

    monkeypatch.setattr(toy_graph, "makes", makes, raising=False)
    return errors


@pytest.fixture
def store(tmp_path, monkeypatch, broken):
    tracking = MemoryTracking()
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(session, "curriculum", graph)
    monkeypatch.setattr("pipelines.tracking.Tracking", lambda uri, preset: tracking)
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def built(store):
    assert rxt("run").exit_code == 0
    return store


def rxt(*words):
    return CliRunner().invoke(cli.app, list(words))


def last(result):
    return result.stdout.splitlines()[-1]


def states(store):
    return [status.state for status in plan(graph(), store).values()]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            StageError("the loss is nan", Change("pretrain.optimizer.lr", 0.5)),
            "next: rxt run --set pretrain.optimizer.lr=0.5   since pretrain failed",
        ),
        (StageError("no checkpoint can be read", Restart()), "next: rxt stage rerun pretrain   since pretrain failed"),
        (StageError("no rows", Look()), "next: rxt stage show pretrain   since pretrain failed"),
        (StageError("no such host", "start it"), "next: start it   then rxt run goes on with pretrain"),
        (RuntimeError("a worker died"), "next: rxt run   builds pretrain and one more"),
    ],
)
def test_the_last_line_is_the_command_that_the_failure_asks_for(store, broken, error, line):
    broken["pretrain"] = error
    result = rxt("run")
    assert result.exit_code == 1 and last(result) == line
    assert last(rxt("status")) == line
    command = line.removeprefix("next: ").partition("   ")[0]
    following = "rxt run --until pretrain" if command == "rxt run" else command
    assert last(rxt("status", "--why", "pretrain")) == f"next: {following}"
    assert rxt("stage", "rerun", "export").stderr.splitlines()[-1] == f"next: {following}"


def test_what_a_failure_asks_for_comes_before_a_stage_that_nobody_has_run(store, broken, monkeypatch):
    monkeypatch.setattr(session, "curriculum", lambda config=None: [toy("aside", function="makes"), *graph()])
    broken["pretrain"] = StageError("no rows", Look())
    rxt("run", "--until", "pretrain")
    assert last(rxt("status")) == "next: rxt stage show pretrain   since pretrain failed"


def test_resuming_is_not_offered_where_something_else_comes_first(store, broken):
    broken["pretrain"] = StageError("shard x is damaged", Rerun("text-shards"))
    text = rxt("run").stdout
    assert "  next     rxt stage rerun text-shards\n" in text and "  resume" not in text
    assert text.splitlines()[-1] == "next: rxt stage rerun text-shards   since pretrain failed"
    broken["pretrain"] = RuntimeError("a worker died")
    text = rxt("run").stdout
    assert "  resume   rxt run                    continues this attempt\n" in text


def test_what_was_asked_for_and_done_is_not_asked_for_again(store, broken):
    """The shards made again have the same content, so the failed attempt is still the one to continue."""
    broken["pretrain"] = StageError("shard x is damaged", Rerun("text-shards"))
    rxt("run")
    assert last(rxt("stage", "rerun", "text-shards")) == "next: rxt run   builds pretrain and one more"
    del broken["pretrain"]
    assert rxt("run").exit_code == 0 and states(store) == ["complete"] * 4
    assert plan(graph(), store)["pretrain"].attempt.number == 1


def test_why_names_the_next_command_of_what_is_missing_or_interrupted(store, broken):
    assert last(rxt("status", "--why", "tokenizer")) == "next: rxt run --until tokenizer"
    broken["text-shards"] = Interrupted("asked to stop")
    assert rxt("run").exit_code == 130
    assert rxt("status", "--why", "text-shards").stdout.splitlines()[1:] == [
        "text-shards is interrupted: rxt run goes on where it was", "next: rxt run --until text-shards"
    ]  # fmt: skip


@pytest.mark.parametrize("error", [StageError("bad text"), Interrupted("asked to stop")])
def test_a_rerun_that_came_to_nothing_shows_the_way_back(built, broken, error):
    first = plan(graph(), built)["text-shards"].attempt.artifact_id
    second = first.removesuffix("1") + "2"
    broken["text-shards"] = error
    state = "failed" if isinstance(error, StageError) else "interrupted"
    back = f"rxt stage discard text-shards {second}   {first} counts again"
    result = rxt("stage", "rerun", "text-shards")
    assert states(built) == ["complete", state, "blocked", "blocked"] and last(result) == f"back: {back}"
    assert last(rxt("status")) == last(rxt("status", "--why", "text-shards")) == f"back: {back}"
    assert (f"\n  back     {back}\n" in result.stdout) == (state == "failed")
    for words, message in (((), "no stage with a model is complete"), (("--stage", "pretrain"), "pretrain is blocked")):
        error, following = rxt("chat", *words).stderr.splitlines()
        assert message in error and error.endswith(f"; text-shards {second} is {state} and hides {first}")
        assert following == f"next: rxt stage discard text-shards {second}"
    assert rxt(*shlex.split(following)[2:], "--yes").exit_code == 0
    assert states(built) == ["complete"] * 4


def test_the_way_back_over_several_reruns_names_each(built, broken):
    first = plan(graph(), built)["pretrain"].attempt
    broken["pretrain"] = StageError("bad text")
    rxt("stage", "rerun", "pretrain")
    lines = rxt("stage", "rerun", "pretrain").stdout.splitlines()[-2:]
    assert lines == [
        f"back: rxt stage discard pretrain {first.short}-3   {first.short}-2 counts again",
        f"back: rxt stage discard pretrain {first.short}-2   {first.artifact_id} counts again",
    ]


def test_a_first_attempt_that_fails_has_no_way_back(store, broken):
    broken["text-shards"] = StageError("bad text")
    assert "back" not in rxt("run").stdout + rxt("status").stdout
    assert rxt("chat").stderr.splitlines() == [
        "error: no stage with a model is complete",
        "next: rxt run",
    ]


def test_what_a_running_stage_reads_is_not_discarded(store, monkeypatch):
    refused = []

    def reads(ctx, config):
        refused.append(rxt("stage", "discard", "text-shards", ctx.inputs["text-shards"].artifact_id, "--yes"))
        return {}

    monkeypatch.setattr(toy_graph, "reads", reads, raising=False)
    stages = graph()[:2]
    stages.append(toy("pretrain", stages[1], function="reads"))
    monkeypatch.setattr(session, "curriculum", lambda config: stages)
    assert run(stages, store, file=io.StringIO()) == 0
    statuses = plan(stages, store)
    (result,) = refused
    shards, pretrain = (statuses[name].attempt.artifact_id for name in ("text-shards", "pretrain"))
    assert result.exit_code == 2 and statuses["text-shards"].is_complete
    assert f"text-shards {shards} is being read by pretrain {pretrain}, which pid " in result.stderr
