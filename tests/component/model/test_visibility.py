"""Packed documents, masked in blocks of FlexAttention as on a GPU, equal a loop over documents in fp64."""

import warnings

import pytest
import torch

from rxt_model.layers.attention import attend
from rxt_model.layers.visibility import _blocks, same_document

DOCUMENTS = [[70, 1, 59], [130, 131], [261], [3, 200]]  # lengths of each row's, over blocks of 128; padding follows
LENGTH = 261


def numbered(lengths):
    """Return the document of each token of a row, -1 at padding."""
    numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    return torch.nn.functional.pad(numbers, (0, LENGTH - len(numbers)), value=-1)


def drawn(query_heads, kv_heads, keys):
    generator = torch.Generator().manual_seed(0)
    sizes = ((query_heads, LENGTH), (kv_heads, keys), (kv_heads, keys))
    shapes = [(len(DOCUMENTS), heads, length, 8) for heads, length in sizes]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def one_by_one(q, k, v, queries, keys, causal):
    """Take the softmax over the keys of the query's own document: [B, T, heads * head_dim], zero at padding."""
    q, (k, v) = q.double(), (part.double().repeat_interleave(q.shape[1] // part.shape[1], 1) for part in (k, v))
    rows = []
    for row in range(len(q)):
        out = torch.zeros_like(q[row])
        for number in set(queries[row].tolist()) - {-1}:
            mine, theirs = queries[row] == number, keys[row] == number
            scores = q[row, :, mine] @ k[row, :, theirs].mT / 8**0.5
            if causal:
                scores = scores.masked_fill(torch.ones(scores.shape[1:], dtype=torch.bool).triu(1), -torch.inf)
            out[:, mine] = scores.softmax(-1) @ v[row, :, theirs]
        rows.append(out.transpose(0, 1).flatten(1))
    return torch.stack(rows)


@pytest.fixture
def eager():
    """Run FlexAttention uncompiled. The code compiles it, but the meaning is the same; it warns that it is not
    compiled."""
    with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("heads", [(4, 2), (2, 2)], ids=["grouped", "plain"])
@pytest.mark.parametrize("kind", ["causal", "bidirectional", "memory"])
def test_blocks_mean_what_the_dense_mask_means(kind, heads):
    """A memory has another number of keys than tokens. Padding reads something and does not count. Only values are
    compared: on a CPU torch has no backward pass of FlexAttention."""
    queries = torch.stack([numbered(lengths) for lengths in DOCUMENTS])
    keys = queries[:, ::2].contiguous() if kind == "memory" else queries
    inputs, causal, real = drawn(*heads, keys.shape[1]), kind == "causal", (queries >= 0)[..., None]
    expected = one_by_one(*inputs, queries, keys, causal)
    for mask in (same_document(queries, keys, causal), _blocks(queries, keys, causal)):
        out = attend(*inputs, mask)
        assert out.isfinite().all()
        torch.testing.assert_close((out * real).double(), expected, rtol=0, atol=1e-5)


def test_blocks_that_hold_nothing_to_see_are_left_out():
    queries = torch.arange(4).repeat_interleave(256)[None]
    for causal, share in ((False, 1 / 4), (True, 3 / 16)):
        blocks = _blocks(queries, queries, causal)
        assert blocks.sparsity() == pytest.approx(100 * (1 - share))
