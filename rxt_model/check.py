"""Check arguments, and refuse wrong ones with the field, the value and the rule. No check waits for an accelerator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rxt_model.config import ModelConfig


def refuse(wrong: Tensor, field: str, value: Tensor, rule: str) -> None:
    """Raise ValueError for the first value where `wrong`, of the same shape, is True.

    On an accelerator an asynchronous assertion checks it, after the call. Meta tensors are not checked.
    """
    if wrong.is_meta:
        return
    if not wrong.is_cpu:
        torch._assert_async(~wrong.any(), f"{field} {rule}")
    elif wrong.any():
        place = wrong.nonzero()[0].tolist()
        raise ValueError(f"{field}[{', '.join(map(str, place))}] = {value[tuple(place)].item()}: {rule}")


def check_ids(ids: Tensor, vocab_size: int, mask: Tensor | None = None) -> None:
    """Check that real tokens of ids [B, T] are tokens of the vocabulary, and that mask [B, T] fits."""
    if ids.dim() != 2:
        raise ValueError(f"ids.shape = {tuple(ids.shape)}: must be (conversations, tokens)")
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"ids.dtype = {ids.dtype}: must be torch.int64 or torch.int32")
    wrong = (ids < 0) | (ids >= vocab_size)
    if mask is not None:
        check_mask("mask", mask, ids.shape, "as ids, and True at real tokens")
        wrong = wrong & mask
    refuse(wrong, "ids", ids, f"must lie in 0..{vocab_size - 1}, the vocabulary")


def check_mask(field: str, mask: Tensor, shape: Sequence[int], meaning: str) -> None:
    """Check that a mask is boolean and has this shape."""
    _check_form(field, mask, shape, (torch.bool,), f"torch.bool, {meaning}")


def check_selected(selected: Tensor | None, ids: Tensor) -> None:
    """Check that selected tokens are those of ids [B, T] before the last."""
    if selected is not None:
        check_mask("selected", selected, (len(ids), ids.shape[1] - 1), "as ids without the last column")


def check_padding(mask: Tensor) -> None:
    """Check that the real tokens of every row of mask [B, T] come first. A token's place is its position, and only the
    causal order hides padding."""
    late = F.pad(mask[:, 1:] & ~mask[:, :-1], (1, 0))
    refuse(late, "mask", mask, "must be False from a row's first padding on: padding stands on the right")


def check_documents(field: str, documents: Tensor, shape: Sequence[int]) -> None:
    """Check that numbers of documents are signed integers of this shape."""
    signed = (torch.int64, torch.int32, torch.int16, torch.int8)
    _check_form(field, documents, shape, signed, "signed integers, numbers of documents")


def check_same_documents(documents: Tensor | None, memory_documents: Tensor) -> None:
    """Check that a Gated DeltaNet, whose state starts from the memory of a document, has one memory for each."""
    if documents is None or documents.shape != memory_documents.shape:
        raise ValueError(
            f"memory_documents.shape = {tuple(memory_documents.shape)}: must be that of documents for a model with "
            "delta: its state starts from the states of the document itself"
        )
    refuse(documents != memory_documents, "memory_documents", memory_documents, "must be documents with delta")


def _check_form(field: str, value: Tensor, shape: Sequence[int], dtypes: Sequence[torch.dtype], kind: str) -> None:
    if value.dtype not in dtypes or value.shape != tuple(shape):
        found = f"{field} = {tuple(value.shape)} of {value.dtype}"
        raise ValueError(f"{found}: must be {tuple(shape)} of {kind}")


def check_readable(mask: Tensor, shape: Sequence[int]) -> None:
    """Check that memory_mask [B, M] lets every row read something: attention to nothing has no value."""
    check_mask("memory_mask", mask, shape, "True where memory may be read")
    readable = mask.any(1)
    refuse(~readable, "memory_mask.any(1)", readable, "must be True: every row must be able to read something")


def check_encoded(encoded: Tensor, mask: Tensor, config: ModelConfig) -> None:
    """Check that encoded data is [L, B, T, w] and mask [B, T], with padding on the right."""
    found = tuple(encoded.shape)
    if len(found) != 4 or (found[0], found[3]) != (config.stateful_layers, config.slot_dim):
        names = f"({config.stateful_layers}, any, any, {config.slot_dim})"
        raise ValueError(f"encoded.shape = {found}: must be {names}: layers, conversations, tokens, width")
    check_mask("mask", mask, found[1:3], "as encoded, and True at real tokens")
    check_padding(mask)


def check_memory(
    memory: Tensor | None, config: ModelConfig, rows: int, slots: int | None = None, shared: bool = False
) -> None:
    """Check that memory is [L, rows, slots, w]. If `slots` is None any number fits, as raw encoder states may be read.
    If it may be `shared`, rows / N rows fit too, each of which serves N rows."""
    if memory is None:
        raise ValueError("memory = None: must be [L, B, S, w] for a reactive model")
    expected = (config.stateful_layers, rows, slots, config.slot_dim)
    found = tuple(memory.shape)
    fits = len(found) == 4 and (found[0], found[3]) == (expected[0], expected[3])
    fits = fits and (found[1] == rows or (shared and found[1] > 0 and rows % found[1] == 0))
    if not (fits and slots in (None, found[2])):
        names = ", ".join(str(e) if e is not None else "any" for e in expected)
        raise ValueError(f"memory.shape = {found}: must be ({names}): layers, conversations, slots, width")


def check_rows(field: str, rows: Sequence[Sequence[int]], config: ModelConfig, longest: int | None = None) -> None:
    """Check lists of ids: at least one, each with a token other than padding and with at most `longest` tokens."""
    if not len(rows):
        raise ValueError(f"{field} = []: must hold at least one row")
    for number, row in enumerate(rows):
        if all(token == config.tokens.pad for token in row):
            found = f"[{config.tokens.pad}] * {len(row)}" if len(row) else "[]"
            raise ValueError(f"{field}[{number}] = {found}: has no tokens, but must have at least its control tokens")
        if longest is not None and len(row) > longest:
            raise ValueError(f"{field}[{number}] has {len(row)} tokens: must be at most length = {longest}")


def check_each(field: str, values: Sequence[int], queries: Sequence[Sequence[int]]) -> None:
    """Check that there is one value for each query."""
    if len(values) != len(queries):
        raise ValueError(f"{field} has {len(values)} values: must be {len(queries)}, one for each query")


def check_room(queries: Sequence[Sequence[int]], max_tokens: Sequence[int], length: int | None) -> None:
    """Check that every query leaves room for its answer in an interaction of `length` tokens (None: of any length)."""
    check_each("max_tokens", max_tokens, queries)
    for number, (query, most) in enumerate(zip(queries, max_tokens, strict=True)):
        if most < 1:
            raise ValueError(f"max_tokens[{number}] = {most}: must be at least 1")
        if length is not None and len(query) + most > length:
            raise ValueError(
                f"max_tokens[{number}] = {most}: with the {len(query)} tokens of its query it must be at most "
                f"length = {length}, the longest interaction of this model"
            )
