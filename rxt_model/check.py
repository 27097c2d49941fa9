"""What a caller hands in, refused with the field, the value and the rule. Nothing here waits for an accelerator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rxt_model.config import ModelConfig


def check_ids(ids: Tensor, vocab_size: int, mask: Tensor | None = None) -> None:
    """Real tokens of ids [B, T] are tokens of the vocabulary; mask [B, T] fits. On an accelerator ids are looked at
    behind the call, by an assertion."""
    if ids.dim() != 2:
        raise ValueError(f"ids.shape = {tuple(ids.shape)}: must be (conversations, tokens)")
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"ids.dtype = {ids.dtype}: must be torch.int64 or torch.int32")
    if mask is not None and (mask.dtype, mask.shape) != (torch.bool, ids.shape):
        found = f"mask = {tuple(mask.shape)} of {mask.dtype}"
        raise ValueError(f"{found}: must be {tuple(ids.shape)} of torch.bool, as ids, and True at real tokens")
    if ids.is_meta:
        return
    wrong = (ids < 0) | (ids >= vocab_size)
    if mask is not None:
        wrong = wrong & mask
    rule = f"must lie in 0..{vocab_size - 1}, the vocabulary"
    if not ids.is_cpu:
        torch._assert_async(~wrong.any(), f"ids {rule}")
    elif wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(f"ids[{row}, {column}] = {int(ids[row, column])}: {rule}")


def check_padding(mask: Tensor) -> None:
    """The real tokens of every row of mask [B, T] are its first ones: a token's place is its position, and only the
    causal order hides padding. On an accelerator looked at behind the call, by an assertion."""
    if mask.is_meta:
        return
    late = mask[:, 1:] & ~mask[:, :-1]
    rule = "must be False from a row's first padding on: padding stands on the right"
    if not mask.is_cpu:
        torch._assert_async(~late.any(), f"mask {rule}")
    elif late.any():
        row, column = late.nonzero()[0].tolist()
        raise ValueError(f"mask[{row}, {column + 1}] = True: {rule}")


def check_memory(
    memory: Tensor, config: ModelConfig, rows: int, slots: int | None = None, shared: bool = False
) -> None:
    """Memory is [L, rows, slots, d]; `slots` None: any number, as raw encoder states may be read instead. A `shared`
    one may have rows / N rows, of which each serves N."""
    expected = (config.stateful_layers, rows, slots, config.dim)
    found = tuple(memory.shape)
    fits = len(found) == 4 and (found[0], found[3]) == (expected[0], expected[3])
    fits = fits and (found[1] == rows or (shared and found[1] > 0 and rows % found[1] == 0))
    if not (fits and slots in (None, found[2])):
        names = ", ".join(str(e) if e is not None else "any" for e in expected)
        raise ValueError(f"memory.shape = {found}: must be ({names}): layers, conversations, slots, width")


def check_rows(field: str, rows: Sequence[Sequence[int]], config: ModelConfig, longest: int | None = None) -> None:
    """Lists of ids: at least one, none without a token of its own, none of more than `longest` tokens (None: any)."""
    if not len(rows):
        raise ValueError(f"{field} = []: must hold at least one row")
    for number, row in enumerate(rows):
        if all(token == config.tokens.pad for token in row):
            found = f"[{config.tokens.pad}] * {len(row)}" if len(row) else "[]"
            raise ValueError(f"{field}[{number}] = {found}: has no tokens, must have at least those of its template")
        if longest is not None and len(row) > longest:
            raise ValueError(f"{field}[{number}] has {len(row)} tokens: must be at most length = {longest}")


def check_room(queries: Sequence[Sequence[int]], max_tokens: Sequence[int], length: int | None) -> None:
    """Every query leaves room for its answer in an interaction of `length` tokens (None: of any length)."""
    if len(max_tokens) != len(queries):
        raise ValueError(f"max_tokens has {len(max_tokens)} values: must be {len(queries)}, one for each query")
    for number, (query, most) in enumerate(zip(queries, max_tokens, strict=True)):
        if most < 1:
            raise ValueError(f"max_tokens[{number}] = {most}: must be at least 1")
        if length is not None and len(query) + most > length:
            raise ValueError(
                f"max_tokens[{number}] = {most}: with the {len(query)} tokens of its query it must be at most "
                f"length = {length}, the longest interaction of this model"
            )
