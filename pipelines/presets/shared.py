"""What more than one preset says."""

from __future__ import annotations

from jobs.configs.training import OptimizerConfig
from tokenization.packages.table import PACKAGES
from tokenization.sources.source import Source


def package(name: str, megabytes: float | None = None) -> Source:
    """A package as a source: all of its clean text, or the first `megabytes` (10^6 bytes) of it."""
    known = PACKAGES[name]
    return Source(
        name=name,
        kind="package",
        language=known.language,
        licence=known.licence,
        max_bytes=int(megabytes * 1_000_000) if megabytes else None,
    )


def published_adamw(lr: float, steps: int) -> OptimizerConfig:
    """The schedule of the authors' examples: linear warm-up over 5 % of the steps to `lr`, then cosine to 0. Betas,
    weight decay and clipping are the defaults, which are theirs, too."""
    return OptimizerConfig(lr=lr, warmup_steps=steps // 20, decay=1.0, final_lr=0.0)
