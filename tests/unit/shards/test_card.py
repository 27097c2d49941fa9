"""The data card says what was read, written and removed."""

import numpy as np
import pytest

from jobs.shards.job import Speed, total
from jobs.shards.text_card import write_card
from jobs.shards.text_counts import PARTS, TextCounts, fill, per_source
from jobs.shards.text_plot import draw


class Vocabulary:
    vocab_size, digest = 2560, "abc"


def source(name: str, language: str, removed: dict, repaired: dict) -> dict:
    about = {"name": name, "language": language, "licence": "CC0 | public"}
    identity = {"source": about, "origin": f"package {name}"}
    rules = {"gopher: words < 50": {"documents": 3, "bytes": 100, "applied": 0}}
    pii = {"email": {"documents": 2, "found": 5}}
    counts = {"texts": 40, "bytes_read": 2000, "bytes": 1000, "rules": rules, "pii": pii}
    return {"identity": identity, **counts, "removed": removed, "repaired": repaired}


CORPUS = [
    source(
        "books",
        "en",
        {"polish": {"bytes": 500, "documents": 2, "examples": []}},
        {"white space": {"documents": 10, "examples": []}},
    ),
    source(
        "ksiazki",
        "pl",
        {"duplicate": {"bytes": 200, "documents": 3, "examples": ["`Ala`\n<b>ma</b> kota"]}},
        {"misread encoding": {"documents": 2, "examples": ["gÄ™Å› → gęś"]}},
    ),
]


@pytest.fixture
def report() -> dict:
    parts = []
    for language, name in (("en", "books"), ("pl", "ksiazki")):
        part = TextCounts()
        part.read(name, language, "train", 400, np.array([0, 1, 4, 100]), times=1)
        part.read(name, language, "train", 30, np.array([0, 10]), times=3)
        part.read(name, language, "test", 7, np.array([0, 0]), times=1)
        part.wrote("train", 4, 120, 64)
        parts.append(part.report)
    return total(parts, PARTS) | {"passes": {"books/en": 1.0, "ksiazki/pl": 1.5}}


def test_counts_of_shards_add_up(report):
    counts = {"documents": 4, "bytes": 430, "tokens": 110, "trained_tokens": 130}
    assert per_source(report) == {("books", "en"): counts, ("ksiazki", "pl"): counts}
    assert report["lengths"]["pl"][:8] == [2, 1, 0, 1, 0, 0, 1, 0]
    assert report["rows"] == {"train": {"rows": 8, "tokens": 240, "capacity": 512}}
    assert (fill(report), fill(report, "test")) == (240 / 512, 1.0)


def test_the_page_tells_it(report):
    page = write_card("t-1", report, CORPUS, Vocabulary(), Speed(4.0, 2.0, 240))
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "| ksiazki | pl | CC0 / public | package ksiazki | 4 | 0.00 | 110 | 3.91 | 1.50 | 130 | 50.0% |" in lines
    assert "| train | 8 | 240 | 46.88% |" in lines
    assert "| books | polish | 0.001 | 25.00% | 2 |" in lines
    assert "| ksiazki | duplicate | 0.000 | 10.00% | 3 |" in lines
    assert "- ksiazki, duplicate: `'Ala' <b>ma</b> kota`" in lines
    assert "| gopher: words < 50 | no | 6 | 0.000 | 10.00% |" in lines and "| email | 4 | 10 |" in lines
    assert "| books | white space | 10 | 25.00% |" in lines
    assert (
        "| ksiazki | misread encoding | 2 | 5.00% |" in lines and "- ksiazki, misread encoding: `gÄ™Å› → gęś`" in lines
    )
    assert "120 tokens a CPU second" in page
    assert "not known" in write_card("t-1", report, [], Vocabulary(), Speed())


def test_the_picture_is_drawn(report, tmp_path):
    draw(report, CORPUS, tmp_path / "card.png")
    draw(report, [], tmp_path / "bare.png")
    assert (tmp_path / "card.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "card.png").read_bytes() != (tmp_path / "bare.png").read_bytes()
