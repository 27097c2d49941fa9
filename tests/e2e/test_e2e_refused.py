"""Bad input: one clear message with the offending value and the next command, the right exit code, nothing lost."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil

import pytest

from tests.support.processes import free_port

NOBODY = "127.0.0.1:PORT"  # nobody listens there; the port is found by each test


@pytest.mark.parametrize(
    ("words", "environment", "error", "following"),
    [
        ("run tinny", {}, "tinny: unknown preset; did you mean tiny?", "rxt run tiny"),
        (
            "run --set smat.optimzer.lr=1",
            {},
            "smat.optimzer.lr: unknown; did you mean smat.optimizer.lr?",
            "rxt run --dry-run",
        ),
        (
            "run --set smat.optimizer.lr=fast",
            {},
            'smat.optimizer.lr = "fast": expected a valid number',
            "rxt run --dry-run",
        ),
        ("run --config none.toml", {}, "--config none.toml: no such file", "rxt run --config FILE"),
        ("run --until smatt", {}, "smatt: unknown stage; did you mean smat?", "rxt stage list"),
        (
            "stage rerun smat",
            {},
            "smat reads memory-pretrain, which is blocked",
            "rxt run --until memory-pretrain",
        ),
        ("chat", {}, "no stage with a model is complete", "rxt run"),
        ("run", {"RXT_STORE": "/proc/nothing"}, "store /proc/nothing cannot be used: ", "RXT_STORE=URL rxt"),
        ("run", {"RXT_STORE": "english.jsonl"}, "english.jsonl is a file, not a folder", "RXT_STORE=URL rxt"),
        ("run", {"RXT_STORE": "gopher://hole"}, "store gopher://hole: Protocol not known", "RXT_STORE=URL rxt"),
        (
            "run",
            {"MLFLOW_TRACKING_URI": f"http://{NOBODY}"},
            f"MLflow at http://{NOBODY} cannot be used: ",
            "start that server",
        ),
        (
            "run",
            {"RAY_ADDRESS": f"http://{NOBODY}"},
            "that is the dashboard's address",
            "export RAY_ADDRESS=HOST:6379",
        ),
        ("run", {"RAY_ADDRESS": NOBODY}, f"no Ray cluster answers at {NOBODY}: ", "unset RAY_ADDRESS"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_started(empty, words, environment, error, following):
    port = str(free_port())
    environment = {name: value.replace("PORT", port) for name, value in environment.items()}
    output = empty.rxt(*words.split(), code=2, **environment)
    message, remedy = output.strip().splitlines()[-2:]
    assert message.startswith("error: ") and error.replace("PORT", port) in message
    assert remedy.startswith(f"next: {following}")
    assert "Traceback" not in output
    assert not (empty.folder / "ray").exists() and not list(empty.store.glob("*/*"))


def test_gpus_that_are_not_there_are_told_before_anything_is_started(empty):
    output = empty.rxt("run", "--set", "execution.device=cuda", code=2)
    message, remedy = output.strip().splitlines()[-2:]
    assert message.startswith("error: pretrain: execution.device = cuda: 2 processes want 1 GPU each")
    assert message.endswith("and 0 GPUs for Ray")
    assert remedy == "next: rxt run --set execution.device=cpu"
    assert not list(empty.store.glob("*/*"))


def explained(workspace, stage, *parts):
    """Run up to a stage that must fail, as it would again. The message that is printed, and shown by status, holds all
    `parts`, and the last line is the command to type first."""
    output = workspace.nano("run", "--until", stage, code=1)
    headline, *rest = output.partition("\nerror: ")[2].splitlines()
    lines = [headline, *itertools.takewhile(lambda line: line.startswith("  "), rest)]
    status = workspace.status()[stage]
    assert lines[0] == f"{stage} failed"
    assert lines[1] == f"  {status['reason']}" and all(part in lines[1] for part in parts)
    following = lines[2].removeprefix("  next     ")
    assert output.splitlines()[-1] == f"next: {following}   since {stage} failed"
    assert lines[3].startswith("  log      ") and len(lines) == 4
    assert status["state"] == "failed"
    return lines


def test_a_damaged_shard_is_named(copy):
    shard = copy.artifact("interaction-shards") / "train-00001.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[:-50] + b"!" + content[-49:])
    shutil.rmtree(copy.store / "sft")
    lines = explained(copy, "sft", f"{shard} is damaged: sha256 ")
    assert lines[2] == "  next     rxt stage rerun interaction-shards --config nano.toml"


def test_a_tokenizer_that_does_not_fit_is_told_by_its_digest(copy):
    """Both inputs of a stage are whole, and their manifests match their files. But they come from different runs."""
    artifact = copy.artifact("pretrain")
    file = artifact / "model" / "config.json"
    config = json.loads(file.read_text())
    ours, other = config["tokenizer_digest"], "f" * 64
    content = json.dumps(config | {"tokenizer_digest": other}).encode()
    file.write_bytes(content)
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["outputs"]["model/config.json"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(copy.store / "sft")
    explained(copy, "sft", ours, other, str(copy.artifact("interaction-shards")))


def test_weights_with_one_other_bit_are_named_before_anything_is_started(copy):
    weights = copy.artifact("pretrain") / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    following = "rxt stage rerun pretrain --config nano.toml"
    message, remedy = copy.nano("chat", "--stage", "pretrain", "--prompt", "hello", code=2).splitlines()
    assert message.startswith(f"error: {weights} is damaged: sha256 ") and remedy == f"next: {following}"
    shutil.rmtree(copy.store / "sft")
    lines = explained(copy, "sft", f"{weights} is damaged: sha256 ")
    assert lines[2] == f"  next     {following}"


def test_a_damaged_tokenizer_is_named_by_the_stage_that_reads_it(copy):
    tokenizer = copy.artifact("tokenizer") / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes()[:-50])
    shutil.rmtree(copy.store / "export")
    lines = explained(copy, "export", f"{tokenizer} is truncated or damaged")
    assert lines[2] == "  next     rxt stage rerun tokenizer --config nano.toml"
