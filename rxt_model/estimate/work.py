"""What a training step computes: a list of passes through parts of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelPart = Literal["encoder", "decoder", "write", "head"]


@dataclass(frozen=True)
class Pass:
    """One part of a model runs over `sequences` sequences of `length` tokens, on one GPU.

    A decoder pass reads `memories` memories of `reads` rows each; with 0 rows it reads none. `scored` tokens of a
    sequence have a loss on logits over the vocabulary. A write updates `reads` slots of as many conversations as it
    has sequences. They are processed in `calls` calls, one after the other. `trained` says whether a backward pass
    follows. `share` is the share of all this that the mean step has.
    """

    part: ModelPart
    sequences: int
    length: int
    reads: int = 0
    memories: int = 0
    scored: int = 0
    calls: int = 1
    trained: bool = True
    share: float = 1.0

    @property
    def tokens(self) -> int:
        return self.sequences * self.length
