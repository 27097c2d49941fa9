"""Whoever reads a damaged upstream artifact names what is damaged, and the stage to run again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.rl import MrlConfig
from jobs.evaluation.stage import EvaluationInputs, evaluate, measure
from jobs.export.stage import export
from jobs.rl.controller import run_mrl
from jobs.stage.context import Look, Rerun, StageError
from jobs.stage.inputs import open_index, open_reader, open_tokenizer
from jobs.stage.model_input import check_model, open_model, open_model_config
from tests.support.evaluation_data import evaluation_context, make_world
from tests.support.recorded import recorded
from tests.support.rl_data import RecordingReporter, toy_context, toy_world

EVALUATE, MRL = EvaluateConfig(questions=4, text_rows=2), MrlConfig(iterations=1, episodes=4, held_out_episodes=4)


@pytest.fixture
def no_ray(monkeypatch):
    """Fail if anybody starts or joins Ray. Other tests in this process may have started one."""

    def refuse(execution):
        raise AssertionError("Ray was started")

    for module in ("jobs.stage.tasks", "jobs.stage.ray_setup"):
        monkeypatch.setattr(f"{module}.ensure_ray", refuse)


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path / "world")


@pytest.fixture
def episodes(tmp_path):
    return toy_world(tmp_path)


def cut(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def flip(path):
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "file", "open_it"),
    [
        ("tokenizer", "tokenizer.json", open_tokenizer),
        ("model", "model/config.json", open_model_config),
        ("model", "model/config.json", open_model),
        ("model", "model/model.safetensors", open_model),
        ("shards", "index.json", open_index),
        ("shards", "test-00000.arrow", lambda artifact: open_reader(artifact, "test")),
    ],
)
@pytest.mark.parametrize("harm", [cut, lambda p: p.write_bytes(b"\xff\xfe"), lambda p: p.unlink()])
def test_a_damaged_file_is_named_with_the_stage_to_make_again(world, name, file, open_it, harm):
    open_it(world[name])
    harm(Path(world[name].uri, file))
    with pytest.raises(StageError) as caught:
        open_it(world[name])
    assert f"{world[name].uri}/{file}" in str(caught.value) and caught.value.remedy == Rerun(world[name].stage)


@pytest.mark.parametrize("content", [[], {}, {"schema_version": 1}, {"schema_version": 1, "files": [{}]}])
def test_an_index_of_another_shape_is_damaged(world, content):
    Path(world["shards"].uri, "index.json").write_text(json.dumps(content))
    with pytest.raises(StageError, match="index.json is .*damaged"):
        open_index(world["shards"])


def test_a_split_that_nobody_wrote_is_not_damage(world):
    with pytest.raises(StageError, match="holds no shard of the train split") as caught:
        open_reader(world["shards"], "train")
    assert caught.value.remedy == Look()


def test_a_damaged_model_on_an_object_store_is_named_where_it_lies(world):
    fs = fsspec.filesystem("memory")
    fs.put(f"{world['model'].uri}/model", "/damaged/model", recursive=True)
    artifact = replace(world["model"], uri="memory://damaged")
    open_model(artifact)
    content = bytearray(fs.cat_file("/damaged/model/model.safetensors"))
    content[-1] ^= 1
    fs.pipe_file("/damaged/model/model.safetensors", bytes(content))
    for read in (open_model, check_model):
        with pytest.raises(StageError, match="memory://damaged/model/model.safetensors is damaged: sha256"):
            read(artifact)
    fs.rm_file("/damaged/model/model.safetensors")
    with pytest.raises(StageError, match="memory://damaged/model/model.safetensors is missing"):
        open_model(artifact)


def test_weights_with_one_other_bit_are_not_used(world):
    weights = Path(world["model"].uri, "model", "model.safetensors")
    open_model(world["model"])
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    before = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    weights.write_bytes(content)
    for read in (open_model, check_model):
        with pytest.raises(StageError) as caught:
            read(world["model"])
        found = hashlib.sha256(content).hexdigest()[:12]
        assert str(caught.value) == f"{weights} is damaged: sha256 {found}…, {before}… recorded"
        assert caught.value.remedy == Rerun("mrl")
    open_model_config(world["model"])


def test_the_export_is_a_model_folder_itself(world, tmp_path):
    export(evaluation_context(world, tmp_path / "out"), ExportConfig())
    exported = recorded("export", "x-1", str(tmp_path / "out"))
    open_model(exported)
    flip(tmp_path / "out" / "model.safetensors")
    with pytest.raises(StageError, match="out/model.safetensors is damaged") as caught:
        open_model(exported)
    assert caught.value.remedy == Rerun("export")


def test_evaluate_explains_what_is_damaged_before_it_starts_ray(world, tmp_path, no_ray):
    weights = "model/model.safetensors"
    harmed = {"tokenizer": "tokenizer.json", "shards": "test-00000.arrow", "model": weights, "baseline": weights}
    for name, file in harmed.items():
        path = Path(world[name].uri, file)
        before = path.read_bytes()
        cut(path)
        with pytest.raises(StageError, match=file) as caught:
            evaluate(evaluation_context(world, tmp_path / "out"), EVALUATE)
        assert caught.value.remedy == Rerun(world[name].stage)
        path.write_bytes(before)


def test_a_task_of_evaluate_explains_what_is_damaged(world):
    names = ("model", "baseline", "text", "shards", "tokenizer")
    sources = EvaluationInputs(*(world[name] for name in names), threads=1)
    flip(Path(world["text"].uri, "test-00000.arrow"))
    with pytest.raises(StageError, match="text-shards/.*/test-00000.arrow is damaged") as caught:
        measure(sources, "model", EVALUATE)
    assert caught.value.remedy == Rerun("text-shards")


def test_export_explains_what_is_damaged(world, tmp_path):
    for name, file in (("evaluation", "report.md"), ("model", "model/config.json"), ("tokenizer", "tokenizer.json")):
        Path(world[name].uri, file).unlink()
        with pytest.raises(StageError, match=file) as caught:
            export(evaluation_context(world, tmp_path / "out"), ExportConfig())
        assert caught.value.remedy == Rerun(world[name].stage)


@pytest.mark.parametrize(
    ("name", "file"),
    [("shards", "validation-00000.arrow"), ("model", "model/model.safetensors"), ("tokenizer", "tokenizer.json")],
)
def test_mrl_explains_what_is_damaged_before_it_starts_actors(episodes, tmp_path, no_ray, name, file):
    cut(f"{episodes[name].uri}/{file}")
    with pytest.raises(StageError, match=file) as caught:
        run_mrl(toy_context(episodes, tmp_path / "out", RecordingReporter()), MRL)
    assert caught.value.remedy == Rerun(name)
