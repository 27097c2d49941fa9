"""The command line: its fixed options, what it prints, its exit codes, and how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from pipelines import cli
from pipelines.artifacts import ArtifactStore
from pipelines.code_digest import ROOT
from pipelines.lease import take
from pipelines.planner import plan
from pipelines.presets import PRESETS
from tests.support.processes import SECONDS
from tests.support.toy_graph import MemoryTracking, run

HEAVY = ("torch", "ray", "mlflow", "datasets", "pyarrow", "pydantic", "numpy", "fsspec", "rich.live")
LR_CHANGED = f"config.optimizer.lr: {PRESETS['tiny']().sft.optimizer.lr} -> 0.000125"


@pytest.fixture
def rxt(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    runner = CliRunner()
    return lambda *words, **options: runner.invoke(cli.app, list(words), **options)


@pytest.fixture
def built(tmp_path, monkeypatch, rxt):
    """Build the real stage list once, with toy functions."""
    from dataclasses import replace

    import pipelines.curriculum as curriculum
    from pipelines import runner, session
    from tests.support import toy_graph

    def toys(config):
        made = {}
        for stage in curriculum.curriculum(config):
            inputs = {name: made[up.name] for name, up in stage.inputs.items()}
            made[stage.name] = replace(stage, function="tests.support.toy_graph:anything", inputs=inputs)
        return list(made.values())

    def anything(ctx, config):
        Path(ctx.output_uri, "out.txt").write_text(ctx.stage)
        if ctx.stage == "evaluate":
            Path(ctx.output_uri, "report.md").write_text("| distance | recall |\n")
        return {"result": f"made {ctx.stage}", "toy/number": 0.25}

    monkeypatch.setattr(toy_graph, "anything", anything, raising=False)
    monkeypatch.setattr(session, "curriculum", toys)
    monkeypatch.setattr(runner, "demand_of", lambda config, execution: None)  # toys train nothing
    stages = session.Session.open("tiny", None, []).stages
    assert run(stages, ArtifactStore(str(tmp_path / "store")), tracking=MemoryTracking()) == 0
    return stages


def options_of(command, path="rxt"):
    """Return one line per command: its arguments and options, without help texts."""
    words = [path]
    for parameter in sorted(command.params, key=lambda p: (p.param_type_name, p.name)):
        words.append(
            "/".join(parameter.opts) + (" …" if parameter.nargs == -1 or getattr(parameter, "multiple", 0) else "")
        )
    yield " | ".join(words)
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from options_of(inner, f"{path} {name}")


def test_the_option_list_is_frozen():
    found = "\n".join(options_of(typer.main.get_command(cli.app))) + "\n"
    assert found == (ROOT / "tests/assets/cli_options.txt").read_text()


def test_help_loads_nothing_heavy():
    code = f"""
import sys
sys.argv = ["rxt", "--help"]
from pipelines import cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=SECONDS
    ).stdout
    assert out.splitlines()[-1] == "[]"


def test_status_and_planning_load_neither_torch_nor_ray_nor_mlflow(tmp_path):
    code = """
import sys
sys.argv = ["rxt", "status", "--json"]
from pipelines import cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code
print([name for name in ("torch", "ray", "mlflow", "datasets", "pyarrow") if name in sys.modules])
"""
    environment = {**os.environ, "RXT_STORE": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert out.stdout.splitlines()[-1] == "[]"


def test_status_of_an_empty_store(rxt):
    result = rxt("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "preset tiny" in lines[0] and lines[1].split() == ["stage", "state", "artifact", "took", "result", "note"]
    assert lines[2].split()[:2] == ["corpus", "missing"] and "waits for corpus" in lines[-2]
    assert lines[-1].startswith("next: rxt run")


def test_status_json_has_the_agreed_keys(rxt, tmp_path, built):
    found = json.loads(rxt("status", "--json", "--set", "sft.optimizer.lr=1.25e-4").stdout)
    assert list(found) == ["preset", "overrides", "store", "tracking_uri", "stages"]
    assert found["overrides"] == ["sft.optimizer.lr=0.000125"] and found["store"] == str(tmp_path / "store")
    by_name = {stage["stage"]: stage for stage in found["stages"]}
    assert list(by_name["sft"]) == [
        "stage", "state", "artifact_id", "uri", "fingerprint", "attempt", "mlflow_run_id", "seconds", "result", "reason"
    ]  # fmt: skip
    assert by_name["pretrain"]["state"] == "complete" and by_name["pretrain"]["mlflow_run_id"].startswith("run-")
    assert Path(by_name["pretrain"]["uri"], "manifest.json").exists()
    assert by_name["sft"]["state"] == "stale" and by_name["sft"]["reason"] == LR_CHANGED
    assert by_name["export"]["reason"] == "waits for sft"


def test_suggested_commands_repeat_the_overrides(rxt, built):
    text = rxt("status", "--set", "sft.optimizer.lr=1.25e-4").stdout
    assert text.splitlines()[0].endswith("preset tiny   set sft.optimizer.lr=1.25e-4")
    assert "next: rxt run --set sft.optimizer.lr=1.25e-4" in text
    assert "rxt status --why sft --set sft.optimizer.lr=1.25e-4" in text


def test_a_file_of_overrides_is_named_and_not_spelled_out(rxt, built, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[sft]\nsteps = 7\nbatch_size = 8\n")
    text = rxt("status", "--config", str(file)).stdout
    assert text.splitlines()[0].endswith(f"preset tiny   config {file}")
    found = json.loads(rxt("status", "--config", str(file), "--json").stdout)
    assert found["overrides"] == ["sft.steps=7", "sft.batch_size=8"]


def test_a_job_reads_the_uploaded_file_and_names_the_one_that_was_typed(rxt, built, tmp_path, monkeypatch):
    uploaded = tmp_path / "config.toml"
    uploaded.write_text("[sft]\nsteps = 7\n")
    monkeypatch.setenv("RXT_JOB_CONFIG", str(uploaded))
    lines = rxt("status", "--config", "elsewhere/mine.toml").stdout.splitlines()
    assert lines[0].endswith("preset tiny   config elsewhere/mine.toml")
    assert lines[-1].startswith("next: rxt run --config elsewhere/mine.toml   builds sft")


def test_why(rxt, built):
    words = ("--set", "sft.optimizer.lr=1.25e-4", "--set", "sft.seed=71")
    text = rxt("status", "--why", "sft", *words).stdout
    assert "sft is stale" in text and f"  {LR_CHANGED}" in text and "  config.seed: 0 -> 71" in text
    assert "rxt status --why sft" in rxt("status", "--why", "smat", *words).stdout
    assert json.loads(rxt("status", "--why", "sft", "--json", *words).stdout)["changes"][1] == "config.seed: 0 -> 71"


def test_run_reuses_what_is_complete(rxt, built):
    result = rxt("run")
    assert result.exit_code == 0 and result.stdout.count(": reused ") == len(built)
    assert result.stdout.splitlines()[-1] == "next: rxt chat"
    found = json.loads(rxt("run", "--json").stdout)
    assert found["exit_code"] == 0 and {stage["state"] for stage in found["stages"]} == {"complete"}


def test_dry_run_prints_the_plan_and_every_key(rxt, built):
    text = rxt("run", "--dry-run", "--until", "sft", "--set", "sft.seed=73").stdout
    assert "\nmemory-pretrain.seed = 0\n" in text and "\nsft.optimizer.betas = [0.9, 0.95]\n" in text
    assert "sft.seed = 73" in text and "config.seed: 0 -> 73" in text and "\nsmat " not in text
    assert text.splitlines()[-1].startswith("next: rxt run --until sft --set sft.seed=73 ")
    assert json.loads(rxt("run", "--dry-run", "--json").stdout)["config"]["export"]["name"] == "rxt-tiny"


def test_stage_list_names_every_stage_with_its_inputs(rxt, built):
    found = json.loads(rxt("stage", "list", "--json").stdout)["stages"]
    assert [stage["stage"] for stage in found] == [stage.name for stage in built]
    assert {
        "stage": "sft", "summary": "joint fine-tuning on interactions", "inputs": ["pretrain", "interaction-shards"]
    } in found  # fmt: skip
    assert "interaction-shards" in rxt("stage", "list").stdout


def test_stage_show(rxt, built):
    text = rxt("stage", "show", "evaluate").stdout
    assert "batch_size = " in text and "toy/number = 0.25" in text and "| distance | recall |" in text
    assert json.loads(rxt("stage", "show", "sft", "--json").stdout)["attempts"][0]["state"] == "complete"


def test_the_run_that_a_later_command_opened_is_shown(rxt, built, tmp_path):
    store = ArtifactStore(str(tmp_path / "store"))
    store.write_json(
        plan(built, store)["sft"].attempt, "run.json", {"mlflow_run_id": "later", "unsent": 0, "files": []}
    )
    assert "mlflow run later" in rxt("stage", "show", "sft").stdout
    assert json.loads(rxt("stage", "show", "sft", "--json").stdout)["attempts"][0]["mlflow_run_id"] == "later"


def test_discard_asks_lists_what_was_built_and_gives_way_to_nothing(rxt, built, tmp_path):
    store = ArtifactStore(str(tmp_path / "store"))
    attempt = plan(built, store)["sft"].attempt
    kept = rxt("stage", "discard", "sft", attempt.artifact_id, input="n\n")
    assert kept.exit_code == 2 and "memory-pretrain" in kept.stdout and store.attempts("sft") == [attempt]
    silent = rxt("stage", "discard", "sft", attempt.artifact_id)
    assert silent.exit_code == 2 and f"rxt stage discard sft {attempt.artifact_id} --yes" in silent.stderr
    assert rxt("stage", "discard", "sft", "0" * 12 + "-1", "--yes").exit_code == 2
    assert rxt("stage", "discard", "sft", attempt.artifact_id, "--yes").exit_code == 0
    assert plan(built, store)["sft"].state == "missing" and plan(built, store)["smat"].state == "blocked"


def test_discard_refuses_what_is_being_written(rxt, built, tmp_path):
    """And the command that the message names repeats the overrides."""
    store = ArtifactStore(str(tmp_path / "store"))
    attempt = store.next_attempt("sft", plan(built, store)["sft"].fingerprint)
    lease = take(store, attempt, print)
    result = rxt("stage", "discard", "sft", attempt.artifact_id, "--yes", "--set", "smat.seed=5")
    lease.release()
    assert result.exit_code == 2 and f"pid {os.getpid()}" in result.stderr
    assert result.stderr.splitlines()[-1] == "next: rxt status --set smat.seed=5"
    assert attempt in store.attempts("sft")


def test_rerun_with_downstream_names_all_that_follow(rxt, built):
    from pipelines.session import Session

    session = Session.open("tiny", None, [])
    assert [s.name for s in session.targets_of_rerun("sft", False)] == ["sft"]
    assert [s.name for s in session.targets_of_rerun("smat", True)] == ["smat", "evaluate", "export"]


def test_model_show_prints_the_exact_figures_and_the_card(rxt):
    text = rxt("model", "show", "beta").stdout
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["decoder"][1:3] == ["2,841,937,920", "194,807,808"]
    assert rows["whole"][1:2] == ["2,927,674,880"] and "190,089,216 active" in text
    assert "card: decoder 2.85B, 190M active; encoder 97M; MLM head 33.8M" in text
    assert "(21 layers x 4,096 slots x 512)  44,040,192   168 MiB" in text


def test_model_show_json_has_every_part_in_values_and_bytes(rxt):
    found = json.loads(rxt("model", "show", "beta", "--json").stdout)
    parts = {part["name"]: part for part in found["parts"]}
    assert parts["encoder"]["parameters"] == 96_958_976
    assert parts["encoder"]["bytes"] == {"fp32": 4 * 96_958_976, "bf16": 2 * 96_958_976}
    assert parts["decoder"]["flops"].keys() == {"matrices", "attention"}
    assert found["bytes_held"]["memory"]["fp32"] == 4 * 44_040_192
    assert found["config"]["vocab_size"] == 65_536 and found["preset"] == "beta"


def test_model_show_of_a_preset_is_the_model_that_it_trains(rxt):
    config = PRESETS["tiny"]()
    found = json.loads(rxt("model", "show", "tiny", "--json").stdout)
    assert found["config"]["vocab_size"] == config.tokenizer.vocab_size and found["card"] == ""
    assert found["parts"][-1]["parameters"] == 1_688_883  # with the head of training


def test_model_show_of_a_changed_preset_is_the_changed_model(rxt, tmp_path):
    sets = ("--set", "pretrain.model.memory.slots=16", "--set", "tokenizer.vocab_size=1024")
    found = json.loads(rxt("model", "show", "tiny", "--json", *sets).stdout)
    assert found["config"]["memory"]["slots"] == 16 and found["config"]["vocab_size"] == 1_024
    (tmp_path / "mine.toml").write_text("[pretrain.model.memory]\nslots = 8\n")
    found = json.loads(rxt("model", "show", "beta", "--json", "--config", str(tmp_path / "mine.toml")).stdout)
    assert found["config"]["memory"]["slots"] == 8 and found["card"] == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model", "show", "betta"], "betta: unknown model; did you mean beta?"),
        (["model", "show", "betta", "--set", "text.length=64"], "betta: unknown model; did you mean beta?"),
        (
            ["model", "show", "alpha-mini", "--set", "text.length=64"],
            "alpha-mini: a published model has no settings; --set and --config change a preset's",
        ),
        (["run", "tny"], "tny: unknown preset; did you mean tiny?"),
        (["run", "--until", "smta"], "smta: unknown stage; did you mean smat?"),
        (["status", "--why", "sff"], "sff: unknown stage; did you mean sft?"),
        (
            ["run", "--set", "pretrain.optimzer.lr=1"],
            "pretrain.optimzer.lr: unknown; did you mean pretrain.optimizer.lr?",
        ),
        (["stage", "rerun", "sft"], "sft reads pretrain, which is blocked"),
        (["stage", "show", "corpsu"], "corpsu: unknown stage; did you mean corpus?"),
        (["chat"], "no stage with a model is complete"),
        (["chat", "--stage", "corpus"], "corpus is missing"),
        (["chat", "--example", "de"], "--example de: not one of en, pl"),
        (["submit", "status"], "status: only `run` and `stage rerun` are submitted"),
    ],
)
def test_wrong_use_is_one_message_the_next_command_and_code_2(rxt, words, message):
    result = rxt(*words)
    assert result.exit_code == 2
    first, last = result.stderr.splitlines()
    assert first == f"error: {message}" and last.startswith("next: rxt ")


@pytest.mark.parametrize(
    "words", [["run"], ["status"], ["stage", "list"], ["stage", "show", "sft"], ["stage", "discard", "sft", "x"]]
)
def test_with_json_an_error_is_an_object_too(rxt, words):
    result = rxt(*words, "--json", "--set", "sft.sed=1")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["error"].startswith("sft.sed: unknown") and found["exit_code"] == 2
    assert result.stderr.splitlines()[-1] == f"next: {found['next']}"


def test_every_command_prints_preset_and_overrides(rxt, built, tmp_path, monkeypatch):
    words = ["--set", "sft.seed=0"]
    artifact = plan(built, ArtifactStore(str(tmp_path / "store")))["sft"].attempt.artifact_id
    monkeypatch.setattr("pipelines.chat.chat", lambda model, tokenizer, title, *_, **__: print(title))
    monkeypatch.setattr("pipelines.session.Session.model", lambda self, stage: (SimpleNamespace(stage="export"), ""))
    commands = [["status"], ["status", "--why", "sft"], ["run"], ["stage", "list"], ["stage", "show", "sft"]]
    for command in commands:
        found = json.loads(rxt(*command, *words, "--json").stdout)
        assert (found["preset"], found["overrides"]) == ("tiny", ["sft.seed=0"]), command
    for command in (*commands, ["chat"], ["stage", "discard", "sft", artifact, "--yes"]):
        assert rxt(*command, *words).stdout.splitlines()[0].endswith("preset tiny   set sft.seed=0"), command


def test_usage_shows_what_can_be_left_out_once(rxt):
    for command in ("run", "status", "chat"):
        usage = rxt(command, "--help").stdout
        assert "[PRESET]" in usage and "[[" not in usage


def test_unknown_and_unwritable_stores(rxt, tmp_path, monkeypatch):
    for url in ("nosuch://bucket", "/", "zip://x", "github://x", "reference://x"):
        monkeypatch.setenv("RXT_STORE", url)
        result = rxt("status")
        assert result.exit_code == 2 and f"error: store {url}" in result.stderr
    (tmp_path / "file").touch()
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "file/store"))
    result = rxt("run")
    assert result.exit_code == 2 and f"{tmp_path}/file/store" in result.stderr and "next: " in result.stderr
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "file"))
    result = rxt("run")
    assert result.exit_code == 2 and f"store {tmp_path}/file is a file, not a folder" in result.stderr


def test_unknown_command_and_option_are_code_2(rxt):
    assert rxt("rn").exit_code == 2 and rxt("run", "--lr", "3").exit_code == 2


def test_progress_lines_off_a_terminal(tmp_path):
    import io

    from pipelines.display import Board, byte_size, console_on, duration

    out = io.StringIO()
    with Board(console_on(out)) as board:
        board.started("smat")
        board.progress("smat", 10, 100, "loss 2.10, 900 tokens/s")
        board.progress("smat", 11, 100, "loss 2.09, 900 tokens/s")  # too soon for another line
        time.sleep(0.01)
        board.progress("smat", 100, 100, "loss 0.10")
    assert out.getvalue() == "smat: 10/100   loss 2.10, 900 tokens/s\nsmat: 100/100   loss 0.10\n"
    assert [duration(s) for s in (0.25, 48, 125, 660, 3900)] == ["0.2 s", "48 s", "2 min 5 s", "11 min", "1 h 05 min"]
    sizes = [byte_size(n) for n in (0, 1023, 24 * 1024, 1_030_000, 11_367_751_680, 2**43)]
    assert sizes == ["0 B", "1,023 B", "24.0 KiB", "1,006 KiB", "10.6 GiB", "8,192 GiB"]


def test_with_json_whatever_libraries_print_goes_to_stderr(rxt, built, monkeypatch):
    from tests.support import toy_graph

    def chatty(ctx, config):
        print("a library speaks")
        return {"result": "made"}

    monkeypatch.setattr(toy_graph, "anything", chatty)
    monkeypatch.setattr("pipelines.tracking.Tracking", lambda uri, preset: MemoryTracking())
    result = rxt("stage", "rerun", "export", "--json")
    assert json.loads(result.stdout)["exit_code"] == 0 and "a library speaks" in result.stderr
