"""The tile of every matrix kernel: one place to tune."""

from __future__ import annotations

from typing import NamedTuple


class Tile(NamedTuple):
    """Columns and depth of a program's tile, powers of two, and how it runs on the device; the up-projection can take
    `narrow` more columns in a second accumulator."""

    columns: int
    depth: int
    warps: int
    stages: int
    narrow: int = 0


class Tiles(NamedTuple):
    """`rows` is the height of all tiles over sorted rows, `features` that of weight gradients over d.

    Kernels with columns "one and a half" take half as many again in a second accumulator: 192 = 128 + 64.
    """

    rows: int
    features: int
    up: Tile  # columns of each half
    matmul: Tile
    d_hidden: Tile  # columns one and a half
    d_weight: Tile  # columns one and a half; depth is rows


# d 512, expert width 192, bf16, about 850 rows per expert
BETA = Tiles(
    rows=128,
    features=128,
    up=Tile(64, 64, 8, 3),
    matmul=Tile(128, 64, 8, 3),
    d_hidden=Tile(64, 64, 8, 3),
    d_weight=Tile(128, 64, 8, 3),
)


class RouterTiles(NamedTuple):
    """`rows` is the height of all tiles: of tokens, or of experts in the weight gradient, which adds up `runs` runs of
    tokens side by side."""

    rows: int
    runs: int
    logits: Tile
    d_x: Tile
    d_w: Tile  # depth is tokens


ROUTER = RouterTiles(
    rows=128,
    runs=22,  # 132 programs
    logits=Tile(128, 64, 8, 3),
    d_x=Tile(128, 32, 8, 3),
    d_w=Tile(256, 32, 8, 3),
)
