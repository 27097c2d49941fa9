"""Clauses against their equations, word by word in fp64, and what they are for: the clause that is quoted."""

import math

import pytest
import torch

from rxt_model.baseline import StatelessDecoder
from rxt_model.config import MemoryConfig
from rxt_model.copying.clauses import astray, borders_of, cut, places_of, reaching
from rxt_model.copying.coverage import covering
from rxt_model.copying.marks import with_age
from rxt_model.copying.stems import SPELLED
from rxt_model.model import ReactiveTransformer, seeded
from tests.reference.matching import astray as astray_by_hand
from tests.support.models import small_config

CONFIG = small_config(copying=True, memory=MemoryConfig(slots=16, variant="selective"))
S = CONFIG.signature_dim
BOS, QUERY, ANSWER = CONFIG.tokens.bos, CONFIG.tokens.query, CONFIG.tokens.answer
COMMA, REST, BLANK = 60, 61, 62  # a sign; a token that goes on a word; a blank before a rare capital
# two things told at once, and each asked by its noun
TOLD = torch.tensor([[BOS, QUERY, 21, 22, 23, COMMA, 24, 25, 26, COMMA, ANSWER, 51]])
FIRST, SECOND = slice(2, 5), slice(6, 9)


def spelling() -> torch.Tensor:
    rows = torch.tensor([[1, *bytes([token] * 2), 0, 0, 0] for token in range(CONFIG.vocab_size)])
    rows[[COMMA, BLANK], 1:] = 0
    rows[REST, 0] = 0
    assert rows.shape[1] == SPELLED
    return rows


def spelled(model):
    model.spell(spelling())
    return model.eval().double()


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_places_count_the_borders_since_the_interaction_began_which_stand_behind_signs():
    spoken, answer, query = [21, COMMA, 22, COMMA, REST, 23, COMMA, BLANK, REST], [ANSWER, 24], [25, BLANK, REST]
    ids = torch.tensor([[BOS, QUERY, *spoken, *answer, BOS, QUERY, *query]])
    said = torch.tensor([[0] * 2 + [1] * 9 + [0] * 4 + [1] * 3]).bool()
    borders = torch.linspace(-1, 1, 18, dtype=torch.float64)[None]
    found = places_of(borders, spelling()[ids], said, ids == BOS)[0].tolist()
    behind = (4, 9)  # the word behind the second comma goes on, and begins no clause
    expected, place = [], 0.0
    for number, (token, is_said) in enumerate(zip(ids[0].tolist(), said[0].tolist(), strict=True)):
        place = 0.0 if token == BOS else place
        place += softplus(8 * borders[0, number].item() + 1) if number in behind else 0
        expected.append(place if is_said else 0.0)
    assert found == pytest.approx(expected)


def reached(products, places, worded, number):
    """How far words count at each source, by its clause."""
    clauses = cut(places, worded, number)
    covered = covering(products.masked_fill(~worded[:, None], -1), clauses.of, clauses.place.shape[1])
    of = clauses.of[:, None].expand_as(products)
    return reaching(covered, clauses).gather(2, of)


def test_a_word_counts_at_another_less_what_stands_between_and_never_in_another_interaction():
    draw = torch.Generator().manual_seed(0)
    products = torch.rand(2, 3, 9, generator=draw, dtype=torch.float64) * 2 - 1
    number = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 1, 1, 1, 1, 1, 1]])
    borders = torch.rand(2, 9, generator=draw, dtype=torch.float64)
    one_clause = borders.clone()
    one_clause[:, [1, 5, 6]] = 0
    same = number[:, :, None] == number[:, None]
    worded = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 1, 0, 1, 0]]).bool()
    earlier = same & torch.ones(9, 9).tril().bool()
    places = (one_clause[:, None] * earlier).sum(-1) * worded
    found = reached(products, places, worded, number)
    for row, at, source in ((r, a, s) for r in range(2) for a in range(3) for s in range(9) if worded[r, s]):
        counted = [
            (products[row, at, k] - (places[row, source] - places[row, k]).abs()).item()
            for k in range(9)
            if same[row, source, k] and worded[row, k]
        ]
        assert found[row, at, source].item() == pytest.approx(max(-1.0, *counted))
    places = (borders[:, None] * earlier).sum(-1) * worded  # to move words of one clause apart makes two of it
    inputs = [part.clone().requires_grad_() for part in (products, places)]
    weights = torch.rand(found.shape, generator=draw, dtype=torch.float64) * worded[:, None]
    assert torch.autograd.gradcheck(lambda one, other: reached(one, other, worded, number) * weights, inputs)


def test_hundreds_of_interactions_leave_no_error_in_fp32():
    """The lift of an interaction grows with its number."""
    draw = torch.Generator().manual_seed(1)
    number = torch.arange(400).repeat_interleave(3)[None]
    places = torch.tensor([0.0, 0.7, 1.9]).repeat(400)[None]
    products, worded = torch.rand(1, 2, 1200, generator=draw), torch.ones(1, 1200, dtype=torch.bool)
    near = products.unflatten(2, (400, 3))
    between = (places[0, :3, None] - places[0, :3]).abs()
    expected = (near[..., None, :] - between).amax(-1).flatten(2)
    assert torch.allclose(reached(products, places, worded, number), expected, rtol=0, atol=1e-6)


def test_the_border_before_a_word_is_what_its_place_adds_and_large_where_a_query_begins():
    places = torch.tensor([[0.0, 0.1, 0.4, 0.0, 1.0, 0.0, 0.2, 0.5]], dtype=torch.float64)
    worded = torch.tensor([[0, 1, 1, 0, 1, 0, 1, 1]]).bool()
    number = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1]])
    first = softplus(1)
    found = borders_of(places, worded, number)[0].tolist()
    assert found == pytest.approx([0, first, 0.3, 0, 0.6, 0, first, 0.3])


def test_a_clause_goes_astray_by_what_the_best_of_its_interaction_has_more():
    covered = torch.tensor([[0.5, -0.2, 0.9, 0.1, -1.0]], dtype=torch.float64)
    number = torch.tensor([[0, 0, 2, 2, 3]])  # the second interaction has no word, and the last clause is missing
    assert astray(covered, number, 3)[0].tolist() == pytest.approx([0, 0.7, 0, 0.8, 0])


@torch.no_grad()
@pytest.mark.parametrize("asked", [22, 25])
def test_a_new_model_points_into_the_clause_that_has_the_words_of_the_question(asked, monkeypatch):
    """Nothing else tells clauses apart: pointers have no query, no beginning, no run, no signature and no recency."""
    model = spelled(seeded(lambda: ReactiveTransformer(CONFIG), 0))
    decoder, ids = model.decoder, torch.tensor([[BOS, QUERY, asked, ANSWER]])
    matching = decoder.matching
    head = decoder.copying
    for weight in (head.query.weight, *head.begin.parameters(), matching.weight, matching.follow, matching.recency):
        weight.zero_()
    memory = model.encode(TOLD, TOLD > 0)
    output = model.decode(ids, memory, memory_ids=TOLD)
    shares = output.pointers.shares[0, -1, : TOLD.shape[1]].exp()
    answers, other = (FIRST, SECOND) if asked == 22 else (SECOND, FIRST)
    assert shares[answers].min() > 3 * shares[other].max()
    monkeypatch.setattr("rxt_model.copying.clauses.JUMP", 0.0)
    shares = model.decode(ids, memory, memory_ids=TOLD).pointers.shares[0, -1, : TOLD.shape[1]].exp()
    assert torch.allclose(shares[answers], shares[other])


@torch.no_grad()
def test_a_model_without_memory_goes_astray_by_the_same_equation():
    """The rival has the same part. What stands in its own interaction never goes astray."""
    model, s = spelled(seeded(lambda: StatelessDecoder(CONFIG), 0)), CONFIG.signature_dim
    ids = torch.cat((TOLD, torch.tensor([[BOS, QUERY, 25, 22, ANSWER]])), 1)
    rows = model.mark_table.weight[:, s:]
    places = places_by_hand(model, TOLD)
    words = [(int(token), rows[token], "") if 2 <= at < 10 else None for at, token in enumerate(TOLD[0].tolist())]
    lost = lost_of(model, ids)
    for source in range(ids.shape[1]):
        expected = 0.0
        if source < len(words):
            expected = astray_by_hand(model.decoder.matching, rows[[25, 22]], ["", ""], words, places, source)
        assert lost[-1, source].item() == pytest.approx(expected, abs=1e-9)
    assert lost[-1].max() > 0.1


@torch.no_grad()
def test_slots_carry_their_places_and_a_lost_word_moves_no_other():
    model = spelled(seeded(lambda: ReactiveTransformer(CONFIG), 0))
    memory = with_age(model.encode(TOLD, TOLD > 0), torch.zeros(1, 1))
    carried = memory[-1, 0, :, -2]
    assert carried.tolist() == pytest.approx(places_by_hand(model, TOLD)) and carried[6] == carried[9] > carried[5] == 0
    ids = torch.tensor([[BOS, QUERY, 22, ANSWER]])
    kept = [at for at in range(12) if at != 5]  # the comma is lost
    whole = lost_of(model, ids, memory, memory_ids=TOLD)[-1, kept]
    left = lost_of(model, ids, memory[:, :, kept], memory_ids=TOLD[:, kept])[-1]
    assert torch.allclose(whole, left) and left[5:8].min() > left[2:5].max() + 0.5


def places_by_hand(model, ids):
    """The places of words, by the equation."""
    places, place = [], 0.0
    for at, token in enumerate(ids[0].tolist()):
        begins = at and ids[0, at - 1] == COMMA and 2 <= at < 10
        place += softplus(8 * model.mark_table.weight[token, -1].item() + 1) if begins else 0
        places.append(place if 2 <= at < 10 else 0.0)
    return places


def lost_of(model, *given, **named):
    """How far sources go astray at each token of the one row that is decoded."""
    found = []
    handle = model.decoder.matching.clauses.register_forward_hook(lambda part, given, output: found.append(given[0]))
    model.decode(*given, **named)
    handle.remove()
    return found[0]
