"""Marks and their matching against the equations, token by token in fp64; cached, padded, and in a history."""

import math
from dataclasses import replace

import pytest
import torch

from jobs.configs.training import OptimisationConfig
from jobs.training.batching.batches import NOT_ASKED, ROW, TOLD
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.matching import matching_loss
from jobs.training.objectives.reading import reading_loss
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import MemoryConfig
from rxt_model.copying.marks import with_age
from rxt_model.copying.matching import NEVER
from rxt_model.copying.stems import SPELLED, share, stems
from rxt_model.generate import Decoding
from rxt_model.layers.cache import KeyValueCache
from rxt_model.model import ReactiveTransformer, seeded
from tests.reference.matching import log_odds
from tests.reference.stems import shared_letters, stems_of
from tests.support.models import small_config

CONFIG = small_config(copying=True, memory=MemoryConfig(slots=5, variant="selective"))
S, T = CONFIG.signature_dim, CONFIG.term_dim
BOS, QUERY, ANSWER, THINK = CONFIG.tokens.bos, CONFIG.tokens.query, CONFIG.tokens.answer, CONFIG.tokens.think
HISTORY = torch.tensor([[BOS, QUERY, 21, 22, 6, 23, 3, BOS, QUERY, 24, 21, 6, 25, 3, BOS, QUERY, 22, 21, 6, 23]])


SPELLINGS = {
    21: (True, "lam"),
    22: (False, "p"),
    23: (False, "ami"),
    24: (True, "lampk"),
    31: (True, "lamp"),
    32: (True, "on"),
    33: (False, "e"),
    35: (True, "one"),
}


def reactive() -> ReactiveTransformer:
    return spelled(seeded(lambda: ReactiveTransformer(CONFIG), 0)).eval().double()


def stateless() -> StatelessDecoder:
    return spelled(seeded(lambda: StatelessDecoder(CONFIG), 0)).eval().double()


def spelled(model):
    """The model, which knows how some tokens are spelled. All others begin a word and have no letters."""
    model.spell(spelling(range(CONFIG.vocab_size)))
    return model


def spelling(ids) -> torch.Tensor:
    """Rows of the spelling of ids."""
    of_ids = [SPELLINGS.get(int(token), (True, "")) for token in ids]
    return torch.tensor([[begins, *letters.encode().ljust(SPELLED - 1, b"\0")] for begins, letters in of_ids])


def stems_at(ids) -> list[str]:
    """The stems of the tokens of one interaction."""
    return stems_of([SPELLINGS.get(int(token or 0), (True, "")) for token in ids])


def correcting(model):
    """The model, with corrections that count for much."""
    model.decoder.matching.corrections.least.data.fill_(-1.0)
    model.decoder.matching.corrections.plain.data.fill_(3.0)
    model.decoder.matching.corrections.ageing.data.fill_(0.7)
    return model


def words_of(ids) -> list[int]:
    """The words of the query of one interaction."""
    ids = [int(token) for token in ids]
    end = min((ids.index(token) for token in (ANSWER, THINK) if token in ids), default=len(ids))
    return [token for token in ids[:end] if token > CONFIG.tokens.highest]


def words_in_place(ids) -> list[int | None]:
    """The words of one interaction, and None for its other tokens."""
    end = len(words_of(ids)) + sum(int(token) <= CONFIG.tokens.highest for token in ids[:2])
    return [int(token) if 1 < place < end else None for place, token in enumerate(ids)]


def odds_of(model, asked: list[int], interactions, number: int, newer: float, told=None) -> float:
    """The reference, with the model's table. Some words of what was `told` can be left out of `interactions`."""
    rows = model.mark_table.weight.detach()[:, S:]
    said = said_of(model, interactions, told or interactions)
    return log_odds(model.decoder.matching, rows[asked], stems_at(asked), said, number, newer)


def said_of(model, interactions, told):
    """The same with rows and stems of words."""
    rows = model.mark_table.weight.detach()[:, S:]
    return [
        [word and (word, rows[word], stem) for word, stem in zip(words, stems_at(whole), strict=True)]
        for words, whole in zip(interactions, told, strict=True)
    ]


@torch.no_grad()
def test_the_encoder_puts_beside_a_state_what_stands_before_its_token_its_term_its_place_and_no_age():
    model = reactive()
    ids, documents = torch.tensor([[21, 22, 23, BOS, 25, ANSWER, 21, 0]]), torch.tensor([[0, 0, 0, 1, 1, 1, 1, -1]])
    encoded = model.encode(ids, ids > 0, documents)
    assert encoded.shape[-1] == CONFIG.slot_dim == CONFIG.dim + 2 * S + 5 + T + 3
    table, zero = model.mark_table.weight, torch.zeros(1)
    stem = torch.tensor([*b"lampa"]) / 256
    no_border = zero  # stands before it
    expected = torch.cat((table[22, :S], table[21, :S], stem, table[23, S:-2], no_border, zero))
    for layer in encoded:
        assert torch.allclose(layer[0, 2, CONFIG.dim :], expected)
    second = torch.cat(
        (
            table[BOS, :S],
            torch.zeros(S),
            torch.zeros(5),
            table[25, S:-2],
            zero,
            zero,
        )
    ).double()
    assert torch.allclose(encoded[0, 0, 4, CONFIG.dim :], second)  # nothing of the document before
    control_and_answer = encoded[0, 0, [3, 5, 6], CONFIG.dim + 2 * S :]
    assert not control_and_answer.any()
    assert not encoded[:, 0, 7].any()


def test_a_stem_is_the_first_letters_of_a_word_so_far_in_any_form_of_it():
    ids = [21, 22, 23, 24, 32, 22, 33, 21, 40, 33, 22, 22, 22, 22, 22, 22, 31, 22, 21, 22]
    opens = torch.zeros(1, len(ids), dtype=torch.bool)
    opens[0, 17] = True
    found = stems(spelling(ids)[None].double(), opens)
    read = [bytes((row * 256).int().tolist()).rstrip(b"\0").decode() for row in found[0]]
    assert read == stems_of([SPELLINGS.get(token, (True, "")) for token in ids], [17])
    assert read[:8] == ["lam", "lamp", "lampa", "lampk", "", "onp", "onpe", "lam"] and read[14:17] == ["epppp"] * 2 + [
        "lamp"
    ]
    counts = [[shared_letters(one, other) for other in read] for one in read]
    assert {3, 4, 5} < {count for row in counts for count in row}
    for letters in (3, 4, 5):
        shared = share(found.bfloat16(), found.bfloat16(), letters)[0]
        assert shared.tolist() == [[count >= letters for count in row] for row in counts]


@torch.no_grad()
def test_words_of_equal_stem_match_though_their_tokens_differ():
    model, told = reactive(), torch.tensor([[BOS, QUERY, 31, 41, ANSWER, 42]])
    memory, asked = model.encode(told, told > 0), torch.tensor([[BOS, QUERY, 21, 22]])
    same = model.decode(asked, memory, memory_ids=told).matched[0, -1, 2]
    plain = seeded(lambda: ReactiveTransformer(CONFIG), 0).eval().double()
    other = plain.decode(asked, plain.encode(told, told > 0), memory_ids=told).matched[0, -1, 2]
    assert same > other + 1


def test_the_cosines_of_stems_have_the_gradient_of_the_formula():
    model, told = reactive(), torch.tensor([[BOS, QUERY, 31, 41], [BOS, QUERY, 24, 41], [BOS, QUERY, 35, 33]])
    memory = with_age(model.encode(told, told > 0), torch.arange(3)[:, None]).flatten(1, 2)[:, None].detach()
    asked, cosines = torch.tensor([[BOS, QUERY, 21, 22, 32, 33]]), model.decoder.matching.stem_cosines
    cosines.data.copy_(torch.tensor([0.7, 0.8, 0.9]))  # more than those of the terms

    def score() -> torch.Tensor:
        matched = model.decode(asked, memory, memory_ids=told.flatten()[None]).matched[0, -1]
        return matched[[2, 6, 10]] @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    (found,) = torch.autograd.grad(score(), cosines)
    for place, gradient in enumerate(found.tolist()):
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                cosines[place] += step
                ends.append(score().item())
                cosines[place] -= step
        assert gradient == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4) and gradient > 0


@torch.no_grad()
def test_a_slot_grows_older_with_each_write_after_its_own_and_a_start_memory_does_not():
    model, memory = reactive(), reactive().initial_memory(1).double()
    start = memory.clone()
    for ids in (torch.tensor([[21, 22]]), torch.tensor([[23]]), torch.tensor([[0]]), torch.tensor([[24]])):
        memory = model.write(memory, model.encode(ids, ids > 0), ids > 0)
    assert memory[-1, 0, 1:, -1].tolist() == [2, 2, 1, 0]
    assert (memory[-1, 0, 0] == start[-1, 0]).all(1).any()


@torch.no_grad()
def test_an_encoder_that_reads_memory_reads_states_and_no_marks():
    config = replace(CONFIG, encoder_memory_attention=CONFIG.cross_attention)
    model = seeded(lambda: ReactiveTransformer(config), 0).eval()
    ids, memory = torch.tensor([[21, 22, 23]]), torch.randn(2, 1, 5, config.slot_dim)
    encoded = model.encode(ids, ids > 0, memory=memory)
    memory[..., config.dim :] += 1
    assert torch.equal(encoded, model.encode(ids, ids > 0, memory=memory))
    memory[..., : config.dim] += 1
    assert not torch.equal(encoded, model.encode(ids, ids > 0, memory=memory))


@torch.no_grad()
def test_ages_end_where_bf16_cannot_count_on():
    model, ids = reactive().bfloat16(), torch.tensor([[21]])
    old = with_age(model.encode(ids, ids > 0).repeat(1, 1, 5, 1), torch.tensor([254, 254, 253, 252, 0]))
    once = model.write(old, model.encode(ids, ids > 0), ids > 0)
    assert once[-1, 0, :4, -1].tolist() == [255, 255, 254, 253]
    again = model.write(once, model.encode(ids, ids > 0), ids > 0)
    assert again[-1, 0, :4, -1].tolist() == [255, 255, 255, 254]


@torch.no_grad()
def test_raw_states_of_all_turns_match_as_slots_that_were_written_turn_by_turn():
    """The one is how `memory-pretrain` reads, the other how a conversation goes."""
    config = replace(CONFIG, memory=replace(CONFIG.memory, slots=16))
    model = seeded(lambda: ReactiveTransformer(config), 0).eval().double()
    ids = torch.tensor(
        [[[BOS, QUERY, 21, 22, ANSWER, 31], [BOS, QUERY, 22, 23, ANSWER, 32], [BOS, QUERY, 21, 23, 6, 33]]]
    )
    memory, batch = model.initial_memory(1).double(), {"input_ids": ids, "loss_mask": torch.zeros_like(ids).bool()}
    batch["loss_mask"][:, :, 5:], batch["decoded"] = True, torch.tensor([[False, False, True]])
    batch[TOLD], batch[ROW] = torch.tensor([[NOT_ASKED, NOT_ASKED, 1]]), torch.tensor([0])
    _, metrics = reading_loss(
        model, batch, StepContext(step=0, steps=1, seed=0), OptimisationConfig(), importance=False
    )
    for turn in ids[0, :2]:
        memory = model.write(memory, model.encode(turn[None], turn[None] > 0), turn[None] > 0)
    written = model.slot_ids(memory)[0] >= 0
    scores = model.decode(ids[0, 2:], memory).matched[:, 4, written]
    loss, _ = matching_loss(scores, 1 - memory[-1, 0, written, -1].long()[None], torch.tensor([1]), 3)
    total, count = metrics["train/matching_loss"].tolist()
    assert count == 1 and total == pytest.approx(loss.item(), rel=1e-6)


@torch.no_grad()
def test_interactions_of_memory_match_by_the_words_that_are_left_by_age_and_by_what_they_correct():
    """The last repeats two words of the second, and one of the first behind a source that is not usable."""
    model, ids = correcting(reactive()), torch.tensor([[BOS, 35, 32, THINK, 23]])
    told = torch.tensor([[31, 32, 22], [33, 31, 35], [33, 31, 32]])
    left = [[31, None, 22], [33, 31, 35], [33, 31, None]]
    memory = with_age(model.encode(told, told > 0), torch.tensor([[4], [2], [1]])).flatten(1, 2)[:, None]
    usable = torch.tensor([[word is not None for words in left for word in words]])
    found = model.decode(ids, memory, memory_ids=told.flatten()[None].where(usable, -1)).matched
    whole = told.tolist()
    raised = odds_of(model, [35, 32], left, 2, 0, whole)
    assert raised > odds_of(model, [35, 32], [[], [], left[2]], 2, 0, [[], [], whole[2]]) + 0.1
    for place in range(5):
        for source in range(9):
            if not usable[0, source]:
                assert found[0, place, source] == NEVER
                continue
            newer = usable[0, source + 1 :].sum().item() / 7
            expected = odds_of(model, words_of(ids[0, : place + 1]), left, source // 3, newer, whole)
            assert found[0, place, source].item() == pytest.approx(expected, rel=1e-5)


def test_what_a_word_weighs_where_it_is_told_has_the_gradient_of_the_formula():
    model, ids = correcting(reactive()), torch.tensor([[BOS, 35]])
    told = torch.tensor([[31, 36, 22], [33, 31, 35], [33, 31, 24]])

    def score(weight: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            memory = (
                with_age(model.encode(told, told > 0), torch.tensor([[4], [2], [1]])).flatten(1, 2)[:, None].clone()
            )
        memory[-1, 0, 8, -3] = weight
        return model.decode(ids, memory, memory_ids=told.flatten()[None]).matched[0, -1, -1]

    assert torch.autograd.gradcheck(score, torch.tensor(0.3, dtype=torch.float64, requires_grad=True))


@torch.no_grad()
def test_a_model_without_memory_matches_its_earlier_interactions_alone():
    """The rival has the same part. A token asks with the words of its own interaction so far."""
    model, ids = correcting(stateless()), HISTORY
    found = model.decode(ids).matched[0]
    number = (ids[0] == BOS).cumsum(0)
    interactions = [words_in_place(ids[0, number == n]) for n in range(1, 4)]
    for token in range(ids.shape[1]):
        mine = [ids[0, j] for j in range(token + 1) if number[j] == number[token]]
        earlier = [j for j in range(token + 1) if number[j] < number[token]]
        for source in range(ids.shape[1]):
            if source not in earlier:
                assert found[token, source] == NEVER
                continue
            newer = (len(earlier) - 1 - earlier.index(source)) / len(earlier)
            before = interactions[: int(number[token]) - 1]
            expected = odds_of(model, words_of(mine), before, int(number[source]) - 1, newer)
            assert found[token, source].item() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_documents_of_a_row_match_nothing_of_each_other():
    model, ids = correcting(stateless()), torch.tensor([[21, 22, 23, 24, BOS, 22, 26, BOS, 22, 21]])
    documents = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]])
    packed = model.logits(model.decode(ids, documents=documents))
    assert torch.allclose(packed[:, 2:], model.logits(model.decode(ids[:, 2:])))


@torch.no_grad()
@pytest.mark.parametrize("kind", [reactive, stateless])
def test_generation_matches_from_the_cache_as_from_the_whole_sequence(kind):
    model, memory = correcting(kind()), None
    if isinstance(model, ReactiveTransformer):
        told = torch.tensor([[31, 32, 22, 33, 34]])
        memory = model.encode(told, told > 0).repeat(1, 2, 1, 1)
    rows = [HISTORY[0, :10].tolist(), HISTORY[0, :17].tolist()]
    decoding = Decoding(model, memory, rows, [4, 4])
    for token in (21, 6, 23):
        for number, row in enumerate(rows):
            given = torch.tensor([row])
            whole = model.decode(given) if memory is None else model.decode(given, memory[:, number : number + 1])
            torch.testing.assert_close(decoding.logits[number], model.logits(whole.at(0, -1)), rtol=1e-6, atol=1e-6)
            row.append(token)
        decoding.step(torch.tensor([token, token]))


@torch.no_grad()
def test_what_matches_reaches_the_decoder_and_nothing_does_if_memory_is_empty():
    model, ids = reactive(), torch.tensor([[21, 22, 23]])
    empty, told = model.initial_memory(1).double(), torch.tensor([[21, 22, 23, 31, 32]])
    evidence = model.decoder.matching.evidence(model.decode(ids, empty).matched)
    assert not evidence.any()
    memory = model.encode(told, told > 0)
    strong = model.decode(ids, memory)
    model.decoder.matching.found.zero_()
    assert not torch.allclose(strong.hidden, model.decode(ids, memory).hidden)


def test_a_question_learns_to_match_what_told_its_answer():
    """Word 30 of each question names the fact; everything else is said in all turns."""
    model = seeded(lambda: ReactiveTransformer(CONFIG), 0)
    told = torch.tensor([[21, 30, 40, 41], [21, 31, 42, 43], [21, 32, 44, 45]])
    asks = torch.tensor([[21, 22, 23, 30], [21, 22, 23, 31], [21, 22, 23, 32], [21, 22, 23, 33]])
    turn_of, target = torch.arange(3).repeat_interleave(4).expand(4, -1), torch.tensor([0, 1, 2, -1])
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(60):
        encoded = with_age(model.encode(told, told > 0), torch.arange(3)[:, None])
        memory = encoded.flatten(1, 2)[:, None]
        output = model.decode(asks, memory.expand(-1, 4, -1, -1), memory_ids=told.flatten().expand(4, -1))
        loss, metrics = matching_loss(output.matched[:, -1], turn_of, target, 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    right, count = metrics["train/matching_accuracy"].tolist()
    assert right == count == 4 and losses[-1] < 0.3 < losses[0]


def test_the_matching_loss_is_that_of_turns_of_equal_weight_however_long():
    scores = torch.tensor([[1.0, 3.0, 2.0, NEVER], [0.5, 0.5, -1.0, 4.0]], dtype=torch.float64)
    turn_of = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1]])
    loss, _ = matching_loss(scores, turn_of, torch.tensor([1, -1]), 2)
    first = [0.0, math.log((math.exp(1) + math.exp(3)) / 2), 2.0]
    second = [0.0, math.log((2 * math.exp(0.5) + math.exp(-1)) / 3), 4.0]
    by_hand = [math.log(sum(map(math.exp, each))) for each in (first, second)]
    assert loss.item() == pytest.approx((by_hand[0] - first[2] + by_hand[1] - second[0]) / 2, rel=1e-6)


def test_a_thing_is_made_once_for_the_sizes_of_rows_and_goes_with_its_rows():
    cache, made = KeyValueCache(3, 8, torch.device("cpu")), []

    def make() -> torch.Tensor:
        made.append(len(made))
        return torch.tensor([10, 20, 30]) + len(made)

    assert cache.once("links", (1, 2, 3), make).tolist() == cache.once("links", (1, 2, 3), make).tolist()
    assert cache.nbytes == 24
    cache.keep([2, 0])
    assert cache.once("links", (3, 1), make).tolist() == [31, 11]
    assert cache.once("links", (3, 2), make).tolist() == [12, 22, 32] and len(made) == 2
