"""Sort assignments by expert with a counting sort on the device, to find which token each sorted row belongs to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rxt_model.kernels.language import jit, tl, triton

BLOCK = 512  # assignments that one program counts and places
BLOCKS = 512  # blocks in one step of the prefix sum,
COLUMNS = 8  # and experts in it
TILES = 128  # tiles of an expert that are written at once


class Plan(NamedTuple):
    """R = T * K rows sorted by expert; rows of one expert are in the order of their tokens. All tensors are int32.

    order [R]: the assignment t * K + k of each row. inverse [R]: the row of each assignment. starts [E + 1]: where the
    rows of each expert begin. Rows are processed in tiles, which never cross experts, and there are as many tiles as
    the worst routing needs. tile_expert [tiles]: its expert, or -1 for a spare tile. tile_row [tiles]: its first row.
    tile_end [tiles]: where the rows of its expert end; at or before tile_row for a spare tile.
    """

    order: Tensor
    inverse: Tensor
    starts: Tensor
    tile_expert: Tensor
    tile_row: Tensor
    tile_end: Tensor


def plan_rows(chosen: Tensor, experts: int, tile: int, block: int = BLOCK) -> Plan:
    """Plan the rows of chosen [T, K], of any integer type, values in [0, experts), T * K >= 1. `tile`, the rows of a
    tile, is a power of two.

    The host reads nothing back and nothing is added atomically. So it can be captured, and its bits repeat.
    """
    flat = chosen.contiguous().view(-1)
    count = flat.numel()
    blocks, bins = triton.cdiv(count, block), max(triton.next_power_of_2(experts + 1), COLUMNS)
    tiles = count // tile + min(experts, count)
    order, inverse, before, within, totals, starts, tile_expert, tile_row, tile_end = (
        torch.empty(size, dtype=torch.int32, device=chosen.device)
        for size in (count, count, blocks * bins, blocks * bins, bins, experts + 1, tiles, tiles, tiles)
    )
    count_kernel[(blocks,)](flat, before, within, count, bins, block)
    prefix_kernel[(bins // COLUMNS,)](before, totals, blocks, bins, BLOCKS, COLUMNS)
    tile_kernel[(experts + 1,)](totals, starts, tile_expert, tile_row, tile_end, tiles, experts, bins, tile, TILES)
    place_kernel[(blocks,)](flat, before, within, starts, order, inverse, count, bins, block)
    return Plan(order, inverse, starts, tile_expert, tile_row, tile_end)


@jit
def count_kernel(chosen, counts, within, total, BINS: tl.constexpr, BLOCK: tl.constexpr):
    """Fill counts [blocks, BINS]: how often each expert occurs in a block of assignments, padding in the last bin; and
    within, of the same shape: how many of the block's assignments go to lower experts."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    experts = tl.load(chosen + at, mask=at < total, other=BINS - 1).to(tl.int32)
    there = tl.program_id(0) * BINS + tl.arange(0, BINS)
    mine = tl.histogram(experts, BINS)
    tl.store(counts + there, mine)
    tl.store(within + there, tl.cumsum(mine, 0) - mine)


@jit
def prefix_kernel(counts, totals, blocks, BINS: tl.constexpr, BLOCKS: tl.constexpr, COLUMNS: tl.constexpr):
    """Replace counts by the occurrences of each expert in all earlier blocks, and fill totals [BINS] for all blocks."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    carry = tl.zeros([COLUMNS], tl.int32)
    for first in range(0, blocks, BLOCKS):
        rows = (first + tl.arange(0, BLOCKS))[:, None]
        at = counts + rows * BINS + columns[None, :]
        mine = tl.load(at, mask=rows < blocks, other=0)
        tl.store(at, carry[None, :] + tl.cumsum(mine, 0) - mine, mask=rows < blocks)
        carry += tl.sum(mine, 0)
    tl.store(totals + columns, carry)


@jit
def tile_kernel(
    totals, starts, tile_expert, tile_row, tile_end, tiles,
    E: tl.constexpr, BINS: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Let a program per expert write its tiles and where its rows start, and one more program mark spare tiles."""
    expert = tl.program_id(0)
    bins = tl.arange(0, BINS)
    sizes = tl.load(totals + bins, mask=bins < E, other=0)
    first_row = tl.sum(tl.where(bins < expert, sizes, 0), 0)
    first_tile = tl.sum(tl.where(bins < expert, (sizes + TILE - 1) // TILE, 0), 0)
    size = tl.sum(tl.where(bins == expert, sizes, 0), 0)
    mine = tl.where(expert == E, tiles - first_tile, (size + TILE - 1) // TILE)
    tl.store(starts + expert, first_row)
    for begin in range(0, mine, BLOCK):
        index = begin + tl.arange(0, BLOCK)
        owner = tl.where(expert == E, -1, expert) + tl.zeros([BLOCK], tl.int32)
        tl.store(tile_expert + first_tile + index, owner, mask=index < mine)
        tl.store(tile_row + first_tile + index, first_row + index * TILE, mask=index < mine)
        tl.store(tile_end + first_tile + index, first_row + size + 0 * index, mask=index < mine)


@jit
def place_kernel(chosen, before, within, starts, order, inverse, total, BINS: tl.constexpr, BLOCK: tl.constexpr):
    """Find every assignment's row: the first row of its expert, plus those in earlier blocks, plus earlier ones in its
    own.

    The block is sorted by expert and then by place. So the number of earlier ones in its own block is its place among
    the sorted, less the assignments to lower experts; and neighbours write neighbouring rows.
    """
    base = tl.program_id(0) * BLOCK
    local = tl.arange(0, BLOCK)
    experts = tl.load(chosen + base + local, mask=base + local < total, other=BINS - 1).to(tl.int32)
    keys = tl.sort(experts * BLOCK + local)
    expert, at = keys // BLOCK, base + keys % BLOCK
    exists = at < total
    there = tl.program_id(0) * BINS + expert
    row = local + tl.load(before + there) - tl.load(within + there) + tl.load(starts + expert, mask=exists, other=0)
    tl.store(inverse + at, row, mask=exists)
    tl.store(order + row, at, mask=exists)


@jit
def load_tile(tile_expert, tile_row, tile_end, index, HEIGHT: tl.constexpr, BLOCK_M: tl.constexpr):
    """Load, for piece `index` of BLOCK_M rows of the plan's tiles: expert, first row, and where the expert's rows end.
    The piece is empty if first >= end. The three loads overlap: every program waits for them before its first
    product."""
    pieces: tl.constexpr = HEIGHT // BLOCK_M
    tile = index // pieces
    first = tl.load(tile_row + tile) + index % pieces * BLOCK_M
    return tl.load(tile_expert + tile), first, tl.load(tile_end + tile)
