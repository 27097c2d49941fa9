"""The stage `export`: what it hands over, and what it refuses."""

from __future__ import annotations

import re

import pytest

from jobs.configs.evaluation import ExportConfig
from jobs.export.stage import export
from jobs.stage.context import StageError
from jobs.stage.model_folder import load_model
from rxt_model.files.checkpoint import from_pretrained, save_pretrained
from rxt_model.files.weights import WEIGHTS
from rxt_model.size import parameters
from tests.support.evaluation_data import digest_of, evaluation_context, foreign_tokenizer, make_world
from tokenization.bpe.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


def test_export_is_read_back_bit_for_bit(world, tmp_path):
    ctx = evaluation_context(world, tmp_path / "out")
    figures = export(ctx, ExportConfig(name="rxt-test"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "README.md",
    }  # fmt: skip
    model, exported = load_model(f"{world['model'].uri}/model"), from_pretrained(tmp_path / "out")
    assert all(a.equal(b) for a, b in zip(model.state_dict().values(), exported.state_dict().values(), strict=True))
    assert figures["export/parameters"] == parameters(model)
    assert Tokenizer.load(str(tmp_path / "out" / "tokenizer.json")).digest == digest_of(world["tokenizer"])
    export(ctx, ExportConfig(name="rxt-test"))  # a repeated attempt writes over what was there


def test_export_works_on_an_object_store(world, tmp_path):
    figures = export(evaluation_context(world, "memory://exports/one"), ExportConfig())
    assert parameters(load_model("memory://exports/one")) == figures["export/parameters"]


def test_the_card_names_sizes_stages_figures_and_law(world, tmp_path):
    export(evaluation_context(world, tmp_path / "out"), ExportConfig(name="rxt-test"))
    card = (tmp_path / "out" / "README.md").read_text()
    total = parameters(load_model(f"{world['model'].uri}/model"))
    for part in (
        "# rxt-test", f"{total:,}", "P.453260", "ATTRIBUTION.md", "Apache-2.0", "RxT, memory zeroed (control)",
        digest_of(world["tokenizer"]),
    ):  # fmt: skip
        assert part in card, part
    rows = re.findall(r"^\| (\S+) +\| +(0123456789ab-\w+) \|", card, re.MULTILINE)
    assert rows == [("smat", "0123456789ab-none"), ("mrl", "0123456789ab-rxt")]
    assert card.count("\n# ") == 0


def test_the_code_on_the_card_runs(world, tmp_path, monkeypatch, capsys):
    export(evaluation_context(world, tmp_path / "out"), ExportConfig())
    code = (tmp_path / "out" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path / "out")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("\n") >= 2


def test_export_refuses_a_tokenizer_that_does_not_fit(world, tmp_path):
    other = foreign_tokenizer(tmp_path)
    with pytest.raises(StageError) as error:
        export(evaluation_context(world | {"tokenizer": other}, tmp_path / "out"), ExportConfig())
    assert digest_of(other) in str(error.value) and digest_of(world["tokenizer"]) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_export_notices_weights_that_changed_on_the_way(world, tmp_path, monkeypatch):
    """One weight changes between writing and reading back."""
    import jobs.export.stage as module

    def upload_damaged(folder, uri):
        model = from_pretrained(folder)
        model.decoder.head.bias.data[17] += 1e-4
        save_pretrained(model, folder)
        upload(folder, uri)

    upload = module.upload
    monkeypatch.setattr(module, "upload", upload_damaged)
    with pytest.raises(StageError, match="its logits differ"):
        export(evaluation_context(world, tmp_path / "out"), ExportConfig())
    assert (tmp_path / "out" / WEIGHTS).exists()
