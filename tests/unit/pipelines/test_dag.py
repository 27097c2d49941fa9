"""A preset has the stages that it has sections for; what a stage reads must be among them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from jobs.stage.context import StageError
from pipelines import cli, presets
from pipelines.config import PipelineConfig
from pipelines.curriculum import curriculum
from pipelines.fingerprint import fingerprint, plain

SECTIONS = [name for name in PipelineConfig.model_fields if name not in ("curriculum", "execution")]


def whole(*left_out):
    """Return a preset that has every stage, less some sections."""
    return presets.PRESETS["micro"]().model_copy(update=dict.fromkeys(left_out))


def names(config):
    return [stage.name for stage in curriculum(config)]


@pytest.fixture
def rxt(tmp_path, monkeypatch):
    """Run `rxt …` with a preset `short`, which ends with `smat`."""
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setitem(presets.PRESETS, "short", lambda: whole("episodes", "mrl", "evaluate", "export"))
    monkeypatch.setitem(presets.PRESETS, "torn", lambda: whole("baseline"))
    return lambda *words: CliRunner().invoke(cli.app, list(words))


def test_every_section_has_one_stage_and_the_other_way_round():
    given = [section for section in SECTIONS if getattr(whole(), section) is not None]
    assert sorted(fingerprint(stage.config) for stage in curriculum(whole())) == sorted(
        fingerprint(plain(getattr(whole(), section))) for section in given
    )


def test_a_stage_without_a_section_is_not_there_and_the_others_are_what_they_were():
    left_out = {"episode-shards", "mrl", "evaluate", "export"}
    short = curriculum(whole("episodes", "mrl", "evaluate", "export"))
    assert [stage.name for stage in short] == [name for name in names(whole()) if name not in left_out]
    assert short == [stage for stage in curriculum(whole()) if stage.name not in left_out]
    assert curriculum(PipelineConfig()) == []


@pytest.mark.parametrize(
    ("section", "stage", "reader", "its_section"),
    [
        ("baseline", "baseline", "evaluate", "evaluate"),
        ("episodes", "episode-shards", "mrl", "mrl"),
        ("text", "text-shards", "pretrain", "pretrain"),
        ("sft", "sft", "memory-pretrain", "memory_pretrain"),
    ],
)
def test_a_stage_that_reads_one_that_is_left_out_is_refused(section, stage, reader, its_section):
    with pytest.raises(StageError) as caught:
        curriculum(whole(section))
    assert str(caught.value) == (
        f"{reader} reads {stage}, which this preset leaves out: it has a section {its_section} and no section {section}"
    )
    assert caught.value.remedy.startswith("rxt stage list")


def test_commands_know_the_stages_of_the_preset_alone(rxt):
    listed = rxt("stage", "list", "--preset", "short")
    assert listed.exit_code == 0 and "smat" in listed.output and "mrl" not in listed.output
    dry = rxt("run", "short", "--dry-run")
    assert dry.exit_code == 0 and "\n# mrl is left out\n" in dry.output and "smat.steps = " in dry.output
    for words in (("status", "short", "--why", "mrl"), ("stage", "show", "mrl", "--preset", "short")):
        refused = rxt(*words)
        assert refused.exit_code == 2 and "mrl: unknown stage" in refused.output
    chat = rxt("chat", "short")
    assert chat.exit_code == 2 and "this preset has no export" in chat.output


def test_a_torn_preset_is_one_line_and_exit_code_2(rxt):
    refused = rxt("status", "torn")
    assert refused.exit_code == 2
    assert refused.output.splitlines() == [
        "error: evaluate reads baseline, which this preset leaves out: "
        "it has a section evaluate and no section baseline",
        "next: rxt stage list     shows what each stage reads",
    ]


def test_a_key_brings_its_section_and_with_it_the_stage(rxt):
    listed = rxt("stage", "list", "--preset", "short", "--set", "export.name=small")
    assert listed.exit_code == 2 and "export reads evaluate, which this preset leaves out" in listed.output


def test_a_model_needs_its_sections(rxt, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "blank", PipelineConfig)
    shown = rxt("model", "show", "blank")
    assert shown.exit_code == 2 and "blank: has no model" in shown.output


def test_every_stage_of_the_published_order_reads_what_it_read_before_presets_chose_the_order():
    """The inputs by name are part of each fingerprint, and so is the version."""
    text, asked = {"shards": "text-shards"}, {"shards": "conversation-shards"}
    data = {"corpus": "corpus", "tokenizer": "tokenizer"}
    read = {stage.name: {name: source.name for name, source in stage.inputs.items()} for stage in curriculum(whole())}
    assert read == {
        "corpus": {},
        "tokenizer": {"corpus": "corpus"},
        "text-shards": data,
        "interaction-shards": data,
        "conversation-shards": data,
        "episode-shards": data,
        "pretrain": text | {"tokenizer": "tokenizer"},
        "sft": {"model": "pretrain", "shards": "interaction-shards"},
        "memory-pretrain": {"model": "sft", **asked},
        "smat": {"model": "memory-pretrain", **asked},
        "mrl": {"model": "smat", "shards": "episode-shards", "tokenizer": "tokenizer"},
        "baseline": {
            "text": "text-shards",
            "interactions": "interaction-shards",
            "conversations": "conversation-shards",
            "model": "pretrain",
            "tokenizer": "tokenizer",
        },
        "evaluate": {
            "model": "mrl",
            "baseline": "baseline",
            "text": "text-shards",
            **asked,
            "tokenizer": "tokenizer",
            **{f"after-{name}": name for name in ("pretrain", "sft", "memory-pretrain", "smat")},
        },
        "export": {"model": "mrl", "tokenizer": "tokenizer", "evaluation": "evaluate"},
    }


def test_evaluate_reads_the_models_of_earlier_stages_in_the_order_of_the_curriculum():
    read = next(stage for stage in curriculum(whole()) if stage.name == "evaluate").inputs
    assert [name for name in read if name.startswith("after-")] == [
        "after-pretrain", "after-sft", "after-memory-pretrain", "after-smat",
    ]  # fmt: skip


def test_the_curriculum_says_which_stages_train_and_in_which_order():
    stages = curriculum(whole().model_copy(update={"curriculum": ("pretrain", "smat", "memory-pretrain")}))
    read = {stage.name: stage.inputs["model"].name for stage in stages if "model" in stage.inputs}
    assert read == {
        "smat": "pretrain",
        "memory-pretrain": "smat",
        "baseline": "pretrain",
        "evaluate": "memory-pretrain",
        "export": "memory-pretrain",
    }
    assert not {"sft", "mrl"} & {stage.name for stage in stages}


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ('["sft", "smat"]', "begins with sft, which reads a model: it must begin with pretrain"),
        ('["pretrain", "smat", "pretrain"]', "names pretrain twice"),
        ('["pretrain", "smatt"]', "has no stage smatt; did you mean smat?"),
        ('["pretrain", "baseline"]', "has no stage baseline; there are: pretrain"),
    ],
)
def test_an_order_that_no_model_can_go_through_is_refused(rxt, order, fault):
    refused = rxt("status", "--set", f"curriculum={order}")
    assert refused.exit_code == 2 and fault in refused.output


def test_an_empty_curriculum_is_refused(rxt):
    refused = rxt("status", "--set", "curriculum=[]")
    assert refused.exit_code == 2 and "curriculum = []" in refused.output


def test_a_key_of_a_stage_that_the_curriculum_does_not_name_is_refused(rxt):
    named = ("--set", 'curriculum=["pretrain", "memory-pretrain", "smat"]')
    refused = rxt("status", "short", *named, "--set", "sft.steps=3")
    assert refused.exit_code == 2 and "sft.steps changes nothing" in refused.output
    assert rxt("status", "short", *named, "--set", "smat.optimizer.lr=1e-4").exit_code == 0
    dry = rxt("run", "short", "--dry-run", *named)
    assert "\n# sft is left out\n" in dry.output
    assert dry.output.startswith('curriculum = ["pretrain", "memory-pretrain", "smat"]\n')


def test_a_list_takes_its_preset_as_run_does(rxt):
    listed = [rxt("stage", "list", *words).output for words in (("short",), ("--preset", "short"))]
    assert listed[0] == listed[1] and "preset short" in listed[0]
