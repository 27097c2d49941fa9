"""The tile of every matrix kernel, in one place to tune."""

from __future__ import annotations

from typing import NamedTuple


class Tile(NamedTuple):
    """Rows, columns and depth of a program's tile, powers of two, and its warps and stages. Kernels with columns "one
    and a half" process half as many again in a second accumulator: 192 = 128 + 64."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int
    early: int = 0  # d_weight: whether a step loads the tokens of the next step


class Tiles(NamedTuple):
    """`height` is the height of the plan's tiles, a multiple of `rows` of all kernels that work on sorted rows."""

    height: int
    up: Tile  # columns of each half
    down: Tile
    d_hidden: Tile  # columns one and a half
    d_x: Tile
    d_weight: Tile  # rows are features, columns one and a half; depth is sorted rows
    d_w_in_main: Tile  # as d_weight, if gradients are added in fp32
    d_w_out_main: Tile


# d 512, expert width 192, bf16, about 850 rows per expert
BETA = Tiles(
    height=128,
    up=Tile(128, 64, 64, 8, 3),
    down=Tile(128, 128, 64, 4, 3),
    d_hidden=Tile(128, 128, 64, 16, 4),
    d_x=Tile(128, 256, 64, 8, 4),
    d_weight=Tile(128, 128, 32, 8, 5),
    d_w_in_main=Tile(256, 128, 64, 16, 3, early=1),
    d_w_out_main=Tile(128, 128, 64, 8, 3, early=1),  # taller ones spill
)


class RouterTiles(NamedTuple):
    """The tiles of the router. The weight gradient sums `runs` runs of tokens side by side."""

    runs: int
    logits: Tile
    d_x: Tile
    d_w: Tile  # rows are experts, depth is tokens


ROUTER = RouterTiles(
    runs=22,  # 132 programs
    logits=Tile(128, 128, 32, 8, 4),
    d_x=Tile(128, 128, 32, 8, 3),
    d_w=Tile(128, 256, 32, 8, 3),
)
