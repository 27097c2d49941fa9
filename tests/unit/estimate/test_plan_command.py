"""`rxt plan`: what it prints, and what it says to whom asks for the impossible."""

import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from jobs.configs.preferences import PreferenceShardsConfig
from pipelines import cli
from pipelines.code_digest import ROOT
from pipelines.estimate.downloads import downloads
from pipelines.estimate.stages import Conversations, step_kinds
from pipelines.presets import PRESETS
from rxt_model.estimate.gpus import GPUS
from tokenization.conversations.data_set import ConversationSource
from tokenization.packages.sizes import MEGABYTES
from tokenization.packages.table import PACKAGES


@pytest.fixture
def rxt(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    return lambda line: CliRunner().invoke(cli.app, shlex.split(line))


def way_out(refused) -> str:
    """Return the command that a refusal names."""
    assert refused.exit_code == 2, refused.output
    return re.findall(r"^next: rxt (.*)$", refused.output, re.MULTILINE)[0]


def test_a_plan_has_bytes_time_and_cost_of_every_stage(rxt):
    found = json.loads(rxt("plan --gpus 2 --gpu a100-40gb --price 3 --json").output)
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert list(stages) == ["pretrain", "sft", "memory-pretrain", "smat", "baseline"]
    for stage in stages.values():
        *parts, whole = stage["bytes"].values()
        assert sum(parts) == whole < GPUS["a100-40gb"].memory
        assert stage["cost"] == pytest.approx(2 * 3 * stage["seconds"] / 3600)
        assert 0 < stage["mfu"] < 1
    assert found["cost"] == pytest.approx(sum(stage["cost"] for stage in stages.values()))
    # batches of 32 rows of 128 tokens
    assert stages["pretrain"]["tokens"] == stages["pretrain"]["steps"] * 32 * 128
    fitting = [layout for layout in found["layouts"] if layout["fits"]]
    assert fitting == sorted(fitting, key=lambda layout: layout["seconds"])
    assert {(layout["expert_parallel"], layout["shard"], layout["recompute"]) for layout in found["layouts"]} == {
        (degree, shard, recompute) for degree in (1, 2) for shard in ("root", "block") for recompute in (False, True)
    }


def test_the_text_names_what_was_predicted_and_a_command_that_can_be_run(rxt):
    text = rxt("plan --gpus 2").output
    assert "tiny on 2 x h100-80gb, predicted: FSDP 2" in text
    assert "the preset's own" in text and "downloads: 7 packages, 31 MB" in text
    assert rxt(f"{way(text)} --dry-run").exit_code == 0


def way(text: str) -> str:
    return re.findall(r"^next: rxt (run .*)$", text, re.MULTILINE)[0]


def test_a_dry_run_prints_the_short_form(rxt):
    assert "asks for no GPUs; what one would take: rxt plan --gpus 1\n" in rxt("run --dry-run").output
    planned = json.loads(rxt("run micro --dry-run --json").output)["plan"]
    assert re.fullmatch(r"planned on 8 x h100-80gb: FSDP 8, .*, at most [\d.]+ of 80 GB per GPU \(smat\), .*", planned)
    uneven = "--set execution.train.expert_parallel=8"
    assert "must divide the 12 experts of a layer; more: rxt plan micro" in rxt(f"run micro --dry-run {uneven}").output


def test_a_preset_of_few_stages_is_planned(rxt, monkeypatch):
    kept = ("curriculum", "corpus", "tokenizer", "text", "pretrain", "execution")
    tiny = PRESETS["tiny"]()
    short = tiny.model_copy(update={name: None for name in type(tiny).model_fields if name not in kept})
    monkeypatch.setitem(PRESETS, "short", lambda: short)
    assert [stage["stage"] for stage in json.loads(rxt("plan short --json").output)["stages"]] == ["pretrain"]
    monkeypatch.setitem(PRESETS, "data", lambda: short.model_copy(update={"pretrain": None}))
    assert "data: no stage trains" in rxt("plan data").output


def test_the_stages_of_the_first_design_are_planned(rxt):
    found = json.loads(rxt("plan alpha --gpu a4000-16gb --json").output)
    assert [stage["stage"] for stage in found["stages"]] == ["mlm", "lm", "baseline"]
    assert found["not_planned"] == ["mrl", "evaluate"]


def test_an_unknown_gpu_is_refused_with_those_that_there_are(rxt):
    refused = rxt("plan micro --gpu h100")
    assert "--gpu h100: unknown GPU; there are: a4000-16gb, " in refused.output
    assert way_out(refused) == "plan micro --gpu h100-80gb"


def test_more_gpus_than_rows_are_refused(rxt):
    refused = rxt("plan --gpus 64 --gpu l4-24gb")
    assert "--gpus 64: the smallest batch has 16 rows" in refused.output
    assert rxt(way_out(refused)).exit_code == 0


@pytest.mark.parametrize(
    ("gpus", "degree", "reason"),
    [
        (2, 4, "expert_parallel = 4: must divide the 2 ranks"),
        (8, 8, "expert_parallel = 8: must divide the 12 experts of a layer"),
    ],
)
def test_a_layout_that_does_not_divide_is_refused(rxt, gpus, degree, reason):
    refused = rxt(f"plan micro --gpus {gpus} --set execution.train.expert_parallel={degree}")
    assert f"pretrain: {reason}" in refused.output
    assert rxt(way_out(refused)).exit_code == 0


def test_what_does_not_fit_is_refused_with_the_fewest_gpus_that_hold_it(rxt):
    refused = rxt("plan micro --gpus 1 --gpu a4000-16gb --set smat.batch_size=128")
    said = re.search(
        r"does not fit on 1 x a4000-16gb: smat needs at least ([\d.]+) GB .* has ([\d.]+)\n", refused.output
    )
    assert said and float(said[1]) > float(said[2]) == 14.7
    command = way_out(refused)
    enough = int(re.search(r"--gpus (\d+)", command)[1])
    assert enough > 1 and rxt(command).exit_code == 0
    assert rxt(command.replace(f"--gpus {enough}", f"--gpus {enough // 2}")).exit_code == 2


def test_what_fits_on_no_number_of_gpus_says_so(rxt):
    refused = rxt("plan --gpus 1 --set text.length=30000000")
    assert "no number of GPUs changes that" in refused.output and refused.exit_code == 2


def test_the_command_prints_what_the_page_shows(rxt):
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    line, shown = re.search(r"^\$ \.venv/bin/rxt (plan [^\n]*)\n(.*?)\n```", page, re.MULTILINE | re.DOTALL).groups()
    assert rxt(line).output.strip().splitlines() == shown.splitlines()


def test_every_package_has_a_size():
    assert set(MEGABYTES) == {package.package for package in PACKAGES.values()}


def test_data_sets_of_the_hub_are_counted():
    beta = downloads(PRESETS["beta"]())
    assert (beta.packages, beta.megabytes) == (0, 0) and beta.data_sets > 6


def test_a_data_set_that_is_not_read_is_no_part_of_the_plan():
    tiny = PRESETS["tiny"]()
    about = {"name": "a", "kind": "hub", "path": "owner/name", "revision": "0" * 40, "language": "en", "licence": "CC0"}
    for weight in (1, 0):
        source = ConversationSource(**about, weight=weight)
        told = tiny.conversations.model_copy(update={"sources": (source,), "longest": 99})
        assert downloads(tiny.model_copy(update={"conversations": told})).data_sets == weight
        assert (Conversations.of(told).most == 99) == bool(weight)
        preferred = PreferenceShardsConfig(length=64, sources=(source,))
        assert downloads(tiny.model_copy(update={"preferences": preferred})).data_sets == weight


def test_the_memory_stages_read_and_write_the_slots_that_they_train_with():
    """Not those that the model has later. Raw states are read beside them."""
    config = PRESETS["tiny"]()
    trained, told = config.pretrain.model.memory.trained_slots, Conversations.of(config.conversations)
    found = [one for stage in (config.memory_pretrain, config.smat) for kind in step_kinds(config, stage, 1)
             for one in kind.passes if one.part in ("write", "decoder")]  # fmt: skip
    assert 0 < trained < config.pretrain.model.memory.slots
    assert {one.reads for one in found} == {trained, trained + told.most * told.length}
    assert any(one.part == "write" for one in found)
