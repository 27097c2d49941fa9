"""JSON as programs write it: over lines, several objects in a line, raw control characters, and what is no JSON."""

import json

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

ONE, TWO = "The old fisherman repaired a boat.", "My sister sold a basket."
ROWS = [{"text": ONE, "id": 1}, {"text": TWO, "id": 2}]


def reads(path, **more) -> tuple[list[str], list[Rejected], list[str]]:
    """Return the texts, what was rejected, and the formats."""
    source = Source(name="mine", kind="files", language="en", licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    bad = [one for one in found if isinstance(one, Rejected)]
    return [one for one in found if isinstance(one, str)], bad, list(seen.files)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a", "a.txt"])
@pytest.mark.parametrize("mark", ["", "\x1e"])
@pytest.mark.parametrize("layout", [{"indent": 2}, {}])
@pytest.mark.parametrize("between", ["\n", "", "\r\n\r\n"])
def test_objects_one_after_another_whatever_stands_between(tmp_path, name, mark, layout, between):
    content = "".join(mark + json.dumps(row, **layout) + between for row in ROWS)
    (tmp_path / name).write_text(content)
    assert reads(tmp_path)[:2] == ([ONE, TWO], [])


def test_a_long_object_over_lines_is_told_in_json_lines(tmp_path):
    rows = [{"id": 1, "text": ONE * 9_000}, {"id": 2, "text": TWO}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in rows))
    assert reads(tmp_path) == ([ONE * 9_000, TWO], [], ["json"])


def test_a_broken_line_makes_no_other_format_of_json_lines(tmp_path):
    (tmp_path / "a.jsonl").write_text(f'{{"text": "cut\n{json.dumps(ROWS[0])}\n{json.dumps(ROWS[1])}{{"text":\n')
    texts, bad, kinds = reads(tmp_path)
    assert texts == [ONE] and [one.place for one in bad] == ["byte 0", "byte 70"] and kinds == ["jsonl"]


@pytest.mark.parametrize("layout", [{"indent": 2}, {}])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_raw_control_characters_in_texts_cost_nothing(tmp_path, name, layout):
    text = 'a\tb \\ "c"\x01\x1e d'
    content = json.dumps([{"text": text}] if name == "a.json" else {"text": text}, **layout)
    raw = content.replace("\\t", "\t").replace("\\u0001", "\x01").replace("\\u001e", "\x1e")
    assert raw != content
    (tmp_path / name).write_text(raw)
    assert reads(tmp_path)[:2] == ([text], [])


@pytest.mark.parametrize("depth", [10, 900, 990, 1_500, 50_000])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
@pytest.mark.parametrize("nested", ["[]", ['{"a":', "}"]])
def test_a_text_that_is_nested_deep_costs_no_other_row_before_it(tmp_path, name, depth, nested):
    value = nested[0] * depth + "1" * (nested[0] != "[") + nested[1] * depth
    if name == "a.jsonl":
        content = f'{json.dumps(ROWS[0])}\n{{"text":{value}}}\n{json.dumps(ROWS[1])}\n'
    else:
        content = f'[{json.dumps(ROWS[0])},{{"text":{value}}},{json.dumps(ROWS[1])}]'
    (tmp_path / name).write_text(content)
    texts, [bad], _ = reads(tmp_path)
    assert texts == ([ONE, TWO] if name == "a.jsonl" or depth < 1_000 else [ONE])
    assert bad.reason in ("not text", "not JSON") and len(bad.excerpt) <= 80


QUOTES = [
    f'["{ONE}", he said, and then he went home.',
    '["One," she said, "two"]\nMore of it.\n',
    '["One", "two"] is a list in Python.\n',
    "[{name}] is what stands in a template, [{ name }] too.\n",
    '["One", 2, he said.\n',
]


@pytest.mark.parametrize("text", QUOTES)
def test_a_quote_in_brackets_makes_no_json_of_prose(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert reads(tmp_path) == ([text], [], ["text"])


@pytest.mark.parametrize("content", [[ONE, 'a "b", c', -1.5e3, None, True], [ONE] * 9_000, [ONE, [], {}]])
@pytest.mark.parametrize("layout", [{"indent": 1}, {}])
def test_arrays_of_texts_are_json_whatever_their_name(tmp_path, content, layout):
    for name in ("a.txt", "a.json", "a"):
        (tmp_path / name).write_text(json.dumps(content, **layout))
        texts, _, kinds = reads(tmp_path / name)
        assert texts == [one for one in content if isinstance(one, str)] and kinds == ["json"]
