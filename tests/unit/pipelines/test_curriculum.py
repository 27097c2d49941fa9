"""If the configuration says which data a stage takes, the DAG follows it."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from jobs.configs.rl import MrlConfig
from jobs.configs.training import MemoryPretrainConfig, SmatConfig
from pipelines.code_digest import ROOT
from pipelines.config import PipelineConfig
from pipelines.curriculum import curriculum
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from rxt_model.config import MemoryConfig


def fed_by_text(changed):
    """Return the names of the stages that take text shards, if rows of text come beside the conversations of
    `changed`."""
    tiny = PRESETS["tiny"]()
    rows = {name: 4 if name in changed else 0 for name in ("memory_pretrain", "smat")}
    changes = {name: getattr(tiny, name).model_copy(update={"text_batch_size": n}) for name, n in rows.items()}
    stages = curriculum(tiny.model_copy(update=changes))
    return {stage.name for stage in stages if "text-shards" in {source.name for source in stage.inputs.values()}}


def test_memory_stages_take_text_shards_only_if_they_rehearse():
    always = fed_by_text([])
    assert {"pretrain", "baseline", "evaluate"} <= always and not always & {"memory-pretrain", "smat"}
    assert fed_by_text(["memory_pretrain"]) == always | {"memory-pretrain"}
    assert fed_by_text(["smat"]) == always | {"smat"}


def test_text_is_refused_where_no_decoder_is_trained():
    with pytest.raises(ValidationError, match="text_batch_size = 4: must be 0"):
        MemoryPretrainConfig(steps=1, batch_size=1, objective="self-supervised", text_batch_size=4)


@pytest.mark.parametrize("variant", ["selective", "competitive"])
def test_a_write_is_trained_by_what_reaches_it(variant):
    """A selective write learns from raw reading alone, as its choice has no gradient."""
    tiny = PRESETS["tiny"]()
    model = replace(tiny.pretrain.model, memory=MemoryConfig(slots=32, variant=variant), copying=False)
    values = dict(tiny) | {
        "pretrain": tiny.pretrain.model_copy(update={"model": model}),
        "mrl": MrlConfig(iterations=1, unfreeze=(0, 0.5, 1)),
    }
    assert PipelineConfig(**values)
    steps = dict(steps=9, batch_size=4)
    writes = dict(until=9, turns=2, train=("memory",))
    for section, config, message in [
        ("memory_pretrain", MemoryPretrainConfig(**steps, objective="self-supervised"), "memory_pretrain.objective = "),
        ("smat", SmatConfig(**steps, phases=(writes,)), "smat.phases.0.train: must name more than memory"),
        ("mrl", MrlConfig(iterations=1, unfreeze=(0.5, 0.5, 1)), "mrl.unfreeze: must begin with 0"),
    ]:
        if variant == "competitive":
            assert PipelineConfig(**values | {section: config})
            continue
        with pytest.raises(ValidationError, match=f"{message}.*, as the selective write has no gradient"):
            PipelineConfig(**values | {section: config})


def test_without_reinforcement_the_model_of_smat_is_measured_and_handed_over():
    micro = PRESETS["micro"]()
    for config, last in [(micro, "mrl"), (micro.model_copy(update={"mrl": None}), "smat")]:
        read = {stage.name: stage.inputs["model"].name for stage in curriculum(config) if "model" in stage.inputs}
        assert read["evaluate"] == read["export"] == last


def test_the_first_design_trains_encoder_and_decoder_apart_and_joins_them_by_reinforcement():
    alpha = PRESETS["alpha"]()
    read = {stage.name: stage.inputs["model"].name for stage in curriculum(alpha) if "model" in stage.inputs}
    assert read == {"lm": "mlm", "mrl": "lm", "baseline": "mlm", "evaluate": "mrl", "export": "mrl"}
    later = ("mlm", "lm", "sft", "memory-pretrain", "smat", "mrl")
    stages = curriculum(alpha.model_copy(update={"curriculum": later}))
    read = {stage.name: stage.inputs["model"].name for stage in stages if "model" in stage.inputs}
    assert [read[name] for name in later[1:]] == list(later[:-1])


@pytest.mark.parametrize("name", [name for name, make in PRESETS.items() if make().pretrain])
def test_a_kill_in_the_middle_of_a_stage_finds_a_checkpoint(name):
    c = PRESETS[name]()
    phases = (c.baseline.text, c.baseline.interactions, c.baseline.conversations)
    steps = [c.pretrain.steps, c.sft.steps, c.memory_pretrain.steps, c.smat.steps, sum(phase.steps for phase in phases)]
    assert min(steps) >= 3 * c.execution.train.checkpoint_every_steps
    assert not c.mrl or c.mrl.iterations >= 3 * c.execution.rl.checkpoint_every_iterations


def test_the_small_alpha_of_the_documentation_is_the_design_of_the_card():
    small = resolve(PRESETS["alpha"](), ROOT / "tests" / "assets" / "alpha.toml")
    assert small.curriculum == ("mlm", "lm", "mrl") and small.model.encoder_memory_attention
    assert {small.interactions.length, small.conversations.length, small.episodes.length} == {small.model.length}
    assert small.execution.device == "cpu"
