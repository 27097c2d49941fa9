"""Measure perplexity and token accuracy on held-out text per language. Sums over tokens are divided once at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import exp
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jobs.training.batching.batches import text_batch
from rxt_model.baseline import StatelessDecoder
from rxt_model.losses import TokenLoss, cross_entropy, next_tokens
from rxt_model.model import ReactiveTransformer
from tokenization.records import LANGUAGES
from tokenization.shards.reader import ShardReader

MLM_PROBABILITY = 0.15
Scorer = Callable[[Tensor, Tensor], dict[str, TokenLoss]]
"""A function of ids [B, T] and documents [B, T] that returns sums over tokens by name."""


def load_rows(reader: ShardReader, rows: int, seed: int) -> dict[str, list[dict]]:
    """Test rows of each language, drawn with `seed`: `rows` of them, or all if there are fewer."""
    chosen: dict[str, list[dict]] = {language: [] for language in LANGUAGES}
    for row in reader.rows(np.random.default_rng(seed).permutation(len(reader))):
        found = chosen[LANGUAGES[row["language"]]]
        if len(found) < rows:
            found.append(row)
    return chosen


def reactive_scorer(model: ReactiveTransformer, seed: int) -> Scorer:
    """Scores RxT: the decoder on next tokens, with one initial memory for all rows, the encoder on masked tokens."""
    start = model.initial_memory(1, torch.Generator().manual_seed(seed))
    tokens = model.config.tokens

    def scores(ids: Tensor, documents: Tensor) -> dict[str, TokenLoss]:
        memory = start.expand(-1, len(ids), -1, -1)
        output = model.decode(ids, memory, mask=documents >= 0, documents=documents)
        result = {"next": next_tokens(model.decoder.head, output, ids, documents)}
        if model.mlm_head is not None:
            masked = _masked(ids, documents, seed) & (ids > tokens.highest)
            encoded = model.encode(ids.masked_fill(masked, tokens.mask), documents >= 0, documents, memory)
            result["masked"] = cross_entropy(model.mlm_head, encoded[-1], ids, masked)
        return result

    return scores


def stateless_scorer(model: StatelessDecoder) -> Scorer:
    """The scores that the baseline gives to rows of text."""

    def scores(ids: Tensor, documents: Tensor) -> dict[str, TokenLoss]:
        output = model.decode(ids, mask=documents >= 0, documents=documents)
        return {"next": next_tokens(model.decoder.head, output, ids, documents)}

    return scores


@torch.inference_mode()
def measure(scorer: Scorer, rows: Sequence[dict], batch_size: int, device: str = "cpu") -> dict[str, Any]:
    """Tokens, perplexity and accuracy over `rows` on `device`. They do not depend on the batch size."""
    sums = _add(
        scorer(batch["input_ids"].to(device), batch["documents"].to(device))
        for batch in (text_batch(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size))
    )
    loss, correct, count = sums["next"]
    result = {
        "rows": len(rows),
        "tokens": int(count),
        "nats_per_token": loss / count,
        "perplexity": exp(loss / count),
        "token_accuracy": correct / count,
    }
    if "masked" in sums:
        _, correct, count = sums["masked"]
        result |= {"masked_tokens": int(count), "masked_accuracy": correct / count}
    return result


def _add(parts: Iterable[dict[str, TokenLoss]]) -> dict[str, list[float]]:
    totals: dict[str, list[float]] = {}
    for part in parts:
        for name, values in part.items():
            sums = values.loss, values.correct, values.count
            totals[name] = [a + float(b) for a, b in zip(totals.get(name, [0.0] * 3), sums, strict=True)]
    return totals


def _masked(ids: Tensor, documents: Tensor, seed: int) -> Tensor:
    """Which tokens the encoder must guess. Each row's content seeds its draws, so that batching changes nothing."""
    draws = [np.random.default_rng([seed, int(row.sum())]).random(len(row)) for row in ids.cpu()]
    return torch.from_numpy(np.stack(draws) < MLM_PROBABILITY).to(ids.device) & (documents >= 0)
