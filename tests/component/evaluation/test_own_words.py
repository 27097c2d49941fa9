"""Dialogues in people's own words are played as the chat talks, and the controls keep nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.evaluation.own_words.playing import play_own_words
from jobs.evaluation.own_words.reader import read_own_words
from jobs.stage.context import StageError
from pipelines.chat import ChatSession
from pipelines.own_words import show
from rxt_model.generate import answer
from tests.support.evaluation_data import make_models, make_tokenizer, save_models
from tests.support.own_words.dialogues import dialogue, write_dialogues
from tests.support.recorded import recorded
from tokenization.conversations.template import decode_answer, encode_query
from tokenization.records import Interaction

LONG = "My code is 4182 and " * 20
DIALOGUES = (
    dialogue("a"),
    dialogue("b", turns=("My cat is Sprocket.",)),
    dialogue("c", turns=(LONG, "Thanks.", "Dziękuję."), language="pl"),
)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_dialogues(tmp_path_factory.mktemp("own") / "own.jsonl", *DIALOGUES)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_every_turn_is_answered_as_in_the_chat(tokenizer, path, batch_size):
    model, _ = make_models(tokenizer)
    own = read_own_words(path)
    played = play_own_words(model, tokenizer, own.dialogues, batch_size)
    session = ChatSession(model, tokenizer)
    live, emptied, cut = {}, {}, {}
    for one in own.dialogues:
        session.reset()
        for number, turn in enumerate(one.turns):
            live[one.id, number] = "".join(session.answer(turn.user))
            kept, whole = session.kept_tokens(turn.user)
            if kept < whole:
                cut[one.id, number] = kept, whole
        session.reset()
        emptied[one.id, len(one.turns) - 1] = "".join(session.answer(one.turns[-1].user))
    assert played.answers == {"rxt": live, "emptied": emptied}
    assert (played.turns, played.cut) == (9, cut) and set(cut) == {("c", 0)}
    assert any(live[place] != emptied[place] for place in emptied)


def test_the_rival_has_its_full_history(tokenizer, path):
    _, model = make_models(tokenizer)
    own = read_own_words(path)
    played = play_own_words(model, tokenizer, own.dialogues, 8)
    length = model.config.length
    for one in own.dialogues:
        history = []
        for number, turn in enumerate(one.turns):
            query = encode_query(tokenizer, Interaction(turn.user, ""), length)
            ids = answer(model, None, [history + query], [length - len(query)])[0]
            assert played.answers["full_history"][one.id, number] == decode_answer(tokenizer, ids)
            history += query + ids
        alone = decode_answer(tokenizer, answer(model, None, [query], [length - len(query)])[0])
        assert played.answers["no_history"][one.id, number] == alone


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("models")
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    uris = save_models(folder, tokenizer) | {"tokenizer": str(folder / "tokenizer")}
    return {name: recorded(name, "e51b07c2d9aa-1", uri) for name, uri in uris.items()}


@pytest.mark.parametrize(
    ("name", "arms"), [("rxt", ["rxt", "emptied"]), ("baseline", ["full_history", "window", "no_history"])]
)
def test_the_command_prints_the_table_and_keeps_the_answers(sources, path, tmp_path, capsys, name, arms):
    save = tmp_path / "answers.jsonl"
    show(sources[name], sources["tokenizer"], "store here", path, save, as_json=False)
    out = capsys.readouterr().out
    assert out.startswith(f"store here\n{name}/e51b07c2d9aa-1") and "1 of 9 turns are longer" in out
    lines = [json.loads(line) for line in save.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a"] * 3 + ["b"] * 2 + ["c"] * 4
    assert [("verdict" in line) for line in lines].count(True) == 3
    show(sources[name], sources["tokenizer"], "store here", path, None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert list(found["arms"]) == arms and found["cut"][arms[0]] == 1


def test_answers_that_cannot_be_kept_stop_the_command_before_it_plays(sources, path, tmp_path):
    with pytest.raises(StageError, match="there is no folder") as caught:
        show(sources["rxt"], sources["tokenizer"], "", path, tmp_path / "none" / "answers.jsonl", as_json=False)
    assert caught.value.remedy == f"mkdir -p {tmp_path / 'none'}"


def test_answers_replace_no_file_but_one_with_answers(sources, path, tmp_path, capsys):
    asked, notes = Path(path).read_bytes(), tmp_path / "notes.md"
    notes.write_text("precious")
    for save, told in ((Path(path), "something else than answers"), (notes, "something else"), (tmp_path, "a folder")):
        with pytest.raises(StageError, match=told):
            show(sources["rxt"], sources["tokenizer"], "", path, save, as_json=False)
    assert Path(path).read_bytes() == asked and notes.read_text() == "precious" and not capsys.readouterr().out
    for _ in range(2):
        show(sources["rxt"], sources["tokenizer"], "", path, tmp_path / "answers", as_json=False)
    assert len((tmp_path / "answers").read_text().splitlines()) == 9
