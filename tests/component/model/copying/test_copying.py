"""The copying head against its equation, token by token in fp64, and against itself: cached, padded, in chunks."""

import math
from dataclasses import replace

import pytest
import torch

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import STEM_LETTERS, ConfigError, MemoryConfig
from rxt_model.copying.clauses import JUMP
from rxt_model.generate import Decoding
from rxt_model.layers import linear_cross_entropy
from rxt_model.losses import following
from rxt_model.model import ReactiveTransformer, seeded
from tests.reference.matching import astray, log_odds
from tests.reference.runs import longest_run
from tests.support.models import small_config

SLOTS = 5
CONFIG = small_config(copying=True, memory=MemoryConfig(slots=SLOTS, variant="selective"))
IDS = torch.tensor([[21, 22, 23, 24, 25, 26], [31, 32, 33, 31, 32, 33]])
HELD = torch.tensor([[41, 42, 22, 43, 44], [41, 45, 46, 32, 47]])


def model_of(seed: int = 0) -> ReactiveTransformer:
    return seeded(lambda: ReactiveTransformer(CONFIG), seed).eval().double()


def states(seed: int = 1, rows: int = 2, width: int = SLOTS) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(CONFIG.stateful_layers, rows, width, CONFIG.slot_dim, generator=draw, dtype=torch.float64)


def by_hand(model, hidden, memory, held, ids, place) -> torch.Tensor:
    """The equation for one token of one conversation: hidden [T, d], memory [M, slot_dim], held [M], ids [T]."""
    head, slots = model.decoder.copying, model.decoder.slot_tokens
    weights = {name: part.weight.detach() for name, part in head.named_children() if hasattr(part, "weight")}
    query, scale = weights["query"] @ hidden[place], math.sqrt(CONFIG.dim)
    matching, table, s = model.decoder.matching, model.mark_table.weight.detach(), CONFIG.signature_dim
    before = [table[token, :s] for token in ids]
    nothing = torch.zeros(s, dtype=torch.float64)
    asked = torch.cat((before[place], before[place - 1] if place else nothing)) @ matching.weight.detach()
    words = table[[int(token) for token in ids[: place + 1] if token > CONFIG.tokens.highest], s:]
    ages, marks = memory[:, -1].tolist(), memory[:, CONFIG.dim + 2 * s + STEM_LETTERS : -2]
    said = [(int(token), mark, "") for token, mark in zip(held, marks, strict=True)]
    interactions = [
        [word for word, its in zip(said, ages, strict=True) if its == age] for age in sorted(set(ages), reverse=True)
    ]
    follow, every, spoken = matching.follow.item(), [True] * len(memory), ids.tolist()
    joined = [number > 0 and ages[number] == ages[number - 1] for number in range(len(memory))]
    behind = [number > 0 and token != CONFIG.tokens.bos for number, token in enumerate(spoken)]
    longest = 0
    scores, tokens = [], []
    for number, (slot, token) in enumerate(zip(memory, held, strict=True)):
        state, signature, _, age = slot.split((CONFIG.dim, 2 * s, STEM_LETTERS + CONFIG.term_dim + 2, 1))
        normed = state / (state.square().mean() + CONFIG.norm_eps).sqrt() * slots.norm.weight.detach()
        newer = (len(memory) - 1 - number) / len(memory)
        n = sorted(set(ages), reverse=True).index(age.item())
        match = log_odds(matching, words, [""] * len(words), interactions, n, newer)
        run = longest_run(spoken, held.tolist(), every, joined, place, number)
        longest = max(longest, run)
        beside = [other for other in range(len(memory)) if ages[other] == ages[number]]
        places = [memory[other, -2].item() for other in beside]
        at = beside.index(number)
        lost = astray(matching, words, [""] * len(words), interactions[n], places, at)
        cost = matching.clauses.go_on.item() if run else JUMP
        of_signature = asked @ signature + follow * run - cost * lost
        border = places[at] - places[at - 1] if at else math.log(1 + math.e)
        wanted = (head.begin.weight.detach() @ hidden[place] + head.begin.bias.detach()).item()
        of_signature += wanted * border - head.astray.item() * max(0.0, wanted) * lost
        scores.append(query @ (slots.key.weight.detach() @ normed) / scale + of_signature + match)
        tokens.append(int(token))
    for earlier in range(place + 1):
        told = torch.cat([before[earlier - k] if earlier >= k else nothing for k in (1, 2)])
        run = longest_run(spoken, spoken, [True] * len(spoken), behind, place, earlier)
        longest = max(longest, run if spoken[earlier] > CONFIG.tokens.highest else 0)
        scores.append(query @ (weights["own_key"] @ hidden[earlier]) / scale + asked @ told + follow * run)
        tokens.append(int(ids[earlier]))
    drawn = weights["share"] @ hidden[place] + head.share.bias.detach() + head.follow.detach() * longest
    share = 1 / (1 + math.exp(-drawn.item()))
    logits = model.decoder.head.weight.detach() @ hidden[place] + model.decoder.head.bias.detach()
    found = (1 - share) * logits.exp() / logits.exp().sum()
    total = sum(math.exp(score) for score in scores)
    for score, token in zip(scores, tokens, strict=True):
        found[token] += share * math.exp(score) / total
    return found


@torch.no_grad()
def test_probabilities_are_those_of_the_equation():
    model, memory = model_of(), states()
    memory[..., -1] = torch.tensor([1, 1, 0, 0, 0])
    memory[..., -2] = torch.tensor([0.2, 0.3, 0.1, 0.9, 1.3])
    model.decoder.copying.follow.fill_(0.3)
    ids = IDS.clone()
    ids[0] = torch.tensor([21, 42, 23, CONFIG.tokens.bos, 42, 23])  # what stands before a border is said again
    output = model.decode(ids, memory, memory_ids=HELD)
    found = model.logits(output).exp()
    assert torch.allclose(found.sum(-1), torch.ones_like(found[..., 0]))
    for row in range(2):
        for place in range(ids.shape[1]):
            expected = by_hand(model, output.hidden[row], memory[-1, row], HELD[row], ids[row], place)
            assert torch.allclose(found[row, place], expected, rtol=1e-5, atol=1e-9)


@torch.no_grad()
def test_slots_are_copied_as_the_tokens_that_the_model_names_and_unwritten_ones_never():
    model, memory = model_of(), states()
    memory[:, :, 3] *= 0.01
    named = model.decoder.slot_tokens.named(memory[-1], model.embedding.weight)
    output = model.decode(IDS, memory)
    assert torch.equal(output.pointers.ids[:, 0, :3], named[:, :3])
    copied = output.pointers.shares.exp()[..., :SLOTS]
    assert not copied[..., 3].any() and copied[..., :3].min() > 0
    assert torch.equal(model.slot_ids(memory), named.where(torch.arange(SLOTS) != 3, -1))
    given = model.decode(IDS, memory, memory_ids=named.where(torch.arange(SLOTS) != 3, -1))
    assert torch.allclose(model.logits(output), model.logits(given))


@torch.no_grad()
def test_beside_a_leaked_context_only_the_interaction_is_copied():
    model, documents = model_of(), torch.zeros_like(IDS)
    output = model.decode(IDS, states(width=6), documents=documents, memory_documents=documents)
    assert output.pointers.shares.shape[-1] == IDS.shape[1]


@torch.no_grad()
def test_a_token_copies_no_later_token_and_no_other_document():
    model, documents = model_of(), torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    own = model.decode(IDS, states(), documents=documents).pointers.shares.exp()[..., SLOTS:]
    seen = torch.ones(6, 6).tril().bool() & (documents[0][:, None] == documents[0])
    assert not own[:, ~seen].any() and own[:, seen].min() > 0


@torch.no_grad()
@pytest.mark.parametrize("unwritten", [[], [0, 1], [1, 4], [0, 1, 2, 3, 4]])
def test_generation_copies_from_the_cache_as_from_the_whole_interaction(unwritten):
    model, memory = model_of(), states()
    memory[:, :, unwritten] *= 0.01
    memory[:, 1, :3] *= 0.01
    rows = [[2, 5, 20, 21], [2, 5, 22, 23, 24, 25, 26]]
    decoding = Decoding(model, memory, rows, [4, 4])
    for token in (30, 31, 32):
        for number, (row, logits) in enumerate(zip(rows, decoding.logits, strict=True)):
            whole = model.decode(torch.tensor([row]), memory[:, number : number + 1]).at(0, -1)
            torch.testing.assert_close(logits, model.logits(whole), rtol=1e-6, atol=1e-6)
            row.append(token)
        decoding.step(torch.tensor([token, token]))


@torch.no_grad()
def test_rows_of_one_conversation_share_its_memory_and_padding_changes_nothing():
    model, memory = model_of(), states(rows=1)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    shared = model.logits(model.decode(IDS, memory, mask=mask, memory_ids=HELD[:1]))
    for row, length in enumerate((6, 4)):
        alone = model.logits(model.decode(IDS[row : row + 1, :length], memory, memory_ids=HELD[:1]))
        assert torch.allclose(shared[row, :length], alone[0], rtol=1e-6)


def test_the_loss_is_that_of_the_probabilities_in_one_chunk_or_many(monkeypatch):
    selected = torch.tensor([[True, False, True, True, True], [False, True, True, False, True]])
    found = []
    for logits_at_once in (1 << 20, 130):
        monkeypatch.setitem(linear_cross_entropy.CHUNK_LOGITS, "cpu", logits_at_once)
        model = model_of()
        output = model.decode(IDS, states(), memory_ids=HELD)
        loss = following(model.decoder.head, output, IDS, selected, 0.01)
        loss.loss.backward()
        found.append({name: part.grad for name, part in model.named_parameters() if part.grad is not None})
        model.zero_grad()
        whole = model.decode(IDS, states(), memory_ids=HELD)
        probabilities = model.logits(whole)[:, :-1]
        nats = -probabilities.gather(-1, IDS[:, 1:, None]).squeeze(-1)[selected].sum()
        z = model.decoder.head(whole.hidden)[:, :-1].logsumexp(-1).square()[selected].sum()
        assert torch.allclose(loss.loss, nats + 0.01 * z) and torch.allclose(loss.nats, nats)
        assert torch.equal(loss.right, (probabilities.argmax(-1) == IDS[:, 1:])[selected])
        (nats + 0.01 * z).backward()
        for name, part in model.named_parameters():
            if name in found[-1]:
                assert torch.allclose(part.grad, found[-1][name], rtol=1e-6, atol=1e-9), name
    assert {"decoder.copying.query.weight", "decoder.slot_tokens.key.weight"} <= set(found[0])


SELECTED = torch.tensor([[True, False, True, True, False], [False, False, False, True, True]])


@pytest.mark.parametrize("stateful", [True, False])
def test_the_output_at_selected_tokens_is_the_whole_output_there(stateful):
    """Also its gradients are: of three tokens of the first row, and of two of the second, which is padded."""
    mask = torch.tensor([[True] * 6, [True] * 5 + [False]])
    model = model_of() if stateful else seeded(lambda: StatelessDecoder(CONFIG), 0).double()
    found = []
    for selected in (None, SELECTED):
        if isinstance(model, StatelessDecoder):
            output = model.decode(IDS, mask=mask, selected=selected)
        else:  # both rows read the same states
            output = model.decode(IDS, states(rows=1), memory_ids=HELD[:1], mask=mask, selected=selected)
        loss = following(model.decoder.head, output, IDS, SELECTED)
        loss.loss.backward()
        logits = model.logits(output if selected is not None else output.at(*SELECTED.nonzero(as_tuple=True)))
        found.append((logits, {name: part.grad for name, part in model.named_parameters() if part.grad is not None}))
        model.zero_grad()
    (whole, of_whole), (there, of_there) = found
    assert there.shape == (5, whole.shape[-1])
    torch.testing.assert_close(there, whole, rtol=1e-6, atol=1e-6)
    assert of_there.keys() == of_whole.keys()
    for name, part in of_there.items():
        torch.testing.assert_close(part, of_whole[name], rtol=1e-6, atol=1e-9)


def test_selected_tokens_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"selected = \(2, 6\) of torch.bool: must be \(2, 5\)"):
        model_of().decode(IDS, states(), selected=torch.ones_like(IDS, dtype=torch.bool))


def test_no_selected_token_gives_no_loss():
    model = model_of()
    nothing = torch.zeros_like(SELECTED)
    for output in (model.decode(IDS, states()), model.decode(IDS, states(), selected=nothing)):
        loss = following(model.decoder.head, output, IDS, nothing)
        assert loss.loss == 0 and loss.right.numel() == 0
        loss.loss.backward()


def test_a_width_without_quarters_is_refused():
    with pytest.raises(ConfigError, match="copying = True: must be false with dim = 30"):
        replace(CONFIG, dim=30, heads=3)


def test_a_write_that_blends_tokens_is_refused():
    with pytest.raises(ConfigError, match="copying = True: must be false with the competitive write"):
        small_config(copying=True, memory=MemoryConfig(slots=SLOTS, variant="competitive"))


@torch.no_grad()
def test_a_new_model_copies_what_followed_the_same_words():
    """The interaction ends in two tokens that memory holds before token 44, and once more the other way round."""
    model = seeded(lambda: ReactiveTransformer(replace(CONFIG, dim=128)), 0).eval()
    told = torch.tensor([[41, 42, 44, 51, 42, 41, 46, 52]])
    memory = model.encode(told, told > 0)
    output = model.decode(torch.tensor([[31, 41, 42]]), memory, memory_ids=told)
    copied = output.pointers.shares[0, -1, : told.shape[1]]
    assert told[0, copied.argmax()] == 44


@torch.no_grad()
def test_an_interaction_whose_first_state_cannot_be_used_stays_one_of_its_own():
    """Left out by its id or by a mask, the first state of the second interaction changes nothing for the others but
    that it is gone."""
    model, memory = model_of(), states(rows=1, width=6)
    memory[..., -1] = torch.tensor([1, 1, 1, 0, 0, 0])
    memory[..., -2] = torch.tensor([0.1, 0.5, 0.9, 0.1, 0.5, 0.9])
    held = torch.tensor([[41, 42, 22, 43, 44, 45]])
    there = torch.tensor([0, 1, 2, 4, 5])
    without = model.decode(IDS[:1], memory[:, :, there], memory_ids=held[:, there])
    by_id = model.decode(IDS[:1], memory, memory_ids=held.where(torch.arange(6) != 3, -1))
    mask = (torch.arange(6) != 3)[None]
    by_mask = model.decode(IDS[:1], memory, memory_ids=held, memory_mask=mask)
    assert torch.allclose(by_mask.matched[..., there], without.matched)
    assert torch.allclose(by_id.matched[..., there], without.matched)
    assert not by_mask.pointers.shares[..., 3].exp().any()


def test_no_rows_have_outputs_of_no_selected_tokens():
    model, none = model_of(), torch.zeros(0, 6, dtype=torch.long)
    output = model.decode(none, states(rows=0), selected=torch.zeros(0, 5, dtype=torch.bool))
    assert output.hidden.shape == (0, CONFIG.dim) and output.matched.shape[:2] == (0, 6)
    with pytest.raises(ValueError, match="selected"):
        model.decode(none, states(rows=0), selected=torch.zeros(0, 6, dtype=torch.bool))


def test_an_output_of_other_tokens_than_those_that_are_scored_is_refused():
    model = model_of()
    output = model.decode(IDS, states(), selected=SELECTED)
    with pytest.raises(ValueError, match="selected: has 10 tokens, must have the 5 of the output"):
        following(model.decoder.head, output, IDS, torch.ones_like(SELECTED))
