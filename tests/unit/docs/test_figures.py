"""Measured figures of the documentation come from result lines; no other figure has a unit."""

from __future__ import annotations

import re

import pytest

from pipelines.code_digest import ROOT
from tests.benchmarks import render

UNITS = r"ms|s|min|minutes?|seconds?|hours?|microseconds?|[KMGT]i?B|bytes?|times|tokens(?:/s| a second| per second)"
FIGURE = re.compile(rf"(?<![\w^.])\d[\d.,]*(?:\s(?:to|and|or)\s\d[\d.,]*)?\s?(?:%|(?:{UNITS})(?![\w/]))")
NOT_PROSE = (
    (r"^ *```.*?^ *```", ""),
    (r"^    .*$", ""),
    (r"`[^`]*`", ""),
    (r"\]\([^)]*\)", "]"),
)
ALLOWED = {
    "two cores, 8 GB of memory and 5 GB of disk, or 10 GB": "what we ask for, with a margin",
    "2.7 GB to download, and": "sizes of packages as registries publish them",
    "then has 6.2 GB. With the CPU build it has 2.9 GB": "sizes of packages as registries publish them, unpacked",
    "10 MB of packages": "set in the preset",
    "94 MB of packages, 220 MB to download": "set in the preset; sizes of packages as registries publish them",
    "81.7 % masked accuracy": "figure of a card",
    "the 98 to 99 % of the card": "figure of a card",
    "445 GB": "size of the data sets as the hub publishes it",
    "eight GPUs of 80 GB each": "hardware that the preset is for",
    "one GPU of 16 GB": "hardware that the preset is for",
    "Wilson 95 % interval": "level of an interval",
    "its 95 % interval": "level of an interval",
    "fetches 280 MB the first time": "sizes of packages as registries publish them",
    "room for 3 GB": "what we ask for, with a margin",
    "more than 227 KB of shared memory": "limit of the hardware",
    "3 to 4.5 times the dense layer": "rule that a valid run keeps to",
}


def figures(text: str) -> list[str]:
    """Return the numbers with units in the prose of a document, each with the words around it."""
    text = render.BLOCK.sub("", text)
    for pattern, kept in NOT_PROSE:
        text = re.sub(pattern, kept, text, flags=re.MULTILINE | re.DOTALL if "```" in pattern else re.MULTILINE)
    text = " ".join(text.split())
    for fragment in ALLOWED:
        text = text.replace(fragment, "")
    return [text[max(0, found.start() - 40) : found.end() + 20] for found in FIGURE.finditer(text)]


def test_documents_state_what_the_lines_say():
    """After a new measurement run: python -m tests.benchmarks.render"""
    assert [str(path.relative_to(ROOT)) for path, _ in render.out_of_date()] == []


def test_every_statement_stands_in_a_document():
    used = {found["name"] for path in render.documents() for found in render.BLOCK.finditer(path.read_text())}
    assert used == set(render.STATEMENTS)


def test_a_block_that_was_edited_by_hand_is_written_again():
    true = render.rendered("before\n<!-- results: joint-step -->\n<!-- end -->\nafter\n", ROOT)
    assert "(tests/benchmarks/results/joint_step.jsonl)" in true
    ratio = re.search(r"a ratio of (\S+);", true)[1]
    assert render.rendered(true.replace(ratio, "0.1"), ROOT) == true != true.replace(ratio, "0.1")
    assert all(len(line) <= render.WIDTH for line in true.splitlines())


def test_a_number_stays_on_the_line_of_its_unit():
    assert render.filled("word " * 23 + "12345 % of all") == "word " * 22 + "word\n12345 % of all\n"


def test_a_block_that_nothing_renders_is_refused():
    with pytest.raises(ValueError, match="no results are called 'speed'"):
        render.rendered("<!-- results: speed -->\n<!-- end -->\n", ROOT)


@pytest.mark.parametrize("path", render.documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_figure_stands_outside_of_blocks(path):
    """A measured figure belongs in a block. A figure that is no measurement may be added to ALLOWED, with the
    reason."""
    assert figures(path.read_text(encoding="utf-8")) == []


def test_what_is_allowed_is_still_there():
    texts = " ".join(" ".join(re.sub(r"`[^`]*`", "", path.read_text()).split()) for path in render.documents())
    assert [fragment for fragment in ALLOWED if fragment not in texts] == []


@pytest.mark.parametrize(
    "text", ["It takes 3 ms.", "3.6 to 9.4 times as fast", "84 % of them", "162,000 tokens/s", "5GB"]
)
def test_a_figure_in_prose_is_found(text):
    assert len(figures(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<!-- results: moe-cpu -->\nIt takes 3 ms.\n<!-- end -->",
        "```\nit took 3 ms\n```",
        "    3 ms",
        "`--limit 3 ms`",
        "10^6 bytes",
    ],
)
def test_what_is_no_figure_in_prose_is_left_alone(text):
    assert figures(text) == []
