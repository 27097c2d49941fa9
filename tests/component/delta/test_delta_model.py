"""A model with a memory-driven Gated DeltaNet against its equations in fp64: padding, packing, masks, decoding."""

from dataclasses import replace

import pytest
import torch

from rxt_model.config import DeltaConfig, ModelConfig
from rxt_model.decoder import Decoder
from rxt_model.delta.layer import GatedDelta
from rxt_model.generate import Decoding
from rxt_model.layers.attention import SelfAttention
from rxt_model.layers.cache import KeyValueCache
from rxt_model.layers.layout import pad_rows
from tests.reference import model
from tests.reference.compare import assert_agree, shaken
from tests.support.models import small_config, small_model

pytestmark = pytest.mark.usefixtures("in_double")

LENGTHS = [4, 7, 1]  # the longest sequence, which comes first inside, is not the first row


def delta_model(heads=3, kernel=4, **changes):
    narrow = dict(dense_dim=10, encoder_dim=10)
    return shaken(small_model(delta=DeltaConfig(heads, kernel), **narrow | changes))


def rows_and_memory(of, slots=None):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(11, 64, (n,), generator=generator).tolist() for n in LENGTHS]
    shape = (of.config.stateful_layers, len(rows), slots or of.config.memory.slots, of.config.dim)
    return rows, torch.randn(shape, generator=generator).requires_grad_()


def leaves_of(of, **inputs):
    return {name: p for name, p in of.named_parameters() if name.startswith(("decoder", "embedding"))} | inputs


def expected_rows(of, rows, memories):
    """Return the outputs of rows that are computed alone, in a batch [B, T, d] with zeros at padding."""
    state, longest = dict(of.named_parameters()), max(map(len, rows))
    hidden = [model.decode(state, of.config, row, own)[0] for row, own in zip(rows, memories, strict=True)]
    return torch.stack([torch.nn.functional.pad(h, (0, 0, 0, longest - len(h))) for h in hidden])


@pytest.mark.parametrize(("heads", "kernel"), [(1, 1), (3, 4), (4, 9)])
def test_padded_rows_are_rows_alone(heads, kernel):
    of = delta_model(heads, kernel)
    rows, memory = rows_and_memory(of)
    ids, mask = pad_rows(rows, 0)
    found = of.decode(ids, memory, mask=mask).hidden
    assert_agree(found, expected_rows(of, rows, memory.unbind(1)), leaves_of(of, memory=memory))


def test_more_than_one_chunk():
    of = delta_model()
    memory = rows_and_memory(of)[1][:, :1]
    ids = torch.randint(11, 64, (1, 150), generator=torch.Generator().manual_seed(2))
    expected = expected_rows(of, ids.tolist(), [memory[:, 0]])
    torch.testing.assert_close(of.decode(ids, memory).hidden, expected, rtol=1e-9, atol=1e-9)


def test_what_a_row_may_not_read_does_not_drive_it():
    """Raw states of a conversation, shared by its turns, each of which reads some of them."""
    of = delta_model()
    rows, memory = rows_and_memory(of, slots=9)
    shared = memory[:, :1]
    ids, mask = pad_rows(rows, 0)
    readable = torch.arange(9) < torch.tensor([2, 9, 5])[:, None]
    found = of.decode(ids, shared, mask=mask, memory_mask=readable).hidden
    expected = expected_rows(of, rows, [shared[:, 0, seen] for seen in readable])
    assert_agree(found, expected, leaves_of(of, memory=memory))


def test_neighbouring_rows_may_share_a_memory():
    of = delta_model()
    rows, memory = rows_and_memory(of)
    rows = [*rows, rows[0][:5]]
    ids, mask = pad_rows(rows, 0)
    found = of.decode(ids, memory[:, :2], mask=mask).hidden
    assert_agree(found, expected_rows(of, rows, [memory[:, n // 2] for n in range(4)]), leaves_of(of, memory=memory))


@pytest.mark.parametrize("raw", [True, False], ids=["own states", "slots"])
def test_packed_documents_are_rows_of_their_own(raw):
    of = delta_model()
    ids = torch.randint(11, 64, (3, 9), generator=torch.Generator().manual_seed(3))
    documents = torch.tensor([[0] * 4 + [1] * 5, [0] * 2 + [1] * 1 + [2] * 3 + [-1] * 3, [0] * 9])
    memory = rows_and_memory(of, slots=9 if raw else None)[1]
    own = dict(memory_documents=documents) if raw else {}
    output = of.decode(ids, memory, mask=documents >= 0, documents=documents, **own).hidden
    state, expected = dict(of.named_parameters()), torch.zeros_like(output)
    for row, number in {(r, n) for r, numbers in enumerate(documents.tolist()) for n in numbers if n >= 0}:
        here = documents[row] == number
        read = memory[:, row, here] if raw else memory[:, row]
        expected[row, here] = model.decode(state, of.config, ids[row, here].tolist(), read)[0]
    assert_agree(output, expected, leaves_of(of, memory=memory))


def test_states_of_other_documents_are_refused():
    of = delta_model()
    ids, memory = torch.full((3, 4), 20), torch.zeros(2, 3, 4, 32)
    documents = torch.zeros(3, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"memory_documents\[2, 3\] = 1: must be documents with delta"):
        other = documents.clone()
        other[2, 3] = 1
        of.decode(ids, memory, documents=documents, memory_documents=other)
    with pytest.raises(ValueError, match=r"memory_documents.shape = \(3, 5\): must be that of documents"):
        of.decode(ids, torch.zeros(2, 3, 5, 32), documents=documents, memory_documents=torch.zeros(3, 5).long())


@pytest.mark.parametrize("kernel", [1, 4])
@torch.no_grad()
def test_cached_logits_are_those_of_whole_rows(kernel):
    """Queries of different lengths are answered token by token, until one conversation is left."""
    of = delta_model(kernel=kernel)
    rows, memory = rows_and_memory(of)
    state = dict(of.named_parameters())
    cached, running = Decoding(of, memory, rows, max_tokens=[6] * len(rows)), [0, 1, 2]
    for step in range(6):
        for row, found in zip(running, cached.logits, strict=True):
            hidden = model.decode(state, of.config, rows[row], memory[:, row])[0]
            torch.testing.assert_close(found, model.logits(state, hidden[-1:])[0], rtol=1e-9, atol=1e-9)
            rows[row].append(20 + step + row)
        cached.step(torch.tensor([rows[row][-1] for row in running]))
        if step == 2:
            cached.keep([2, 0])
            running = [2, 0]


@torch.no_grad()
def test_tokens_may_come_in_pieces_of_any_size():
    of = delta_model()
    memory = rows_and_memory(of)[1]
    reads, drives = of.decoder.read_projections(memory), of.decoder.drives(memory)
    ids = torch.randint(11, 64, (3, 9), generator=torch.Generator().manual_seed(4))
    cache, found = KeyValueCache(3, 16, ids.device), []
    # the second piece has nothing for the second row
    mask = torch.tensor([[1, 1], [0, 0], [1, 0]]).bool()
    found.append(of.extend(ids[:, :3], cache, reads, drives=drives).hidden)
    of.extend(ids[:, 3:5], cache, reads, mask, drives=drives)
    last = of.extend(ids[:, 5:6], cache, reads, drives=drives).hidden
    whole = [ids[0, :6].tolist(), ids[1, [0, 1, 2, 5]].tolist(), ids[2, [0, 1, 2, 3, 5]].tolist()]
    for row, tokens in enumerate(whole):
        expected = of.decode(torch.tensor([tokens]), memory[:, row : row + 1]).hidden[0]
        torch.testing.assert_close(last[row, 0], expected[-1], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found[0][row], expected[:3], rtol=1e-9, atol=1e-9)


def test_the_state_does_not_grow_with_the_interaction():
    of = delta_model(initial_layers=0, final_layers=0, dense_dim=0)
    memory = rows_and_memory(of)[1]
    reads, drives = of.decoder.read_projections(memory), of.decoder.drives(memory)
    cache = KeyValueCache(3, 64, memory.device)
    held = []
    for length in (1, 20, 1):
        of.extend(torch.full((3, length), 20), cache, reads, drives=drives)
        held.append(cache.nbytes)
    assert len(set(held)) == 1 and held[0] == 2 * 3 * (3 * 8 * 8 + 3 * 3 * 3 * 8) * 8


def test_rows_without_tokens_change_nothing():
    of = delta_model()
    rows, memory = rows_and_memory(of)
    ids, mask = pad_rows(rows, 0)
    mask[1] = False
    found = of.decode(ids, memory, mask=mask).hidden
    assert not found[1].any()
    torch.testing.assert_close(found[0, :4], of.decode(ids[:1, :4], memory[:, :1]).hidden[0])
    assert of.decode(ids[:0], memory[:, :0]).hidden.shape == (0, 7, 32)
    of.decode(ids[:1], memory[:, :1], mask=mask[1:2]).hidden.sum().backward()  # as a rank does that has nothing


def test_only_stateful_layers_have_it_and_a_decoder_without_memory_has_none():
    config = small_config(delta=DeltaConfig(2))
    decoder = Decoder(config, 64)
    assert all(isinstance(layer.attention, GatedDelta) for layer in decoder.stateful)
    assert all(isinstance(layer.attention, SelfAttention) for layer in [*decoder.initial, *decoder.final])
    assert not [part for part in Decoder(config, 64, stateful=False).modules() if isinstance(part, GatedDelta)]


def test_a_config_without_it_is_stored_as_before():
    assert '"delta"' not in small_config().to_json()
    config = small_config(delta=DeltaConfig(2, kernel=3))
    assert ModelConfig.from_json(config.to_json()) == config
    assert ModelConfig.from_json(small_config().to_json()) == replace(config, delta=None)


def test_a_new_model_forgets_at_many_speeds():
    """-log alpha of the heads, for x = 0 and an empty memory, and gates that begin half open."""
    layer = small_model(delta=DeltaConfig(4)).decoder.stateful[0]
    rates = layer.attention.rate.exp() * torch.nn.functional.softplus(layer.memory_drive.decay_bias)
    assert rates.tolist() == pytest.approx([0.001, 0.00794, 0.063, 0.5], rel=1e-3)
    assert not layer.memory_drive.start_bias.any()
