"""Generation: cached batches against uncached single rows, and the sampler against hand-made distributions."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import MemoryConfig
from rxt_model.generate import Decoding, Sampling, answer, stream
from rxt_model.layers.attention import CrossAttention
from rxt_model.layers.cache import KeyValueCache
from rxt_model.model import seeded
from rxt_model.state import ConversationState, remember
from tests.support.models import small_config, small_model

QUERIES = [[2, 5, 20, 30], [2, 5, 44], [2, 5, 50, 51, 52, 53, 54, 55]]
FOLLOW_UPS = [[2, 5, 33, 34, 35, 36, 37], [2, 5, 12, 13], [2, 5, 61]]
TOKENS = small_config().tokens


def start(model, rows=3):
    return model.initial_memory(rows, torch.Generator().manual_seed(0))


def uncached(model, memory, query, tokens):
    """Answer one conversation without a cache: decode the whole interaction again for every token."""
    ids = list(query)
    for _ in range(tokens):
        batch = torch.tensor([ids])
        output = model.decode(batch) if memory is None else model.decode(batch, memory)
        ids.append(int(model.logits(output.at(0, -1)).argmax()))
        if ids[-1] == model.config.tokens.eos:
            break
    return ids[len(query) :]


def written(model, memory, interactions):
    """Return the memory after a padded batch of interactions of different lengths. An answer may hold the padding
    token."""
    rows = [torch.tensor(i) for i in interactions]
    ids, mask = (pad_sequence(part, batch_first=True) for part in (rows, [row >= 0 for row in rows]))
    return model.write(memory, model.encode(ids, mask), mask)


@pytest.mark.parametrize("variant", ["competitive", "grouped"])
@pytest.mark.parametrize("layers", [(0, 0), (1, 0), (0, 1), (1, 2)])
@torch.no_grad()
def test_cached_batches_equal_uncached_rows_over_two_interactions(layers, variant):
    """Conversations and answers differ in length, and no conversation affects another."""
    memory = MemoryConfig(slots=6, variant=variant)
    model = small_model(2, initial_layers=layers[0], final_layers=layers[1], memory=memory).eval()
    model.decoder.head.bias[TOKENS.eos] += 1.0  # some answers end by themselves
    together = start(model)
    alone = [together[:, row : row + 1] for row in range(3)]
    for queries in (QUERIES, FOLLOW_UPS):
        rows = answer(model, together, queries, [10, 20, 15])
        for i, limit in enumerate([10, 20, 15]):
            assert rows[i] == uncached(model, alone[i], queries[i], limit)
            alone[i] = written(model, alone[i], [queries[i] + rows[i]])
        together = written(model, together, [q + r for q, r in zip(queries, rows, strict=True)])
        assert torch.allclose(together, torch.cat(alone, 1), atol=1e-5)
    assert len({len(row) for row in rows}) > 1


@torch.no_grad()
def test_logits_of_every_step_equal_those_of_the_whole_interaction():
    model = small_model().eval()
    memory, said = start(model), torch.randint(11, 64, (3, 6), generator=torch.Generator().manual_seed(1))
    decoding = Decoding(model, memory, QUERIES, [6] * 3)
    for step in range(7):
        for row, query in enumerate(QUERIES):
            ids = torch.tensor([query + said[row, :step].tolist()])
            whole = model.logits(model.decode(ids, memory[:, row : row + 1]).at(0, -1))
            assert torch.allclose(decoding.logits[row], whole, atol=1e-5)
        if step < 6:
            decoding.step(said[:, step])


@torch.no_grad()
def test_a_query_may_be_read_in_pieces_of_different_lengths():
    model = small_model().eval()
    memory, ids = model.decoder.read_projections(start(model, 2)), torch.randint(11, 64, (2, 9))
    cache = KeyValueCache(2, 12, ids.device)
    model.extend(ids[:, :5], cache, memory, torch.tensor([[True] * 5, [True] * 2 + [False] * 3]))
    second = torch.stack((ids[0, 5:9], ids[1, 2:6]))
    hidden = model.extend(second, cache, memory).hidden
    assert cache.lengths.tolist() == [9, 6]
    for row, length in enumerate((9, 6)):
        whole = model.decode(ids[row : row + 1, :length], start(model, 2)[:, row : row + 1]).hidden[0, -4:]
        assert torch.allclose(hidden[row], whole, atol=1e-5)


@torch.no_grad()
def test_stateless_baseline_generates_as_it_decodes():
    model = seeded(lambda: StatelessDecoder(small_config()), 1).eval()
    rows = answer(model, None, QUERIES, [8] * 3)
    assert rows == [uncached(model, None, query, 8) for query in QUERIES]


def test_memory_is_projected_once_in_a_turn(monkeypatch):
    model, calls, project = small_model().eval(), [], CrossAttention.keys_values
    monkeypatch.setattr(CrossAttention, "keys_values", lambda *a: calls.append(a[0]) or project(*a))
    assert len(answer(model, start(model, 1), QUERIES[:1], [8])[0]) > 1
    assert len(calls) == len(set(calls)) == model.config.stateful_layers


@torch.no_grad()
def test_the_cache_is_as_large_as_what_was_said_whatever_might_have_been():
    model = small_model(length=4096).eval()
    layers, token = 4, 2 * 8 * 4  # keys and values of one head of 8 values in fp32
    for most in (20, 4000):
        decoding = Decoding(model, start(model), QUERIES, [most] * 3)
        assert decoding.cache.nbytes == 3 * 8 * layers * token
        decoding.step(torch.tensor([20, 21, 22]))
        assert decoding.cache.nbytes == 3 * 16 * layers * token
    short = Decoding(model, start(model), QUERIES, [1] * 3)
    short.step(torch.tensor([20, 21, 22]))
    assert short.cache.nbytes == 3 * 9 * layers * token
    with pytest.raises(ValueError, match="tokens = 1: must be at most the 0 that the cache has room for"):
        short.step(torch.tensor([20, 21, 22]))


def test_a_row_is_sampled_alike_alone_in_a_batch_and_streamed():
    model = small_model().eval()
    memory = start(model)
    sampling = Sampling(temperature=1.0, top_k=20)
    rows = answer(model, memory, QUERIES, [8] * 3, sampling, seeds=[5, 6, 7], mode="fast")
    assert answer(model, memory[:, 1:2], QUERIES[1:2], [8], sampling, seeds=[6], mode="fast")[0] == rows[1]
    assert list(stream(model, memory[:, 1:2], QUERIES[1], 8, sampling, seed=6, mode="fast")) == rows[1]
    assert answer(model, memory, QUERIES, [8] * 3, sampling, seeds=[8, 9, 10], mode="fast") != rows


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0)])
def test_a_rows_limit_is_its_own_whatever_its_neighbours(sampling):
    model = small_model().eval()
    memory = start(model)
    limits = [3, 1, 2]
    together = answer(model, memory, QUERIES, limits, sampling, seeds=[5, 6, 7])
    assert [len(row) for row in together] == limits
    for i, (query, limit) in enumerate(zip(QUERIES, limits, strict=True)):
        assert answer(model, memory[:, i : i + 1], [query], [limit], sampling, seeds=[5 + i]) == [together[i]]


def test_rows_that_have_ended_are_decoded_no_more(monkeypatch):
    model = small_model().eval()
    batches, step = [], Decoding.step
    monkeypatch.setattr(Decoding, "step", lambda self, ids: (batches.append(len(ids)), step(self, ids)))
    answer(model, start(model), QUERIES, [4, 1, 2])
    assert batches == [2, 1, 1]


@torch.no_grad()
def test_the_mode_decides_the_first_token_alone():
    model = small_model().eval()
    memory = start(model)
    for mode, first in (("fast", TOKENS.answer), ("thinking", TOKENS.think)):
        rows = answer(model, memory, QUERIES, [6] * 3, mode=mode)
        assert [row[0] for row in rows] == [first] * 3
        assert [row[1:] for row in rows] == [uncached(model, memory[:, i : i + 1], [*q, first], 5)
                                             for i, q in enumerate(QUERIES)]  # fmt: skip


@torch.no_grad()
def test_automatic_mode_takes_the_larger_of_two_logits_though_others_are_larger():
    model = small_model().eval()
    model.decoder.head.bias[40] += 100
    memory = start(model)
    logits = Decoding(model, memory, QUERIES, [2] * 3).logits
    # so that the rows differ in what is likelier
    model.decoder.head.bias[TOKENS.think] += (logits[:, TOKENS.answer] - logits[:, TOKENS.think]).mean()
    logits = Decoding(model, memory, QUERIES, [2] * 3).logits
    expected = [max((TOKENS.answer, TOKENS.think), key=lambda token: row[token]) for row in logits.tolist()]
    assert set(expected) == {TOKENS.answer, TOKENS.think}
    assert answer(model, memory, QUERIES, [2] * 3, mode="auto") == [[first, 40] for first in expected]


def test_answers_end_at_stop_tokens_with_them():
    model = small_model(length=4096).eval()
    memory = start(model)
    free = answer(model, memory, QUERIES, [12] * 3)
    stop = {free[0][2], free[1][5]}
    ended = answer(model, memory, QUERIES, [12] * 3, stop=stop)
    for whole, cut in zip(free, ended, strict=True):
        place = next((n for n, token in enumerate(whole) if token in stop), len(whole) - 1)
        assert cut == whole[: place + 1]
    assert len(ended[0]) < len(free[0])
    assert list(stream(model, memory[:, :1], QUERIES[0], 12, stop=stop)) == ended[0]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=1.0), [0.5, 0.3, 0.15, 0.05]),
        (Sampling(temperature=0.5), [0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365]),
        (Sampling(temperature=1.0, top_k=2), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1.0, top_k=9), [0.5, 0.3, 0.15, 0.05]),
        (Sampling(temperature=1.0, top_p=0.6), [0.625, 0.375, 0, 0]),
        (Sampling(temperature=1.0, top_p=0.5), [1, 0, 0, 0]),
        (Sampling(temperature=1.0, min_p=0.2), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]),
        (Sampling(temperature=1.0, top_k=2, top_p=0.6), [1, 0, 0, 0]),
        (Sampling(temperature=1.0, top_k=3, min_p=0.4), [0.625, 0.375, 0, 0]),
        (Sampling(), [1, 0, 0, 0]),
    ],
)
def test_sampler_keeps_what_it_should(sampling, kept):
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert sampling.probabilities(logits)[0].tolist() == pytest.approx(kept, abs=1e-6)
    assert torch.equal(sampling.probabilities(logits.flip(-1)).flip(-1), sampling.probabilities(logits))


def test_of_equal_tokens_only_as_many_stay_as_are_wanted():
    p = Sampling(temperature=1.0, top_k=2).probabilities(torch.tensor([[1.0, 3.0, 1.0, 1.0]]))[0]
    assert (p > 0).sum() == 2 and p[1] > p.sum() / 2


def test_draws_are_as_frequent_as_they_should_be():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    generator, sampling = [torch.Generator().manual_seed(0)], Sampling(temperature=1.0, top_k=3)
    drawn = torch.cat([sampling.draw(logits, generator) for _ in range(2000)]).bincount(minlength=4) / 2000
    assert drawn[3] == 0
    assert torch.allclose(drawn[:3], torch.tensor([0.5, 0.3, 0.15]) / 0.95, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.5}, "temperature = -0.5: must not be negative"),
        ({"top_k": 0}, "top_k = 0: must be at least 1"),
        ({"top_p": 0.0}, "top_p = 0.0: must be above 0 and at most 1"),
        ({"min_p": 1.5}, "min_p = 1.5: must be 0 to 1"),
    ],
)
def test_impossible_sampling_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"queries": []}, r"queries = \[\]: must hold at least one row"),
        ({"queries": [[2, 5, 20], []]}, r"queries\[1\] = \[\]: has no tokens"),
        ({"queries": [[0, 0], [2, 5]]}, r"queries\[0\] = \[0\] \* 2: has no tokens"),
        ({"queries": [[2, 5, 20], [2, 64]]}, r"ids\[1, 1\] = 64: must lie in 0..63, the vocabulary"),
        ({"queries": [[2, -1, 20], [2, 6]]}, r"ids\[0, 1\] = -1: must lie in 0..63"),
        ({"max_tokens": [29, 30]}, r"max_tokens\[1\] = 30: with the 3 tokens of its query it must be at most length"),
        ({"max_tokens": [4]}, "max_tokens has 1 values: must be 2, one for each query"),
        ({"mode": "fats"}, "mode = 'fats': must be free, fast, thinking or auto"),
        ({"max_tokens": [0, 3]}, r"max_tokens\[0\] = 0: must be at least 1"),
        ({"memory": torch.zeros(2, 1, 6, 32)}, r"memory.shape = \(2, 1, 6, 32\): must be \(2, 2, 6, 32\)"),
        ({"memory": torch.zeros(2, 2, 7, 32)}, r"memory.shape = \(2, 2, 7, 32\): must be \(2, 2, 6, 32\)"),
        ({"memory": torch.zeros(3, 2, 6, 32)}, r"memory.shape = \(3, 2, 6, 32\): must be \(2, 2, 6, 32\)"),
        ({"memory": torch.zeros(2, 6, 32)}, r"memory.shape = \(2, 6, 32\)"),
        ({"memory": None}, r"memory = None: must be \[L, B, S, w\] for a reactive model"),
        ({"seeds": [7]}, "seeds has 1 values: must be 2, one for each query"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_field_value_and_rule(changed, message):
    model = small_model().eval()
    given = {"memory": start(model, 2), "queries": [[2, 5, 20], [2, 5, 21]], "max_tokens": [4, 4]} | changed
    with pytest.raises(ValueError, match=message):
        answer(model, **given)


def test_a_stateless_model_takes_no_memory():
    model = StatelessDecoder(small_config())
    with pytest.raises(ValueError, match=r"memory.shape = \(2, 1, 6, 32\): must be None for a stateless model"):
        answer(model, torch.zeros(2, 1, 6, 32), QUERIES[:1], [4])


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"max_tokens": 0}, r"max_tokens\[0\] = 0: must be at least 1"), ({"mode": "fats"}, "mode = 'fats': must be")],
)
def test_a_stream_is_refused_at_the_call(changed, message):
    model = small_model().eval()
    given = {"memory": start(model, 1), "query": [2, 5, 20], "max_tokens": 4} | changed
    with pytest.raises(ValueError, match=message):
        stream(model, **given)


@pytest.mark.parametrize(
    ("interaction", "message"),
    [
        ([], r"interactions\[0\] = \[\]: has no tokens"),
        ([0, 0, 0], r"interactions\[0\] = \[0\] \* 3: has no tokens"),
        ([2, 5, 64], r"ids\[0, 2\] = 64: must lie in 0..63"),
        ([20] * 33, r"interactions\[0\] has 33 tokens: must be at most length = 32"),
    ],
)
def test_what_cannot_be_remembered_is_refused(interaction, message):
    model = small_model().eval()
    with pytest.raises(ValueError, match=message):
        ConversationState.new(model).written(model, interaction)
    with pytest.raises(ValueError, match=r"memory.shape = \(2, 3, 6, 32\): must be \(2, 1, 6, 32\)"):
        remember(model, start(model), [[2, 5, 20]])


@torch.no_grad()
def test_passes_over_batches_refuse_what_does_not_fit():
    model, ids = small_model().eval(), torch.full((2, 4), 20)
    mask, memory = torch.ones(2, 4, dtype=torch.bool), start(model, 2)
    beyond = ids.masked_fill(torch.tensor([[False] * 4, [False, False, False, True]]), 70)
    for call in (lambda i, m: model.encode(i, m), lambda i, m: model.decode(i, memory, mask=m)):
        call(beyond, mask & (beyond < 64))  # nobody looks at padding
        with pytest.raises(ValueError, match=r"ids\[1, 3\] = 70: must lie in 0..63, the vocabulary"):
            call(beyond, mask)
        with pytest.raises(ValueError, match=r"ids.dtype = torch.float32"):
            call(ids.float(), mask)
        with pytest.raises(ValueError, match=r"ids.shape = \(8,\): must be \(conversations, tokens\)"):
            call(ids.flatten(), mask.flatten())
        with pytest.raises(ValueError, match=r"mask = \(2, 3\) of torch.bool: must be \(2, 4\) of torch.bool"):
            call(ids, mask[:, :3])
    for wrong in (memory[:1], memory[..., :16], torch.zeros(2, 3, 6, 32)):
        with pytest.raises(ValueError, match=r"memory.shape = .*: must be \(2, 2, any, 32\)"):
            model.decode(ids, wrong)
    with pytest.raises(ValueError, match=r"memory.shape = \(2, 2, 5, 32\): must be \(2, 2, 6, 32\)"):
        model.write(memory[:, :, :5], model.encode(ids, mask), mask)


SEEN, NUMBERS = torch.ones(2, 6, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.long)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_mask": SEEN.float()}, r"memory_mask = \(2, 6\) of torch.float32: must be \(2, 6\) of torch.bool"),
        ({"memory_mask": SEEN[:1]}, r"memory_mask = \(1, 6\) of torch.bool: must be \(2, 6\) of torch.bool"),
        (
            {"memory_mask": torch.stack((SEEN[0], ~SEEN[0]))},
            r"memory_mask.any\(1\)\[1\] = False: must be True: every row must be able to read something",
        ),
        ({"documents": NUMBERS.float()}, r"documents = \(2, 4\) of torch.float32: must be \(2, 4\) of signed integers"),
        ({"documents": NUMBERS[:, :3]}, r"documents = \(2, 3\) of torch.int64: must be \(2, 4\)"),
        (
            {"documents": NUMBERS, "memory_documents": NUMBERS},
            r"memory_documents = \(2, 4\) of torch.int64: must be \(2, 6\) of signed integers",
        ),
        ({"memory_documents": SEEN.long()}, "memory_documents without documents: must be given together"),
        (
            {"documents": NUMBERS, "memory_documents": SEEN.long(), "memory_mask": SEEN},
            "memory_mask with memory_documents: must be only one of them",
        ),
    ],
)
@torch.no_grad()
def test_a_view_of_memory_or_documents_that_does_not_fit_is_refused(options, message):
    model, ids = small_model().eval(), torch.full((2, 4), 20)
    with pytest.raises(ValueError, match=message):
        model.decode(ids, start(model, 2), **options)


@torch.no_grad()
def test_encoded_data_that_does_not_fit_its_mask_is_refused():
    model, mask = small_model().eval(), torch.ones(2, 4, dtype=torch.bool)
    memory, encoded = start(model, 2), torch.zeros(2, 2, 4, 32)
    for call in (model.project, lambda *given: model.write(memory, *given)):
        with pytest.raises(ValueError, match=r"encoded.shape = \(1, 2, 4, 32\): must be \(2, any, any, 32\)"):
            call(encoded[:1], mask)
        with pytest.raises(ValueError, match=r"mask = \(2, 3\) of torch.bool: must be \(2, 4\) of torch.bool"):
            call(encoded, mask[:, :3])
        with pytest.raises(ValueError, match=r"mask = \(2, 4\) of torch.int64: must be \(2, 4\) of torch.bool"):
            call(encoded, mask.long())


@pytest.mark.parametrize(
    ("row", "place"), [([False, True, True, True], 1), ([True, False, True, True], 2)], ids=["left", "interior"]
)
@torch.no_grad()
def test_padding_that_does_not_stand_on_the_right_is_refused(row, place):
    """Otherwise it would silently shift the positions of what follows, or be read as a token."""
    model, ids = small_model().eval(), torch.full((2, 4), 20)
    mask, memory = torch.tensor([[True] * 4, row]), start(model, 2)
    reads = model.decoder.read_projections(memory)
    refused = pytest.raises(ValueError, match=rf"mask\[1, {place}\] = True: .*padding stands on the right")
    with refused:
        model.decode(ids, memory, mask=mask)
    with refused:
        model.extend(ids, KeyValueCache(2, 12, ids.device), reads, mask)
    with refused:
        model.encode(ids, mask)
    with refused:
        model.project(torch.zeros(2, 2, 4, 32), mask)
    with refused:
        model.write(memory, torch.zeros(2, 2, 4, 32), mask)
    nothing = torch.tensor([[True] * 4, [False] * 4])
    assert not model.decode(ids, memory, mask=nothing).hidden[1].any()
