"""The gated delta rule in chunks against the loop over tokens in fp64, forward and backward."""

import pytest
import torch

from rxt_model.delta.rule import gated_delta_rule
from rxt_model.delta.sequences import Sequences
from rxt_model.layers.layout import Layout
from tests.reference.compare import assert_agree
from tests.reference.delta import delta_rule

pytestmark = pytest.mark.usefixtures("in_double")

HEADS, KEYS, VALUES = 2, 3, 4
LENGTHS = [5, 1, 12, 7]


def positions_of(lengths):
    return torch.cat([torch.arange(n) for n in lengths])


def drawn(tokens, sequences):
    """Return unit queries and keys, values, log alpha, beta, and first states."""
    generator = torch.Generator().manual_seed(tokens)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    q, k = (torch.nn.functional.normalize(normal(tokens, HEADS, KEYS), dim=-1) for _ in range(2))
    decay, beta = -normal(tokens, HEADS).square(), normal(tokens, HEADS).sigmoid()
    given = (q, k, normal(tokens, HEADS, VALUES), decay, beta, normal(sequences, HEADS, VALUES, KEYS))
    return [x.requires_grad_() for x in given]


@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_chunks_of_any_size_are_the_recurrence(chunk):
    given = q, k, v, decay, beta, start = drawn(sum(LENGTHS), len(LENGTHS))
    sequences = Sequences.of_documents(Layout(1, sum(LENGTHS), None), positions_of(LENGTHS), chunk)
    longest_first = [2, 3, 0, 1]
    found = gated_delta_rule(*map(sequences.cut, given[:-1]), start[longest_first], sequences)
    outputs, ends = [], []
    for n, piece in enumerate(torch.arange(sum(LENGTHS)).split(LENGTHS)):
        heads = [
            delta_rule(q[piece, h], k[piece, h], v[piece, h], decay[piece, h].exp(), beta[piece, h], start[n, h])
            for h in range(HEADS)
        ]
        outputs.append(torch.stack([out for out, _ in heads], 1))
        ends.append(torch.stack([end for _, end in heads]))
    expected = torch.cat(outputs), torch.stack(ends)[longest_first]
    leaves = dict(zip(("q", "k", "v", "decay", "beta", "start"), given, strict=True))
    assert_agree(
        torch.cat([x.flatten() for x in found]), torch.cat([x.flatten() for x in expected]), leaves, tolerance=1e-8
    )


@pytest.mark.parametrize("chunk", [1, 64])
def test_a_key_that_is_written_again_has_its_second_value(chunk):
    """A linear attention without the correction would return the sum of both values."""
    key, first, second = torch.tensor([0.6, 0.0, 0.8]), torch.randn(VALUES), torch.randn(VALUES)
    keys, values = torch.stack((key, key))[:, None], torch.stack((first, second))[:, None]
    sequences = Sequences.of_documents(Layout(1, 2, None), torch.arange(2), chunk)
    zero, one = torch.zeros(2, 1), torch.ones(2, 1)
    out, _ = gated_delta_rule(
        *map(sequences.cut, (keys, keys, values, zero, one)), torch.zeros(1, 1, VALUES, 3), sequences
    )
    torch.testing.assert_close(out[:, 0], torch.stack((first, second)))


def test_a_long_sequence_of_equal_keys_stays_exact_in_fp32():
    """Its triangular system is the worst of all: an inverse by powers of the matrix would lose every digit."""
    sequences = Sequences.of_documents(Layout(1, 64, None), torch.arange(64))
    keys, values = torch.tensor([1.0, 0.0, 0.0]).expand(64, 1, 3).float(), torch.randn(64, 1, VALUES).float()
    zero, one = torch.zeros(64, 1).float(), torch.ones(64, 1).float()
    out, _ = gated_delta_rule(
        *map(sequences.cut, (keys, keys, values, zero, one)), torch.zeros(1, 1, VALUES, 3).float(), sequences
    )
    torch.testing.assert_close(out, values)


def test_rows_with_padding_are_sequences_of_their_own():
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    layout = Layout.of(mask.shape, mask)
    sequences = Sequences.of_rows(layout, torch.tensor([7, 8, 3, 4, 5, 6]), chunk=3)
    assert sequences.rows.tolist() == [2, 0] and sequences.counts == (2, 1) and sequences.lengths.tolist() == [4, 2]
    x = torch.arange(6.0)
    assert sequences.joined(sequences.cut(x)).tolist() == x.tolist()
    assert sequences.owner.tolist() == [1, 1, 0, 0, 0, 0]


def test_no_tokens_leave_nothing():
    sequences = Sequences.of_documents(Layout.of((1, 3), torch.zeros(1, 3).bool()), torch.arange(0))
    given = drawn(0, 0)
    out, end = gated_delta_rule(*map(sequences.cut, given[:-1]), given[-1], sequences)
    assert out.shape == (0, HEADS, VALUES) and end.shape == (0, HEADS, VALUES, KEYS)
