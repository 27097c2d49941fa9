"""Generation: cached batches against uncached single rows, and the sampler against hand-made distributions."""

import pytest
import torch

from rxt_model.baseline import StatelessDecoder
from rxt_model.generate import Sampling, answer, stream
from rxt_model.model import seeded
from tests.models import small_config, small_model

QUERIES = [[2, 5, 20, 30], [2, 5, 44], [2, 5, 50, 51, 52, 53, 54, 55]]


def uncached(model, memory, query, tokens):
    ids = list(query)
    for _ in range(tokens):
        batch = torch.tensor([ids])
        output = model.decode(batch) if memory is None else model.decode(batch, memory)
        ids.append(int(model.logits(output.hidden[0, -1]).argmax()))
        if ids[-1] == model.config.tokens.eos:
            break
    return ids[len(query) :]


@pytest.mark.parametrize("layers", [(0, 0), (1, 0), (0, 1), (1, 1)])
@torch.no_grad()
def test_cached_batches_equal_uncached_rows_over_two_interactions(layers):
    model = small_model(initial_layers=layers[0], final_layers=layers[1]).eval()
    memory = model.initial_memory(3, torch.Generator().manual_seed(0))
    for _ in range(2):
        rows = answer(model, memory, QUERIES, [10] * 3)
        for i, query in enumerate(QUERIES):
            assert rows[i] == uncached(model, memory[:, i : i + 1], query, 10)
        ids = torch.tensor([(q + r)[:4] for q, r in zip(QUERIES, rows, strict=True)])
        mask = torch.ones_like(ids, dtype=torch.bool)
        memory = model.write(memory, model.encode(ids, mask), mask)


@torch.no_grad()
def test_stateless_baseline_generates_as_it_decodes():
    model = seeded(lambda: StatelessDecoder(small_config()), 1).eval()
    rows = answer(model, None, QUERIES, [8] * 3)
    assert rows == [uncached(model, None, query, 8) for query in QUERIES]


def test_a_row_is_sampled_alike_alone_in_a_batch_and_streamed():
    model = small_model().eval()
    memory = model.initial_memory(3, torch.Generator().manual_seed(0))
    sampling = Sampling(temperature=1.0, top_k=20)
    rows = answer(model, memory, QUERIES, [8] * 3, sampling, seeds=[5, 6, 7], mode="fast")
    assert answer(model, memory[:, 1:2], QUERIES[1:2], [8], sampling, seeds=[6], mode="fast")[0] == rows[1]
    assert list(stream(model, memory[:, 1:2], QUERIES[1], 8, sampling, seed=6, mode="fast")) == rows[1]
    assert all(row[0] == 6 for row in rows)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0)])
def test_a_rows_limit_is_its_own_whatever_its_neighbours(sampling):
    model = small_model().eval()
    memory = model.initial_memory(3, torch.Generator().manual_seed(0))
    limits = [3, 1, 2]
    together = answer(model, memory, QUERIES, limits, sampling, seeds=[5, 6, 7])
    assert [len(row) for row in together] == limits
    for i, (query, limit) in enumerate(zip(QUERIES, limits, strict=True)):
        assert answer(model, memory[:, i : i + 1], [query], [limit], sampling, seeds=[5 + i]) == [together[i]]


def test_an_empty_query_is_refused():
    model = small_model().eval()
    with pytest.raises(ValueError, match="no tokens"):
        answer(model, model.initial_memory(1), [[]], [4])


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=1.0), [0.5, 0.3, 0.15, 0.05]),
        (Sampling(temperature=1.0, top_k=2), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.6), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1.0, min_p=0.2), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Sampling(), [1, 0, 0, 0]),
    ],
)
def test_sampler_keeps_what_it_should(sampling, kept):
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert sampling.probabilities(logits)[0].tolist() == pytest.approx(kept, abs=1e-6)
