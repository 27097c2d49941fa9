"""The model against its equations in fp64, forward and backward: padded batches against rows computed alone."""

from dataclasses import replace

import pytest
import torch

from rxt_model.config import AttentionConfig, MemoryConfig
from rxt_model.generate import Decoding
from rxt_model.layers.layout import Layout
from rxt_model.layers.parts import SwiGLU, rope
from rxt_model.memory.registry import WRITES
from tests.reference import layers, model
from tests.reference.compare import assert_agree, shaken
from tests.support.models import small_config, small_model

pytestmark = pytest.mark.usefixtures("in_double")

# of 8 nominal heads; sparse query attention (SQA): symmetric, extreme, extreme with a single key-value head
HEADS = {"MHA": (8, 8), "GQA": (8, 2), "MQA": (8, 1), "SQA": (6, 2), "sSQA": (4, 4), "xSQA": (2, 2), "xSMQA": (2, 1)}
GATES = ["none", "elementwise", "headwise"]
VARIANTS = {name: {} for name in WRITES} | {
    "interlayer of the others": dict(variant="interlayer", exclude_self=True),
    "gated by the others": dict(variant="gated", exclude_self=True),
    "grouped": dict(groups=2),
    "grouped with the others": dict(variant="grouped", groups=2, exclude_self=True),
}
LENGTHS = [7, 4, 1]


def attention_config(heads: str, gate: str = "none", bias: bool = False) -> AttentionConfig:
    return AttentionConfig(*HEADS[heads], gate, bias)


def model_with(heads: str = "SQA", gate: str = "none", **changes):
    """Make a model of head width 4, with these heads in every attention and this gate in self-attention."""
    narrow = dict(heads=8, dense_dim=10, encoder_dim=10)
    own = attention_config(heads, gate)
    attention = dict(decoder_attention=own, encoder_attention=own, cross_attention=attention_config(heads))
    return shaken(small_model(**narrow | attention | changes))


def padded_batch(seed: int = 1):
    """Return ids [3, 9] whose rows differ in the number of real tokens. The ids at padding must not matter."""
    ids = torch.randint(11, 64, (len(LENGTHS), 9), generator=torch.Generator().manual_seed(seed))
    return ids, torch.arange(9) < torch.tensor(LENGTHS)[:, None]


def rows_of(ids):
    return [row[:length].tolist() for row, length in zip(ids, LENGTHS, strict=True)]


def padded(rows, length=9):
    """Put rows [T_i, d] into [B, length, d], with zeros at padding."""
    return torch.stack([torch.nn.functional.pad(row, (0, 0, 0, length - len(row))) for row in rows])


def drawn_memory(of, slots=None):
    """Draw a memory of order 1, as after many writes, or `slots` raw states per row."""
    shape = (of.config.stateful_layers, len(LENGTHS), slots or of.config.memory.slots, of.config.dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)).requires_grad_()


def leaves_of(of, **inputs):
    return dict(of.named_parameters()) | inputs


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
def test_self_attention(heads, gate, causal):
    config = attention_config(heads, gate, bias=True)
    attention = model_with(decoder_attention=config).decoder.stateful[0].attention
    x, positions = torch.randn(2, 5, 32, requires_grad=True), torch.tensor([3, 4, 7, 8, 4000]).repeat(2)
    found = attention(x.flatten(0, 1), rope(positions, 4, 100.0), Layout(2, 5, None), causal=causal)
    state = dict(attention.named_parameters())
    expected = [layers.self_attention(state, row, config, positions[:5].tolist(), 100.0, causal) for row in x]
    assert_agree(found, torch.cat(expected), leaves_of(attention, x=x))


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("ordered", ["queries", "keys", "neither"])
def test_cross_attention(heads, ordered):
    config = attention_config(heads, bias=True)
    attention = model_with(cross_attention=config).decoder.stateful[0].memory_read
    x, source = torch.randn(2, 5, 32, requires_grad=True), torch.randn(2, 6, 32, requires_grad=True)
    at = rope(torch.arange(6) * 3, 4, 100.0)
    keys_values = attention.keys_values(source, at if ordered == "keys" else None)
    turned = at[:5].repeat(2, 1) if ordered == "queries" else None
    found = attention(x.flatten(0, 1), Layout(2, 5, None), keys_values, rope=turned)
    queries, keys = {"queries": (range(0, 15, 3), None), "keys": (None, range(0, 18, 3)), "neither": (None, None)}[
        ordered
    ]
    state = dict(attention.named_parameters())
    expected = [
        layers.cross_attention(state, *row, config, 100.0, queries, keys) for row in zip(x, source, strict=True)
    ]
    assert_agree(found, torch.cat(expected), leaves_of(attention, x=x, source=source))


def test_dense_feed_forward():
    feed_forward, x = shaken(SwiGLU(6, 10)), torch.randn(5, 6, requires_grad=True)
    expected = layers.swiglu(dict(feed_forward.named_parameters()), x)
    assert_agree(feed_forward(x), expected, leaves_of(feed_forward, x=x))


@pytest.mark.parametrize(
    ("heads", "gate", "around", "shared"),
    [
        *((heads, "none", (1, 0), 2) for heads in HEADS),
        *(("sSQA", gate, (0, 1), 0) for gate in GATES),
        ("xSMQA", "elementwise", (2, 2), 1),
        ("xSMQA", "headwise", (0, 0), 2),
    ],
)
def test_decoder(heads, gate, around, shared):
    initial, final = around
    moe = replace(small_config().moe, shared_experts=shared, shared_dim=6 * (shared > 0), expert_dim=6)
    of = model_with(heads, gate, initial_layers=initial, final_layers=final, moe=moe)
    ids, mask = padded_batch()
    memory = drawn_memory(of)
    output = of.decode(ids, memory, mask=mask)
    state = dict(of.named_parameters())
    pairs = zip(rows_of(ids), memory.unbind(1), strict=True)
    hidden, loads = zip(*(model.decode(state, of.config, row, own) for row, own in pairs), strict=True)
    for layer, load in enumerate(output.routing):
        chosen = sum((row[layer].chosen for row in loads), [])
        assert load.assignments.tolist() == [chosen.count(e) for e in range(4)]
        assert load.tokens == sum(LENGTHS)
    found = torch.cat([output.hidden.flatten(), *(load.probabilities for load in output.routing)])
    probabilities = [sum(load.probabilities.sum(0) for load in layer) for layer in zip(*loads, strict=True)]
    assert_agree(found, torch.cat([padded(hidden).flatten(), *probabilities]), leaves_of(of, memory=memory))
    assert len(output.routing) == len(loads[0]) == sum(around) + of.config.stateful_layers - (initial > 0)


@pytest.mark.parametrize(
    ("heads", "gate"), [*((heads, "none") for heads in HEADS), ("sSQA", "elementwise"), ("SQA", "headwise")]
)
def test_encoder(heads, gate):
    assert_encoded_as_equations(model_with(heads, gate))


# more than there are tokens, too
NEIGHBOURS = [(1,), (-1,), (1, 2, 3, -1), (5, -2), (8, -8)]


@pytest.mark.parametrize("offsets", NEIGHBOURS, ids=str)
def test_encoder_with_neighbours(offsets):
    assert_encoded_as_equations(model_with(encoder_neighbours=offsets))


def assert_encoded_as_equations(of):
    ids, mask = padded_batch()
    state = dict(of.named_parameters())
    rows = [model.encode(state, of.config, row) for row in rows_of(ids)]
    expected = torch.stack([padded(layer) for layer in zip(*(row.unbind(0) for row in rows), strict=True)])
    assert_agree(of.encode(ids, mask), expected, leaves_of(of))


def test_mlm_head():
    of = model_with()
    hidden = torch.randn(5, 32, requires_grad=True)
    assert_agree(of.mlm_head(hidden), model.mlm_logits(dict(of.named_parameters()), hidden), leaves_of(of, x=hidden))


@pytest.mark.parametrize("offsets", [(), (1, 2, 3, -1), (4, -3)], ids=str)
def test_packed_documents_are_rows_of_their_own(offsets):
    """Neither self-attention nor the memory read nor a neighbour sees another document, and positions restart."""
    causal = tuple(k for k in offsets if k > 0)
    of = model_with(gate="elementwise", encoder_neighbours=offsets, decoder_neighbours=causal)
    ids = padded_batch()[0]
    documents = torch.tensor([[0] * 4 + [1] * 5, [0] * 2 + [1] * 1 + [2] * 3 + [-1] * 3, [0] * 9])
    real = documents >= 0
    state = dict(of.named_parameters())
    memory = drawn_memory(of, slots=9)
    output = of.decode(ids, memory, mask=real, documents=documents, memory_documents=documents)
    encoded = of.encode(ids, real, documents)
    hidden, states = torch.zeros_like(output.hidden), torch.zeros_like(encoded)
    for row, number in {(r, n) for r, numbers in enumerate(documents.tolist()) for n in numbers if n >= 0}:
        here = documents[row] == number
        tokens = ids[row, here].tolist()
        hidden[row, here] = model.decode(state, of.config, tokens, memory[:, row, here])[0]
        states[:, row, here] = model.encode(state, of.config, tokens)
    assert_agree(output.hidden, hidden, leaves_of(of, memory=memory))
    assert_agree(encoded, states, leaves_of(of))


MEMORIES = {name: dict(variant=name) | changes for name, changes in VARIANTS.items()} | {
    f"{gate} {activation}": dict(variant="gated", gate=gate, activation=activation)
    for gate in ("none", "static", "elementwise", "linear")
    for activation in ("sigmoid", "tanh")
    if (gate, activation) not in {("none", "tanh"), ("elementwise", "sigmoid")}  # as none sigmoid; as gated
}


@pytest.mark.parametrize("name", MEMORIES)
def test_memory_after_three_writes(name):
    """This compares all rows, all layers, and the gradient through every write down to the first memory and
    interaction."""
    memory = MemoryConfig(slots=3, **MEMORIES[name])
    assert_written_as_equations(model_with(stateful_layers=2 * memory.groups, memory=memory))


@pytest.mark.parametrize("heads", HEADS)
def test_memory_attention_with_heads_of_its_own(heads):
    memory = MemoryConfig(slots=3, variant="gated", attention=attention_config(heads))
    assert_written_as_equations(model_with(memory=memory))


def assert_written_as_equations(of):
    memory = first = drawn_memory(of)
    state = dict(of.named_parameters())
    expected = list(first.unbind(1))
    for turn in range(3):
        ids, mask = padded_batch(turn)
        memory = of.write(memory, of.encode(ids, mask), mask)
        for row, tokens in enumerate(rows_of(ids)):
            encoded = model.encode(state, of.config, tokens)
            expected[row] = model.write(state, of.config, expected[row], encoded)
    assert_agree(memory, torch.stack(expected, 1), leaves_of(of, memory=first))


@pytest.mark.parametrize(
    ("heads", "gate", "around", "offsets"),
    [
        *((heads, "none", (1, 1), ()) for heads in HEADS),
        *(("sSQA", "elementwise", around, ()) for around in [(0, 0), (1, 0), (0, 1), (1, 1)]),
        ("xSMQA", "headwise", (0, 0), ()),
        *(("SQA", "none", (1, 1), offsets) for offsets in [(1,), (1, 2, 3), (2, 6)]),
    ],
)
@torch.no_grad()
def test_cached_logits_over_two_interactions(heads, gate, around, offsets):
    """A batch of queries of different lengths, answered token by token, equals whole rows computed anew."""
    of = model_with(heads, gate, initial_layers=around[0], final_layers=around[1], decoder_neighbours=offsets)
    state, memory = dict(of.named_parameters()), drawn_memory(of)
    for turn in range(2):
        rows = rows_of(padded_batch(turn)[0])
        cached = Decoding(of, memory, rows, max_tokens=[3] * len(rows))
        for step in range(3):
            for row, own, found in zip(rows, memory.unbind(1), cached.logits, strict=True):
                hidden = model.decode(state, of.config, row, own)[0]
                torch.testing.assert_close(found, model.logits(state, hidden[-1:])[0], rtol=1e-9, atol=1e-9)
                row.append(int(found.argmax()) if step else 20 + len(row))
            cached.step(torch.tensor([row[-1] for row in rows]))
        ids = torch.tensor([row[:4] for row in rows])
        memory = of.write(memory, of.encode(ids, ids >= 0), ids >= 0)
