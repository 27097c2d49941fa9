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
