"""Hold the keys and values of the interaction being generated. They grow with it and are dropped after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class KeyValueCache:
    """One entry per attention layer, for a batch whose rows have different lengths.

    `lengths` [B] counts the tokens that each row holds. A call adds the same number of new tokens T to every row: rows
    that need fewer are padded on the right, and the next call overwrites the padding. When the room is used up it is
    doubled, up to `limit` tokens, and attention runs over the used part. So neither time nor memory depends on how long
    the interaction might have become.
    """

    def __init__(self, batch: int, limit: int, device: torch.device) -> None:
        self.lengths = torch.zeros(batch, dtype=torch.long, device=device)
        self.limit = limit
        self.used = 0  # an upper bound for the longest row: asking the device for it would wait
        self.positions = torch.empty(0)
        self.mask: Tensor | None = None
        self._held: dict[object, tuple[Tensor, ...]] = {}
        self._made: dict[object, tuple[tuple[int, ...], Tensor]] = {}
        self._states: dict[object, tuple[Tensor, ...]] = {}

    @property
    def nbytes(self) -> int:
        """The bytes of all that is held."""
        made = (part for _, part in self._made.values())
        every = (*self._held.values(), *self._states.values(), made)
        return sum(part.nbytes for parts in every for part in parts)

    def begin(self, tokens: int) -> Tensor:
        """Prepare for `tokens` new tokens per row, and return their positions [B, tokens].

        Sets `mask` to [B, 1, tokens, used], or to None at the first call, where the causal order alone hides padding.
        Raises ValueError if the cache has no room for them.
        """
        if self.used + tokens > self.limit:
            raise ValueError(
                f"tokens = {tokens}: must be at most the {self.limit - self.used} that the cache has room for"
            )
        first, self.used = self.used == 0, self.used + tokens
        self.positions = self.lengths[:, None] + torch.arange(tokens, device=self.lengths.device)
        places = torch.arange(self.used, device=self.lengths.device)
        self.mask = None if first else (places <= self.positions[..., None])[:, None]
        return self.positions

    def extend(self, layer: object, *parts: Tensor) -> tuple[Tensor, ...]:
        """Store parts [B, heads, T, width], such as keys and values, at the current positions, and return all that the
        layer has of each."""
        held = [self._roomy(old) for old in self._held.get(layer, tuple(part[:, :, :0] for part in parts))]
        self._held[layer] = tuple(held)
        for whole, part in zip(held, parts, strict=True):
            index = self.positions[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3])
            whole.scatter_(2, index, part)
        return tuple(whole[:, :, : self.used] for whole in held)

    def once(self, key: object, sizes: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` returns, [B, ..]. It is made again only if the size of a row changes."""
        if key not in self._made or self._made[key][0] != sizes:
            self._made[key] = sizes, make()
        return self._made[key][1]

    def hold(self, layer: object, *parts: Tensor) -> None:
        """Replace the state [B, ..] of a recurrent layer, whose size does not grow."""
        self._states[layer] = parts

    def state(self, layer: object) -> tuple[Tensor, ...] | None:
        """Return what the layer held last, or None at the first call."""
        return self._states.get(layer)

    def advance(self, counts: Tensor | int) -> None:
        """Let each row keep the first `counts` [B] of the tokens just added."""
        self.lengths = self.lengths + counts

    def keep(self, rows: Sequence[int]) -> None:
        """Hold these rows of the batch alone, in this order."""
        self.lengths = self.lengths[rows]
        self._held = {layer: tuple(part[rows] for part in parts) for layer, parts in self._held.items()}
        self._states = {layer: tuple(part[rows] for part in parts) for layer, parts in self._states.items()}
        self._made = {key: (tuple(sizes[row] for row in rows), made[rows]) for key, (sizes, made) in self._made.items()}

    def _roomy(self, held: Tensor) -> Tensor:
        """Return the same with room for all used places."""
        room = held.shape[2]
        if room >= self.used:
            return held
        grown = held.new_zeros(*held.shape[:2], min(self.limit, max(self.used, 2 * room)), held.shape[3])
        grown[:, :, :room] = held
        return grown
