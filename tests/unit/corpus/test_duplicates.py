"""Words, the filters over them, and duplicates: each equals slow plain Python."""

import random
import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.duplicates import BAND_COLUMNS, DUPLICATE, KEEP, NEAR_DUPLICATE, decide, signatures
from tokenization.cleaning.minhash import minima
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.tags import tags
from tokenization.cleaning.words import Words, normalised, plain, repeated, text_key
from tokenization.hashing import stable_hash

VOCABULARY = [f"{a}{b}{c}" for a in ("ba", "ko", "żu", "re", "ły") for b in "aeioąę" for c in ("m", "st", "ć", "r")]


def some_text(random_numbers: random.Random, words: int) -> str:
    return " ".join(random_numbers.choices(VOCABULARY, k=words))


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return list(zip(*(words[i:] for i in range(n)), strict=False))


@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_ngrams_are_equal_where_words_are(n):
    rng = random.Random(n)
    texts = ["", "one", "a b a b a b", "A, b! a-b", *(some_text(rng, rng.randrange(60)) for _ in range(50))]
    got, expected = Words(texts).ngrams(n), [ngrams(text, n) for text in texts]
    assert got.counts.tolist() == list(map(len, expected))
    flat = [gram for grams in expected for gram in grams]
    assert len(set(zip(flat, got.hashes.tolist(), strict=True))) == len(set(flat)) == len(set(got.hashes.tolist()))
    again, most = repeated(got)
    assert again.tolist() == [len(grams) - len(set(grams)) for grams in expected]
    assert most.tolist() == [max(Counter(grams).values(), default=0) for grams in expected]


def test_documents_that_repeat_themselves_or_are_symbols_or_a_benchmark_go():
    rng = random.Random(0)
    prose = some_text(rng, 200)
    sentence = some_text(rng, 12)
    secret = some_text(rng, 20)
    texts = {
        "prose": prose,
        "refrain": " ".join([some_text(rng, 60), sentence, some_text(rng, 60), sentence]),
        "spam": " ".join(["buy now", *(f"{word} buy now" for word in VOCABULARY[:60])]),
        "again": " ".join([sentence] * 8),
        "short": "ha ha ha ha ha ha ha ha",
        "table": "# 1 # 2 # 3 # 4 " * 3 + prose[:20] + " # ".join(VOCABULARY[:60]),
        "digits": " ".join(str(n % 7) + "abcdefg"[n % 5] for n in range(0, 3_000, 17)),
        "dna": " ".join("".join(rng.choices("acgt", k=60)) for _ in range(80)),
        "leak": f"{prose} {secret[5:]}",
    }
    benchmark = Benchmark.of([secret, "too short to be found"], 13)

    def reasons(texts, benchmark, *skip):
        policy = FilterPolicy(("repetition", "symbols"), {}, skip)
        scores = tags(texts, Words(texts), [{}] * len(texts), benchmark, "en")
        return [(None, *policy.reasons)[number] for number in policy.decide(scores)]

    found = dict(zip(texts, reasons(list(texts.values()), benchmark), strict=True))
    assert found == {"prose": None, "refrain": None, "spam": "repetition", "again": "repetition", "short": None,
                     "table": "symbols", "digits": "repetition", "dna": "symbols", "leak": "benchmark"}  # fmt: skip
    rest = [texts[name] for name in ("again", "table", "leak")]
    assert reasons(rest, Benchmark.of([], 13), "repetition", "symbols") == [None, None, None]


ALPHABET = "aąbcćeęłńóßéжд7３Ⅷ"
PHRASES = st.lists(st.text(ALPHABET, min_size=1, max_size=4), min_size=1, max_size=8)
GAPS = st.text(" \n\t\u00a0.,;:!?…-–_'\"“”„()#👍", min_size=1, max_size=3)
quickly = settings(max_examples=300, deadline=None, derandomize=True)


@st.composite
def rendered(draw, phrase: list[str]) -> str:
    """Write the words in letters of any case, with anything between, before and after them."""
    words = [draw(st.sampled_from([word, word.upper(), word.title(), word.casefold()])) for word in phrase]
    ends = [draw(GAPS | st.just("")) for _ in range(2)]
    return ends[0] + "".join(word + draw(GAPS) for word in words[:-1]) + words[-1] + ends[1]


@quickly
@given(PHRASES, st.data())
def test_texts_that_differ_in_case_punctuation_and_space_are_the_same_and_in_the_same_split(phrase, data):
    one, other = (data.draw(rendered(phrase)) for _ in range(2))
    assert normalised(one) == normalised(other)
    words = Words([one, other])
    assert words.keys.tolist() == [text_key(one), text_key(other)] == [stable_hash(normalised(one))] * 2
    assert len(set(words.counts.tolist())) == 1 and len(set(words.ngrams(1).hashes.tolist())) <= len(phrase)


@quickly
@given(PHRASES, PHRASES)
def test_other_words_are_another_text(phrase, other):
    same = [word.casefold() for word in phrase] == [word.casefold() for word in other]
    assert (normalised(" ".join(phrase)) == normalised(", ".join(other))) == same


def test_texts_without_words_are_the_same_only_if_they_are_equal():
    texts = ["👍", "👎", "?!", "?", "…", " ", ""]
    assert len(set(map(text_key, texts))) == len(set(Words(texts).keys.tolist())) == len(texts)


def test_signs_operators_points_and_marks_make_another_text():
    texts = [
        "Is 5 > 3?",
        "Is 5 < 3?",
        "x = 5",
        "x = -5",
        "3.5",
        "3 5",
        "a += b[i]",
        "a -= b[i]",
        "कि",
        "का",
        "a_b",
        "a b",
    ]
    assert len(set(map(plain, texts))) == len(texts)
    same = ["“Is 5 > 3”, she said.", "IS 5 > 3, she  said", '"is 5 > 3" she said!', "Is 5 > 3 , she\nsaid …"]
    assert len(set(map(plain, same))) == 1


def decided(texts: list[str], threshold: float = 0.8, with_rensa: bool = True) -> np.ndarray:
    words = Words(texts)
    columns = {name: np.frombuffer(column.buffers()[1], "<u2").reshape(-1, 8)
               for name, column in signatures(words, with_rensa).items()}  # fmt: skip
    columns |= {"key": np.array([hash(text) & (2**64 - 1) for text in texts], np.uint64), "words": words.counts}
    return decide(columns.__getitem__, threshold)[0]


@pytest.mark.parametrize("with_rensa", [True, False])
def test_near_duplicates_by_the_similarity_of_their_shingles(with_rensa):
    rng = random.Random(1)
    texts = []
    for _ in range(60):
        words = some_text(rng, 300).split()
        texts.append(" ".join(words))
        for changes in (1, 3, 6, 15):
            changed = list(words)
            for place in rng.sample(range(300), changes):
                changed[place] = "other"
            texts.append(" ".join(changed))
    rng.shuffle(texts)
    shingles = [set(ngrams(text, 5)) for text in texts]
    similar = np.zeros(len(texts))
    for i, j in combinations(range(len(texts)), 2):
        similar[j] = max(similar[j], len(shingles[i] & shingles[j]) / len(shingles[i] | shingles[j]))
    decision = decided(texts, with_rensa=with_rensa)
    near = decision == NEAR_DUPLICATE
    assert not (decision == DUPLICATE).any() and near.sum() > 50
    assert near[similar > 0.9].all() and near[similar > 0.85].mean() > 0.9
    assert not near[similar < 0.65].any() and near[(similar < 0.75)].mean() < 0.1
    assert not (decided(texts, 1.0, with_rensa) == NEAR_DUPLICATE).any()


def test_exact_duplicates_and_short_documents():
    long = some_text(random.Random(2), 60)
    texts = ["one", "two", "one", "", "", long, f"{long} more", "żaba skacze po łące i nad staw", "one", long]
    expected = [KEEP, KEEP, DUPLICATE, KEEP, DUPLICATE, KEEP, NEAR_DUPLICATE, KEEP, DUPLICATE, DUPLICATE]
    assert decided(texts).tolist() == expected
    assert decided([]).tolist() == [] and decided(["a"]).tolist() == [KEEP]


@pytest.mark.parametrize("with_rensa", [True, False])
def test_signatures_do_not_depend_on_what_else_is_in_the_batch(with_rensa):
    rng = random.Random(3)
    texts = [some_text(rng, n) for n in (0, 3, 30, 300, 3_000)]
    together = signatures(Words(texts), with_rensa)
    for n, text in enumerate(texts):
        alone = signatures(Words([text]), with_rensa)
        assert all(alone[name][0] == together[name][n] for name in BAND_COLUMNS)


def test_signatures_of_numpy_are_the_least_values_of_their_permutations():
    hashes = np.array([1, 2**63, 2**64 - 1, 7, 7], np.uint64)
    found = minima(hashes, np.array([0, 3, 3, 5]), 8)
    for number in range(8):
        factor, added = (stable_hash(f"{word} {number}") for word in ("factor", "added"))
        values = [(int(value) * (factor | 1) + added) % 2**64 >> 32 for value in hashes]
        assert found[:, number].tolist() == [min(values[:3]), 2**32 - 1, values[3]]
