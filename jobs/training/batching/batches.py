"""Make tensors of shard rows. A rank makes tensors of its own rows only. It pads them to the longest row of the global
batch, so that all ranks have equal lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tokenization.bpe.special_tokens import PAD
from tokenization.records import ShardRow

Batch = dict[str, Tensor]
Lengths = Sequence[Sequence[int] | np.ndarray]  # per row the tokens of each interaction; a text row has one

ROUND_TO = 8
BESIDE = "text_"  # prefix of the tensors of a text batch that goes with another batch
DECODED = "decoded"
ROW = "row"  # the place of each row in the global batch [B], on the CPU: random draws depend on it
TOLD = "told"  # per turn: the turn that told what it asks for, NEVER_TOLD, or NOT_ASKED
NEVER_TOLD, NOT_ASKED = -1, -2


def token_counts(row: ShardRow) -> list[int]:
    """Return the token count of each interaction of a row; a text row has one count."""
    return [len(turn["input_ids"]) for turn in row.get("interactions", [row])]


def text_batch(rows: Sequence[ShardRow], lengths: Lengths | None = None) -> Batch:
    """Make input_ids and documents [B, T] int64. `documents` numbers the documents of a row from 0; padding is -1.

    T is the longest row, rounded up. `lengths` are the row lengths of the global batch; None if `rows` are the whole
    batch. The functions below take the same `lengths`.
    """
    width = _longest(_lengths(rows, lengths))
    numbers = []
    for row in rows:
        starts = np.asarray(row["document_starts"], dtype=np.int64)
        number = np.zeros(len(row["input_ids"]), dtype=np.int64)
        number[starts[starts > 0]] = 1
        numbers.append(number.cumsum())
    return {
        "input_ids": _padded([row["input_ids"] for row in rows], width, PAD),
        "documents": _padded(numbers, width, -1),
    }


def interaction_batch(rows: Sequence[ShardRow], length: int, lengths: Lengths | None = None) -> Batch:
    """Make input_ids [B, T] int64 and loss_mask [B, T] bool of interactions, cut to `length` tokens."""
    return _masked(rows, length, _longest(_lengths(rows, lengths), length))


def conversation_batch(
    rows: Sequence[ShardRow],
    length: int,
    turns: int | None = None,
    lengths: Lengths | None = None,
    decoded: Sequence[np.ndarray] | None = None,
    told: Sequence[np.ndarray] | None = None,
) -> Batch:
    """Make input_ids and loss_mask [B, N, T] and turn_mask [B, N] of the first `turns` interactions (None: all) of each
    conversation. Shorter conversations are padded with empty turns. `decoded` says for each row on which turns the
    decoder is trained; if it is given, the batch holds it as [B, N]."""
    kept = [sizes[:turns] for sizes in _lengths(rows, lengths)]
    most = max(map(len, kept))
    conversations = [row["interactions"][:turns] for row in rows]
    empty = {"input_ids": [], "loss_mask": []}
    flat = [turn for one in conversations for turn in [*one, *[empty] * (most - len(one))]]
    masked = _masked(flat, length, _longest(kept, length))
    batch = {name: part.unflatten(0, (len(conversations), most)) for name, part in masked.items()}
    mask = [[n < len(one) for n in range(most)] for one in conversations]
    batch["turn_mask"] = torch.tensor(mask, dtype=torch.bool).reshape(len(conversations), most)
    if decoded is not None:
        padded = [np.pad(chosen, (0, most - len(chosen))) for chosen in decoded]
        batch[DECODED] = torch.from_numpy(np.array(padded, dtype=bool).reshape(len(conversations), most))
    if told is not None:
        padded = [np.pad(turns, (0, most - len(turns)), constant_values=NOT_ASKED) for turns in told]
        batch[TOLD] = torch.from_numpy(np.array(padded, dtype=np.int64).reshape(len(conversations), most))
    return batch


def history_batch(
    rows: Sequence[ShardRow],
    length: int,
    lengths: Lengths | None = None,
    decoded: Sequence[np.ndarray] | None = None,
    told: Sequence[np.ndarray] | None = None,
) -> Batch:
    """Make input_ids and loss_mask [B, T] for a model without memory: each conversation becomes one sequence. `decoded`
    says for each row which turns are supervised (None: all). If `told` is given, the batch holds it as [B, T], at the
    token that predicts the answer's first."""
    whole = [[sum(min(size, length) for size in sizes)] for sizes in _lengths(rows, lengths)]
    joined = []
    for number, row in enumerate(rows):
        turns = row["interactions"]
        taught = np.ones(len(turns), dtype=bool) if decoded is None else decoded[number]
        masks = [[on and bool(use) for on in turn["loss_mask"]] for turn, use in zip(turns, taught, strict=True)]
        joined.append(
            {
                "input_ids": [token for turn in turns for token in turn["input_ids"][:length]],
                "loss_mask": [on for mask in masks for on in mask[:length]],
            }
        )
    batch = interaction_batch(joined, _longest(whole), whole)
    if told is not None:
        batch[TOLD] = torch.full_like(batch["input_ids"], NOT_ASKED)
        for number, (row, turns) in enumerate(zip(rows, told, strict=True)):
            start = 0
            for turn, source in zip(row["interactions"], turns, strict=True):
                mask = np.asarray(turn["loss_mask"][:length], dtype=bool)
                if source != NOT_ASKED and mask.any():
                    batch[TOLD][number, start + int(mask.argmax()) - 1] = int(source)
                start += len(mask)
    return batch


def beside(batch: Batch, text: Batch) -> Batch:
    """Add the tensors of a text batch to a batch. The two may differ in rows and length."""
    return batch | {BESIDE + name: tensor for name, tensor in text.items()}


def text_beside(batch: Batch) -> Batch:
    """Return the text batch that `beside` added, or an empty one."""
    return {name.removeprefix(BESIDE): tensor for name, tensor in batch.items() if name.startswith(BESIDE)}


def _masked(rows: Sequence[ShardRow], length: int, width: int) -> Batch:
    return {
        "input_ids": _padded([row["input_ids"][:length] for row in rows], width, PAD),
        "loss_mask": _padded([row["loss_mask"][:length] for row in rows], width, 0).bool(),
    }


def _lengths(rows: Sequence[ShardRow], lengths: Lengths | None) -> Lengths:
    return [token_counts(row) for row in rows] if lengths is None else lengths


def _longest(lengths: Lengths, length: int | None = None) -> int:
    """Return the tokens of the longest interaction, at most `length` and at least 1."""
    longest = max((int(size) for sizes in lengths for size in sizes), default=1)
    return max(1, longest if length is None else min(longest, length))


def _padded(rows: Sequence[Sequence[int] | np.ndarray], width: int, fill: int) -> Tensor:
    """Pad rows to [B, T] int64, where T is `width` rounded up. Rounding keeps the number of distinct shapes small."""
    padded = np.full((len(rows), -(-width // ROUND_TO) * ROUND_TO), fill, dtype=np.int64)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)
