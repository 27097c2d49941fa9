"""The data card of interactions and conversations: counts of what is in the shards, as a page and a picture."""

import pytest

from jobs.shards.dialogue_card import write_dialogue_card
from jobs.shards.dialogue_counts import PARTS, DialogueCounts
from jobs.shards.dialogue_plot import draw
from jobs.shards.job import Speed, total
from tokenization.conversations.template import EncodedInteraction
from tokenization.shards.index import ShardIndex

LENGTH = 64
SOURCES = [
    {
        "name": "set",
        "licence": "CC0 | public",
        "adapter": "chat",
        "long_answers": "cut",
        "mask": ("email",),
        "pii": {kind: {"conversations": 1, "found": 3} for kind in ("email", "phone", "iban", "pesel")},
        "rejected": {"no answer": 2, "not JSON": 7},
        "removed": {"duplicate": {"documents": 5, "bytes": 90, "examples": []}},
        "gone": ["a.jsonl"],
    }
]


def turn(tokens: int, supervised: int, cut: int = 0) -> EncodedInteraction:
    mask = [False] * (tokens - supervised) + [True] * supervised
    return EncodedInteraction([7] * tokens, mask, tokens - supervised, cut)


@pytest.fixture
def report() -> dict:
    train, more, test = (DialogueCounts(split, LENGTH) for split in ("train", "train", "test"))
    train.add("set", "pl", [turn(64, 20, cut=5), turn(10, 4)])
    train.add("dialogues", "en", [turn(4, 1)])
    more.add("set", "pl", [turn(5, 2)] * 3)
    test.add("set", "pl", [turn(32, 30)])
    return total([train.report, more.report, test.report], PARTS)


def index(kind: str) -> ShardIndex:
    return ShardIndex(kind, LENGTH, "abc", 2560, ())


def test_counts_of_shards_add_up(report):
    names = ("rows", "turns", "tokens", "supervised", "cut_tokens")
    assert report["sources"] == {
        "set": {
            "pl": {
                "train": dict(zip(names, (2, 5, 89, 30, 5), strict=True)),
                "test": dict(zip(names, (1, 1, 32, 30, 0), strict=True)),
            }
        },
        "dialogues": {"en": {"train": dict(zip(names, (1, 1, 4, 1, 0), strict=True))}},
    }
    assert report["turns"] == {"pl": {"2": 1, "3": 1, "1": 1}, "en": {"1": 1}}
    assert report["lengths"]["en"] == [1] + [0] * 15  # 1 to 4 tokens
    assert report["lengths"]["pl"] == [0, 3, 1, 0, 0, 0, 0, 1, *[0] * 7, 1]


def test_the_page_tells_it(report):
    licences = {"set": "CC0 | public", "dialogues": "generated"}
    page = write_dialogue_card("talks t-1", index("conversations"), report, SOURCES, licences, Speed(4, 2, 100, 1))
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "| train | 3 | 6 | 93 | 31 | 33.3% | 5 (5.1%) |" in lines
    assert "| set | pl | CC0 / public | test | 1 | 1 | 32 | 30 | 93.8% | 0 |" in lines
    assert "| dialogues | en | generated | train | 1 | 1 | 4 | 1 | 25.0% | 0 |" in lines
    assert "| pl | train | 2 | 5 | 89 | 30 | 33.7% | 5 (5.3%) |" in lines
    assert "| 3 | 0 | 1 |" in lines and "| 61 to 64 | 0 | 1 |" in lines
    assert lines.index("| set | not JSON | 7 |") < lines.index("| set | no answer | 2 |")
    assert "| set | duplicate | 5 |" in lines and "| set | chat | cut | email | 3 | 3 | 3 | 3 |" in lines
    assert "set: a.jsonl vanished while it was read." in lines
    assert "50 tokens a CPU second. Shards encoded without the fast engine: 1." in page
    bare = write_dialogue_card("pairs p-1", index("interactions"), report, [], {}, Speed())
    assert "No row of a data set was left out." in bare and "Interactions in a conversation" not in bare
    assert "| set | pl | unknown | test |" in " ".join(bare.split())


def test_the_picture_is_drawn(report, tmp_path):
    drawn = {}
    for kind in ("conversations", "interactions"):
        for sources in (SOURCES, []):
            draw(kind, LENGTH, report, sources, tmp_path / "card.png")
            content = (tmp_path / "card.png").read_bytes()
            assert content[:8] == b"\x89PNG\r\n\x1a\n"
            drawn[kind, bool(sources)] = content
    assert len(set(drawn.values())) == 4
