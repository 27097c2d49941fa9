"""Every stage takes real steps on real shards in both precisions, and refuses inputs that do not fit."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs.configs.execution import TrainExecution
from jobs.configs.preferences import DmpoConfig
from jobs.configs.training import (
    BaselineConfig,
    BaselinePhase,
    MemoryPretrainConfig,
    MlmConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
    TrainingConfig,
)
from jobs.stage.context import Rerun, StageError
from jobs.training import recipe as parts
from jobs.training.batching.batches import text_beside
from jobs.training.batching.reader import WHOLE, Share
from jobs.training.fit import _check_execution
from jobs.training.loop import Cadence, train
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.recipe import check
from rxt_model.config import AttentionConfig, MemoryConfig
from rxt_model.files.checkpoint import from_pretrained, save_pretrained
from rxt_model.files.weights import Tensors
from rxt_model.model import ReactiveTransformer
from tests.support.stages.configs import make_world
from tests.support.training_data import ARCHITECTURE, DIGEST, VOCABULARY, artifacts, make_training_shards, same, undealt
from tokenization.bpe.spelling import spelling
from tokenization.bpe.tokenizer import Tokenizer

COMMON = dict(steps=4, batch_size=4)
READER = replace(ARCHITECTURE, encoder_memory_attention=AttentionConfig(query_heads=2, kv_heads=1))
COPYING = replace(ARCHITECTURE, memory=MemoryConfig(slots=8, variant="selective"), copying=True)
PARTS = {"mlm": "encoder", "lm": "decoder"}
CONVERSATIONS = {"shards": "conversations", "model": "model"}
ONE, TWO = BaselinePhase(steps=1, batch_size=4), BaselinePhase(steps=2, batch_size=4)
PHASES_OF_BASELINE = dict(text=ONE, interactions=ONE, conversations=TWO)
PHASES = (
    SmatPhase(until=2, turns=2, train=("decoder",)),
    SmatPhase(until=4, turns=4, train=("decoder", "memory", "encoder")),
)
ALL = {"text": "text", "interactions": "interactions", "conversations": "conversations", "model": "model"}
STAGES = {
    "pretrain": (PretrainConfig, dict(model=ARCHITECTURE), {"shards": "text"}),
    "mlm": (MlmConfig, dict(model=READER), {"shards": "text"}),
    "lm": (TrainingConfig, {}, {"shards": "text", "model": "model"}),
    "sft": (SftConfig, {}, {"shards": "interactions", "model": "model"}),
    "reading": (MemoryPretrainConfig, {}, CONVERSATIONS),
    "reading-rehearsing": (MemoryPretrainConfig, dict(text_batch_size=3), CONVERSATIONS | {"text": "text"}),
    "reading-some": (MemoryPretrainConfig, dict(other_turns=0.5, alike=2), CONVERSATIONS),
    "writing": (MemoryPretrainConfig, dict(objective="self-supervised"), CONVERSATIONS),
    "smat": (SmatConfig, dict(phases=PHASES), CONVERSATIONS),
    "smat-reading": (SmatConfig, dict(phases=PHASES, reading_every=2, alike=3), CONVERSATIONS),
    "smat-rehearsing": (SmatConfig, dict(phases=PHASES, text_batch_size=3), CONVERSATIONS | {"text": "text"}),
    "dmpo": (DmpoConfig, dict(turns=3), {"shards": "preferences", "model": "model"}),
    "baseline": (BaselineConfig, PHASES_OF_BASELINE, ALL),
    "baseline-rehearsing": (BaselineConfig, PHASES_OF_BASELINE | dict(text_batch_size=3), ALL),
}

MODULES = {
    PretrainConfig: "training.pretrain",
    MlmConfig: "separate.mlm",
    TrainingConfig: "separate.lm",
    SftConfig: "training.sft",
    MemoryPretrainConfig: "training.memory_pretrain",
    SmatConfig: "training.smat",
    DmpoConfig: "preferences.dmpo",
    BaselineConfig: "training.baseline",
}


def build(config, inputs, share=WHOLE):
    """Make the recipe of the stage that `config` belongs to, as a worker does."""
    return parts.build(f"jobs.{MODULES[type(config)]}:recipe", config, inputs, share)


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    model = ReactiveTransformer(ARCHITECTURE.with_vocabulary(VOCABULARY, DIGEST))
    save_pretrained(model, folder / "upstream" / "model")
    return make_training_shards(folder) | {"model": str(folder / "upstream")}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_takes_steps(uris, stage, precision):
    kind, changes, wanted = STAGES[stage]
    config = kind(**({} if kind is BaselineConfig else COMMON), **changes, precision=precision)
    inputs = artifacts({name: uris[key] for name, key in wanted.items()})
    check(inputs)
    recipe = build(config, inputs)
    optimizer = StageOptimizer(recipe.objective, config.optimizer, config.steps)
    before = {name: p.clone() for name, p in recipe.objective.model.named_parameters()}
    outcome = train(recipe.objective, optimizer, recipe.batch_at, config, Cadence(1, 4), validation=recipe.validation)
    assert outcome.step == 4
    assert all(math.isfinite(value) for value in outcome.values.values())
    assert {"train/loss", "eval/loss", "train/tokens_per_second"} <= outcome.values.keys()
    rehearsed = {"train/text_loss", "train/text_accuracy", "eval/text_loss", "eval/text_accuracy"}
    assert rehearsed & outcome.values.keys() == (rehearsed if "rehearsing" in stage else set())
    after = recipe.objective.model.named_parameters()
    moved = {name.split(".")[0] for name, p in after if not torch.equal(p, before[name])}
    expected = {
        "pretrain": {"embedding", "encoder", "decoder", "mlm_head"},
        "mlm": {"embedding", "encoder", "mlm_head"},
        "lm": {"decoder"},
        "sft": {"embedding", "encoder", "decoder", "mlm_head"},
        "reading": {"embedding", "encoder", "decoder"},
        "writing": {"memory_attention"},
        "smat": {"embedding", "encoder", "decoder", "memory_attention"},
        "dmpo": {"embedding", "encoder", "decoder", "memory_attention"},
        "baseline": {"embedding", "decoder"},
    }
    assert moved == expected[stage.partition("-")[0]]
    if stage in ("mlm", "lm"):  # what reads memory is frozen, and nothing else of the part that trains
        part = recipe.objective.model.encoder if stage == "mlm" else recipe.objective.model.decoder
        still = {name for name, p in part.named_parameters() if torch.equal(p, before[f"{PARTS[stage]}.{name}"])}
        assert still == {name for name, _ in part.named_parameters() if ".memory_" in name} != set()


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("writing", "mlm", "dmpo")])
def test_every_stage_balances_its_experts_in_every_way(uris, stage, tmp_path):
    """Loss weights must reach the loss, and biases the resulting model; metrics that were asked for must be
    reported."""
    kind, changes, wanted = STAGES[stage]
    inputs = artifacts({name: uris[key] for name, key in wanted.items()})
    found = []
    for asked in ({}, dict(router_z_weight=0.1), dict(head_z_weight=0.1), dict(bias_speed=0.02)):
        config = kind(**({} if kind is BaselineConfig else COMMON), **changes, **asked)
        recipe = build(config, inputs)
        optimizer = StageOptimizer(recipe.objective, config.optimizer, config.steps)
        outcome = train(recipe.objective, optimizer, recipe.batch_at, config, Cadence(1, 4))
        found.append(outcome.values)
        told = {"router/max_load", "router/dead_experts", "router/entropy", "router/z", "train/head_z"}
        assert told <= outcome.values.keys()
        assert ("router/bias_range" in outcome.values) == ("bias_speed" in asked)
    plain, router, head, biased = found
    assert all(values["train/total_loss"] != plain["train/total_loss"] for values in (router, head, biased))
    assert router["router/z"] < plain["router/z"] and head["train/head_z"] < plain["train/head_z"]
    assert biased["router/bias_range"] > 0
    save_pretrained(recipe.objective.model, tmp_path)
    assert sum(name.endswith("selection_bias") for name in Tensors(tmp_path).shapes) > 0
    assert from_pretrained(tmp_path).config.moe.selection_bias


@pytest.mark.parametrize("name", ["router_z_weight", "head_z_weight", "bias_speed"])
def test_what_needs_a_decoder_is_refused_where_none_is_trained(name):
    with pytest.raises(ValueError, match=f"{name} = 0.1: must be 0, as no decoder is trained"):
        MemoryPretrainConfig(**COMMON, objective="self-supervised", **{name: 0.1})


@pytest.mark.parametrize("stage", STAGES)
def test_ranks_together_have_the_batches_of_one(uris, stage):
    """This holds for every step's batch and for the validation batch, with three ranks of unequal parts."""
    kind, changes, wanted = STAGES[stage]
    config = kind(**({} if kind is BaselineConfig else COMMON), **changes)
    inputs = artifacts({name: uris[key] for name, key in wanted.items()})
    alone = build(config, inputs)
    for ranks in (2, 3):
        recipes = [build(config, inputs, Share(rank, ranks)) for rank in range(ranks)]
        for step in range(4):
            assert same(undealt([recipe.batch_at(step) for recipe in recipes]), alone.batch_at(step))
        assert same(undealt([recipe.validation for recipe in recipes]), alone.validation)


def test_conversations_grow_with_the_phases(uris):
    inputs = artifacts({"shards": uris["conversations"], "model": uris["model"]})
    recipe = build(SmatConfig(**COMMON, phases=PHASES), inputs)
    assert [recipe.batch_at(step)["input_ids"].shape[1] for step in range(4)] == [2, 2, 4, 4]


def test_the_baseline_goes_from_text_to_conversations(uris):
    inputs = artifacts({name: uris[key] for name, key in ALL.items()})
    recipe = build(BaselineConfig(**PHASES_OF_BASELINE, text_batch_size=3), inputs)
    assert ["documents" in recipe.batch_at(step) for step in range(4)] == [True, False, False, False]
    assert [len(text_beside(recipe.batch_at(step)).get("input_ids", ())) for step in range(4)] == [0, 0, 3, 3]
    lengths = [recipe.batch_at(step)["input_ids"].shape[1] for step in range(4)]
    assert max(lengths[:2]) < min(lengths[2:])


def test_text_lies_beside_every_second_batch(uris):
    """All rows of text in turn, and none in between."""
    inputs = artifacts({name: uris[key] for name, key in (CONVERSATIONS | {"text": "text"}).items()})
    always, seldom = (
        build(MemoryPretrainConfig(**COMMON, text_batch_size=3, text_every=every), inputs) for every in (1, 2)
    )
    for step in range(6):
        found = text_beside(seldom.batch_at(step))
        assert same(found, text_beside(always.batch_at(step // 2))) if step % 2 == 0 else not found
    assert same(seldom.validation, always.validation)


def test_every_worker_has_a_row_of_every_batch():
    config = SmatConfig(**COMMON | {"batch_size": 1}, phases=PHASES)
    with pytest.raises(StageError, match="smat: a batch of 1 rows has no row for some of 2 workers"):
        _check_execution("smat", config, TrainExecution(workers=2))


def test_the_same_seed_gives_the_same_weights_and_batches(uris):
    def first(seed):
        recipe = build(PretrainConfig(**COMMON, model=ARCHITECTURE, seed=seed), artifacts({"shards": uris["text"]}))
        return recipe.objective.model.embedding.weight, recipe.batch_at(3)["input_ids"]

    assert all(torch.equal(a, b) for a, b in zip(first(1), first(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first(1), first(2), strict=True))


def test_a_tokenizer_that_does_not_fit_is_named_with_both_digests(uris, tmp_path):
    other = make_training_shards(tmp_path, digest="e" * 64)
    with pytest.raises(StageError, match=f"shards {'e' * 64}, model {DIGEST}"):
        check(artifacts({"shards": other["interactions"], "model": uris["model"]}))


def test_weights_with_one_other_bit_are_named_before_anything_starts(uris, tmp_path):
    shutil.copytree(uris["model"], tmp_path / "upstream")
    inputs = artifacts({"shards": uris["interactions"], "model": tmp_path / "upstream"})
    check(inputs)
    path = tmp_path / "upstream" / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for read in (check, lambda inputs: build(SftConfig(**COMMON), inputs)):
        with pytest.raises(StageError, match="upstream/model/model.safetensors is damaged") as caught:
            read(inputs)
        assert caught.value.remedy == Rerun("model")


@pytest.fixture(scope="module")
def copying(tmp_path_factory):
    """URIs of shards and of the tokenizer that made them, for models with a copying head."""
    return make_world(tmp_path_factory.mktemp("copying"), COPYING)


@pytest.mark.parametrize("stage", ["pretrain", "mlm", "baseline"])
def test_a_new_model_knows_how_the_tokens_of_its_shards_are_spelled(copying, stage):
    kind, changes, wanted = STAGES[stage]
    config = kind(**changes) if kind is BaselineConfig else kind(**COMMON, model=COPYING)
    inputs = artifacts({name: copying[key] for name, key in (wanted | {"tokenizer": "tokenizer"}).items()})
    check(inputs)
    found = build(config, inputs).objective.model.spelling
    expected = spelling(Tokenizer.load(f"{copying['tokenizer']}/tokenizer.json"))
    assert expected[:, 1:].any() and torch.equal(found, torch.from_numpy(expected))


def test_a_tokenizer_that_is_damaged_or_did_not_make_the_shards_is_named_before_anything_starts(copying, tmp_path):
    content = Path(copying["tokenizer"], "tokenizer.json").read_bytes()
    Path(tmp_path, "tokenizer.json").write_bytes(content)
    inputs = artifacts({"shards": copying["text"], "tokenizer": tmp_path})
    check(inputs)
    Path(tmp_path, "tokenizer.json").write_bytes(content[:-1])
    with pytest.raises(StageError, match="tokenizer.json is truncated") as caught:
        check(inputs)
    assert caught.value.remedy == Rerun("tokenizer")
    Tokenizer.train(["another"], VOCABULARY).save(f"{tmp_path}/tokenizer.json")
    with pytest.raises(StageError, match="the tokenizer does not fit .*/text: tokenizer.json has sha256"):
        check(artifacts({"shards": copying["text"], "tokenizer": tmp_path}))


def test_a_corrupt_shard_is_named_before_anything_starts(tmp_path):
    uri = make_training_shards(tmp_path)["text"]
    path = tmp_path / "text" / "train-00000.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StageError, match="text/train-00000.arrow is damaged") as caught:
        check(artifacts({"shards": uri}))
    assert caught.value.remedy == Rerun("shards")
