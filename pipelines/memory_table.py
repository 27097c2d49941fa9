"""What `/memory` shows in a chat: the slots of each layer, and the words that they hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from jobs.evaluation.held_words import held_words
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState
from tokenization.bpe.tokenizer import Tokenizer


def memory_table(
    model: ReactiveTransformer,
    tokenizer: Tokenizer,
    state: ConversationState,
    before: ConversationState,
    turns: Sequence[Sequence[int]],
) -> str:
    """Return lines about the memory of `state`, and what the last write changed since `before`. Where slots name the
    tokens that they hold, tokens are counted, since a write moves slots, and the words of each turn are shown; `turns`
    are the ids of those that were said here."""
    memory, earlier = state.read(model), before.read(model)
    layers, _, slots, width = memory.shape
    held = model.slot_ids(memory)
    used = "" if held is None else f"   {int((held >= 0).sum())} of them in use"
    rows = [f"turns {state.turns}   layers {layers}   slots {slots} x {width}{used}"]
    if state.fragments is not None:
        kept = f"{state.fragments.nbytes / 2**20:.1f} MiB"
        rows.append(f"all turns are kept, {kept}; slots are loaded for each message")
    if held is None:
        rows.append("layer     norm   changed by the last write")
        for layer, (norm, change) in enumerate(zip(_norms(memory), _norms(memory - earlier), strict=True)):
            rows.append(f"{layer:5d} {norm:8.2f}   {change:8.2f}  {change / norm if norm else math.nan:5.0%}")
        return "\n".join(rows)
    rows.append(_change(model.slot_ids(earlier), held))
    words, others = held_words(tokenizer, held[0].tolist(), turns)
    rows.append("words that it holds (…: a part of a word that it does not hold)")
    first = state.turns - len(turns) + 1  # a loaded memory has turns that were not said here
    rows += [f"  turn {turn}: {' '.join(kept) or 'none'}" for turn, kept in enumerate(words, first)]
    rows += [f"  of other turns: {' | '.join(others)}"] if others else []
    return "\n".join(rows)


def _change(earlier: Tensor | None, held: Tensor) -> str:
    before, now = (Counter(int(token) for token in ids[0] if token >= 0) for ids in (earlier, held) if ids is not None)
    return f"the last write brought {(now - before).total()} tokens, and {(before - now).total()} went"


def _norms(memory: Tensor) -> list[float]:
    """Euclidean norm per layer of [L, 1, S, d]."""
    return memory.float().flatten(1).norm(dim=1).tolist()
