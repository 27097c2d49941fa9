"""A file of dialogues is read whole, or its first fault is named with file, line and field."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from jobs.evaluation.own_words.reader import read_own_words
from jobs.stage.context import StageError
from tests.support.own_words.dialogues import dialogue, probe, write_dialogues


def test_all_that_a_file_says_is_read(tmp_path):
    update = probe("update", ("9", "nine"), forbidden=["6"], also=[["pm", "p.m."]], facts=3, distance=0)
    path = write_dialogues(
        tmp_path / "own.jsonl", dialogue(), dialogue("two", language="pl", tier="hard", probe=update)
    )
    own = read_own_words(path)
    assert own.sha256 == hashlib.sha256((tmp_path / "own.jsonl").read_bytes()).hexdigest()
    first, second = own.dialogues
    assert (first.id, first.language, first.tier, first.attributes) == ("one", "en", "plain", "new")
    assert [turn.user for turn in first.turns] == ["My ring size is 54.", "It is late.", "What is my ring size?"]
    assert [turn.probe is None for turn in first.turns] == [True, True, False]
    assert json.loads(second.turns[2].probe.model_dump_json()) == update
    assert read_own_words(f"file://{path}") == own


@pytest.mark.parametrize("url", ["zip://a.jsonl::{}", "s3://bucket/a.jsonl", "github://x", "nonsense://x"])
def test_a_file_that_no_filesystem_gives_is_named(tmp_path, monkeypatch, url):
    for name, value in (("HOME", str(tmp_path)), ("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_MAX_ATTEMPTS", "1")):
        monkeypatch.setenv(name, value)
    (tmp_path / "broken.zip").write_text("no archive")
    with pytest.raises(StageError, match="cannot be read: "):
        read_own_words(url.format(tmp_path / "broken.zip"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (dialogue(tier="easy"), "tier = 'easy': "),
        (dialogue(language="de"), "language = 'de': "),
        (dialogue() | {"turns": []}, "turns = []: "),
        (dialogue() | {"turns": [{"user": " ?! ", "probe": probe()}]}, "turns.0.user = ' ?! ': has no word"),
        (dialogue(probe=probe(facts="3")), "turns.2.probe.facts = '3': "),
        (dialogue(probe=probe(distance=-1)), "turns.2.probe.distance = -1: "),
        (dialogue(probe=probe(gold=("54", "…"))), "turns.2.probe.gold.1 = '…': has no word"),
        (dialogue(probe=probe(also=[[]])), "turns.2.probe.also.0 = []: "),
        (dialogue(probe=probe(kind="joke")), "turns.2.probe.kind = 'joke': "),
        (dialogue(probe=probe(gold=("A cat",), forbidden=["a CAT."])), "'a CAT.' is right and forbidden"),
        (dialogue(probe=probe(gold=(), also=[["54"]])), "gold has none"),
        (dialogue(probe=probe(forbiden=["6"])), "turns.2.probe.forbiden = ['6']: "),
        ({key: value for key, value in dialogue().items() if key != "tier"}, "tier: Field required"),
        (dialogue("first"), "id 'first' stands in line 1, too"),
    ],
)
def test_a_wrong_line_is_named_with_its_field_and_value(tmp_path, wrong, told):
    path = write_dialogues(tmp_path / "own.jsonl", dialogue("first"), wrong)
    with pytest.raises(StageError, match=re.escape(f"{path}, line 2: ")) as caught:
        read_own_words(path)
    assert told in str(caught.value)


@pytest.mark.parametrize("content", [b'{"id": "one",', b'{"id": "\xff"}', b"[]"], ids=["cut", "no UTF-8", "a list"])
def test_a_line_that_is_no_object_is_named(tmp_path, content):
    (tmp_path / "own.jsonl").write_bytes(b"\n" + content + b"\n")
    with pytest.raises(StageError, match=r"own\.jsonl, line 2: \S"):
        read_own_words(str(tmp_path / "own.jsonl"))


def test_a_file_that_asks_nothing_or_is_not_there_is_refused(tmp_path):
    silent = dialogue() | {"turns": [{"user": "Hello."}]}
    for name, told in (("none", "cannot be read"), ("empty", "0 dialogues"), ("silent", "1 dialogues and no question")):
        path = tmp_path / name
        if name != "none":
            write_dialogues(path, *([silent] if name == "silent" else []))
        with pytest.raises(StageError, match=f"{path}: {told}"):
            read_own_words(str(path))
    with pytest.raises(StageError, match="nosuch://x: cannot be read"):
        read_own_words("nosuch://x")
