"""A small configuration of every training stage, and the upstream artifacts that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from jobs.configs.training import (
    BaselineConfig,
    BaselinePhase,
    MemoryPretrainConfig,
    OptimizerConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
    StageConfig,
)
from jobs.training.recipe import Inputs
from rxt_model.config import Architecture
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import ReactiveTransformer, seeded
from tests.support.evaluation_data import make_conversations
from tests.support.training_data import ARCHITECTURE, DIGEST, VOCABULARY, artifacts, make_training_shards
from tokenization.bpe.tokenizer import Tokenizer

STEPS = 10
COMMON: dict[str, Any] = dict(seed=1, optimizer=OptimizerConfig(lr=1e-3, warmup_steps=2), balance_weight=0.5)
STAGE: dict[str, Any] = COMMON | dict(steps=STEPS, batch_size=4)
BALANCED: dict[str, Any] = STAGE | dict(router_z_weight=0.1, head_z_weight=0.1, bias_speed=0.01)
PHASES = (
    SmatPhase(until=3, turns=2, train=("memory",)),
    SmatPhase(until=6, turns=3, train=("decoder", "memory")),
    SmatPhase(until=STEPS, turns=4, train=("decoder", "memory", "encoder")),
)
BASELINE: dict[str, Any] = dict(
    text=BaselinePhase(steps=3, batch_size=4),
    interactions=BaselinePhase(steps=3, batch_size=4),
    conversations=BaselinePhase(steps=4, batch_size=4),
)
REHEARSAL: dict[str, Any] = dict(text_batch_size=3, text_weight=0.5)
ALL = {"text": "text", "interactions": "interactions", "conversations": "conversations"}
CONVERSATIONS = {"shards": "conversations"}

# the module of the stage, its configuration, and the shards that it reads, by the name of the input
STAGES: dict[str, tuple[str, StageConfig, dict[str, str]]] = {
    "joint_lm_text": ("pretrain", PretrainConfig(model=ARCHITECTURE, **BALANCED), {"shards": "text"}),
    "joint_lm_interactions": ("sft", SftConfig(**STAGE), {"shards": "interactions"}),
    "reading": ("memory_pretrain", MemoryPretrainConfig(**STAGE), CONVERSATIONS),
    "reading_rehearsal": (
        "memory_pretrain",
        MemoryPretrainConfig(**BALANCED, **REHEARSAL),
        CONVERSATIONS | {"text": "text"},
    ),
    "self_supervised": (
        "memory_pretrain",
        MemoryPretrainConfig(**STAGE, objective="self-supervised"),
        CONVERSATIONS,
    ),
    "smat": ("smat", SmatConfig(**STAGE, phases=PHASES), CONVERSATIONS),
    "smat_horizon": ("smat", SmatConfig(**STAGE, phases=PHASES, horizon=1), CONVERSATIONS),
    "smat_rehearsal": (
        "smat",
        SmatConfig(**BALANCED, **REHEARSAL, phases=PHASES),
        CONVERSATIONS | {"text": "text"},
    ),
    "next_token": ("baseline", BaselineConfig(**COMMON, **BASELINE), ALL),
    "next_token_rehearsal": ("baseline", BaselineConfig(**COMMON, **BASELINE, **REHEARSAL), ALL),
}


def make_world(folder: Path, architecture: Architecture = ARCHITECTURE) -> dict[str, str]:
    """Return URIs of shards of all kinds and of a model; of a tokenizer, too, if the architecture copies."""
    uris, digest = {}, DIGEST
    if architecture.copying:
        texts = [conversation.interactions[0].query for conversation in make_conversations(60)]
        tokenizer = Tokenizer.train(texts, VOCABULARY)
        uris, digest = {"tokenizer": str(folder / "words")}, tokenizer.digest
        tokenizer.save(f"{uris['tokenizer']}/tokenizer.json")
    model = seeded(lambda: ReactiveTransformer(architecture.with_vocabulary(VOCABULARY, digest)), 0)
    # the tokens of the shards are signs, which this tokenizer spells without letters
    model.spell(torch.randint(0, 3, (VOCABULARY, 6), generator=torch.Generator().manual_seed(0)))
    save_pretrained(model, folder / "upstream" / "model")
    return make_training_shards(folder, digest) | uris | {"model": str(folder / "upstream")}


def stage_parts(name: str, uris: dict[str, str]) -> tuple[str, StageConfig, Inputs]:
    """Return the recipe, the configuration and the inputs of one of `STAGES`, in the world at `uris`."""
    module, config, wanted = STAGES[name]
    wanted = wanted | {name: name for name in ("model", "tokenizer") if name in uris}
    inputs = artifacts({key: uris[kind] for key, kind in wanted.items()})
    return f"jobs.training.{module}:recipe", config, inputs
