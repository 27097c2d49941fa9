"""How often sources are read: shares of languages, weights within them, caps."""

import pytest

from tokenization.mixture import MixtureError, passes

MOST = {"en": 1.0, "pl": 4.0}


@pytest.mark.parametrize(
    "english, polish, share, most, expected",
    [
        (100, 50, 0.5, None, (1, 2)),
        (100, 10, 0.5, None, (1, 4)),  # too little Polish: four passes and no more
        (100, 400, 0.5, None, (1, 0.25)),
        (100, 100, 0.25, None, (1, 1 / 3)),
        (100, 100, 0.5, 100, (0.5, 0.5)),
        (100, 10, 0.5, 100, (0.5, 4)),
        (0, 30, 0.5, None, (0, 4)),
        (30, 0, 0.5, None, (1, 0)),
        (30, 30, 0.0, None, (1, 0)),
        (30, 30, 1.0, None, (0, 4)),
    ],
)
def test_shares_of_languages(english, polish, share, most, expected):
    available = {("books", "en"): english, ("ksiazki", "pl"): polish}
    found = passes(available, {}, MOST, share, most)
    assert (found["books", "en"], found["ksiazki", "pl"]) == pytest.approx(expected)


def test_weights_are_kept_within_a_language_and_the_highest_meets_the_cap():
    available = {("web", "en"): 700.0, ("wiki", "en"): 100.0, ("strony", "pl"): 500.0, ("wiki", "pl"): 50.0}
    found = passes(available, {"wiki": 3.0, "strony": 2.0}, {"en": 3.0, "pl": 4.0}, 0.5)
    assert (found["web", "en"], found["wiki", "en"]) == pytest.approx((1.0, 3.0))
    assert found["wiki", "pl"] / found["strony", "pl"] == pytest.approx(1.5)
    tokens = [sum(found[key] * n for key, n in available.items() if key[1] == language) for language in ("en", "pl")]
    assert tokens == pytest.approx([1000, 1000])


def test_a_source_of_weight_0_is_left_out():
    found = passes({("a", "en"): 10.0, ("b", "en"): 10.0}, {"b": 0.0}, MOST, 0.0)
    assert found == {("a", "en"): 1.0, ("b", "en"): 0.0}


def test_what_cannot_be_mixed_is_named():
    available = {("web", "en"): 10.0, ("strony", "pl"): 10.0}
    with pytest.raises(MixtureError, match=r"'wiki'; the corpus has strony, web"):
        passes(available, {"wiki": 2.0}, MOST, 0.5)
    with pytest.raises(MixtureError, match="leave no token"):
        passes(available, {"web": 0.0, "strony": 0.0}, MOST, 0.5)
