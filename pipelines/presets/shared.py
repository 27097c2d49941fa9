"""Helpers that several presets use."""

from __future__ import annotations

from jobs.configs.training import OptimizerConfig
from tokenization.packages.table import PACKAGES
from tokenization.sources.source import Source


def package(name: str, megabytes: float | None = None) -> Source:
    """Make a source of a package: all of its clean text, or the first `megabytes` (10^6 bytes) of it."""
    known = PACKAGES[name]
    return Source(
        name=name,
        kind="package",
        language=known.language,
        licence=known.licence,
        max_bytes=int(megabytes * 1_000_000) if megabytes else None,
    )


def published_adamw(lr: float, steps: int) -> OptimizerConfig:
    """Return the schedule of the authors' examples: linear warm-up to `lr` over 5 % of the steps, then a cosine to 0.
    Betas, weight decay and clipping are our defaults, which equal those of the authors."""
    return OptimizerConfig(lr=lr, warmup_steps=steps // 20, decay=1.0, final_lr=0.0)
