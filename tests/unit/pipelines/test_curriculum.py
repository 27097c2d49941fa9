"""If the configuration says which data a stage takes, the DAG follows it."""

import pytest
from pydantic import ValidationError

from jobs.configs.training import MemoryPretrainConfig, PretrainConfig
from pipelines.curriculum import curriculum
from pipelines.presets import PRESETS
from rxt_model.family import ALPHA_MINI


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


def test_an_encoder_that_reads_memory_is_refused_before_anything_is_trained():
    with pytest.raises(ValidationError, match="model.encoder_memory_attention: must be left out"):
        PretrainConfig(steps=1, batch_size=1, model=ALPHA_MINI)


@pytest.mark.parametrize("name", [name for name, make in PRESETS.items() if None not in dict(make()).values()])
def test_a_kill_in_the_middle_of_a_stage_finds_a_checkpoint(name):
    c = PRESETS[name]()
    phases = (c.baseline.text, c.baseline.interactions, c.baseline.conversations)
    steps = [c.pretrain.steps, c.sft.steps, c.memory_pretrain.steps, c.smat.steps, sum(phase.steps for phase in phases)]
    assert min(steps) >= 3 * c.execution.train.checkpoint_every_steps
    assert c.mrl.iterations >= 3 * c.execution.rl.checkpoint_every_iterations
