"""The stem of a token: the first letters of the word that it belongs to, as far as the word is said.

`Konewka` and `konewkę` are different tokens of a small vocabulary. Their stems are equal, and those of `lamp` and
`lamps` share four letters. So words match in other forms, too, which a small model has no time to learn for each word.

A model knows how its tokens are spelled (`TokenModel.spelling`): in lower case, without accents. A row says whether the
token begins a new word, and then its first five letters, as numbers from 1 on and 0 where there are no more.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rxt_model.config import STEM_LETTERS

LEAST = 3  # letters of a stem, at least: shorter words do not match by their stem
SPELLED = 1 + STEM_LETTERS  # columns of a token's spelling
_BITS = 8  # of a letter; bf16 holds whole numbers of so many bits


def stems(spelled: Tensor, opens: Tensor) -> Tensor:
    """Return the stems [B, S, 5] of tokens, in numbers below 1, zeros where a word has fewer than three letters so far.
    `spelled` [B, S, 6] are rows of the spelling; `opens` [B, S] marks tokens before which every word ends."""
    begins, letters = (spelled[..., 0] > 0) | opens, spelled[..., 1:].long()
    places = torch.arange(STEM_LETTERS, device=letters.device)
    counts = (letters > 0).sum(-1)
    before = _in_word(counts, begins) - counts
    at = before[..., None] + places
    numbers = (letters << (_BITS * at.clamp(max=STEM_LETTERS))).masked_fill(at >= STEM_LETTERS, 0).sum(-1)
    number = _in_word(numbers, begins).masked_fill(before + counts < LEAST, 0)
    return ((number[..., None] >> (_BITS * places)) & (2**_BITS - 1)).to(spelled.dtype) / 2**_BITS


def share(one: Tensor, other: Tensor, letters: int) -> Tensor:
    """Say which of stems [B, S, 5] and [B, M, 5] share so many letters from their first on, or are equal: [B, S, M]. A
    token without a stem shares none."""
    number, others = _number(one, letters), _number(other, letters)
    return (number[:, :, None] == others[:, None]) & (number > 0)[:, :, None]


def _in_word(values: Tensor, begins: Tensor) -> Tensor:
    """Return the sum of values [B, S], 0 or more, from the beginning of a token's word to the token."""
    sums = values.cumsum(-1)
    earlier = F.pad(sums, (1, 0))[..., :-1]
    return sums - (earlier * begins).cummax(-1).values


def _number(stem: Tensor, letters: int) -> Tensor:
    """Return the first letters of stems [B, S, 5] as whole numbers [B, S]."""
    places = torch.arange(letters, device=stem.device)
    return ((stem[..., :letters].float() * 2**_BITS).round().long() << (_BITS * places)).sum(-1)
