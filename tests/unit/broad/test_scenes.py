"""Scenes: that they are in form, how a conversation tells them, and what is said of one that is not in form."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from tokenization.dialogues.broad.book import PhrasebookError
from tokenization.dialogues.broad.scene_speech import SLOT
from tokenization.dialogues.broad.scenes import load_scenes, read_scenes, scenes
from tokenization.dialogues.broad.sentences import quoted
from tokenization.dialogues.broad.value_splits import split_of_value
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.values import words
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES

SPEC = DialogueSpec(turns=(3, 9), unknown=0.25, broad=1.0, scenes=1.0)
START = 16  # characters of a turn that hardly another has
GENDERS = {"en": ("",), "pl": ("m", "f")}


def conversations(language, split="train", count=400, spec=SPEC):
    return [generate(spec, language, split, 3, index) for index in range(count)]


def holds(text, value):
    return f" {' '.join(words(value))} " in f" {' '.join(words(text))} "


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_many_and_hardly_a_sentence_stands_there_twice(language):
    found = load_scenes(language)
    assert len(found) >= 800 and sum(len(scene.asked) for scene in found) >= 2 * len(found)
    turns = Counter(" ".join(words(turn)) for scene in found for turn in scene.turns)
    assert sum(count > 1 for count in turns.values()) < 0.005 * len(turns)
    asked = [text for scene in found for one in scene.asked for text in one.say]
    assert len(set(asked)) > 0.97 * len(asked)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_scene_is_in_one_split_and_has_values_of_training_alone(language):
    parts = {split: {one.turns for gender in GENDERS[language] for one in scenes(language, split, gender)}
             for split in ("train", "validation", "test")}  # fmt: skip
    assert not any(one & other for one, other in itertools.combinations(parts.values(), 2))
    assert min(len(parts["train"]), len(parts["test"])) > 250 and len(parts["validation"]) > 15
    listed = {value for scene in load_scenes(language) for values in scene.values.values() for value in values}
    assert {split_of_value((value,)) for value in listed} == {"train"} and len(listed) > 6_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_shares_a_rare_word_with_what_answers_it_and_none_if_nothing_does(language):
    def beginnings(text):
        return {word[:5] for word in words(re.sub(r"\{\w\}", " ", text))}

    found = load_scenes(language)
    times = Counter(word for scene in found for word in set().union(*map(beginnings, scene.turns)))
    rare = {word for word, count in times.items() if count <= len(found) / 50}
    kept = 0
    for gender in GENDERS[language]:
        for scene in scenes(language, "train", gender):
            told = [beginnings(turn) & rare for turn in scene.turns]
            assert all(beginnings(text) & told[one.told] for one in scene.asked for text in one.say)
            assert not any(beginnings(text) & set().union(*told) for text in scene.untold)
            kept += len(scene.asked) + len(scene.untold)
    assert kept > 800


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_quotes_what_a_turn_at_its_distance_told_and_no_other_value(language):
    asked = Counter()
    for conversation in conversations(language):
        for probe in conversation.probes:
            turn = conversation.interactions[probe.turn]
            assert probe.slot == SLOT and not any(holds(turn.answer, value) for value in probe.forbidden)
            asked[probe.kind, probe.tag] += 1
            told_values = {*probe.forbidden, *(probe.gold if probe.kind == "recall" else ())}
            asked["confused"] += any(holds(one, other) for one, other in itertools.permutations(told_values, 2))
            if probe.kind == "recall":
                told = conversation.interactions[probe.turn - probe.distance].query
                quote = turn.answer.removeprefix(quoted("", language).removesuffix("."))
                assert quote[:-1] in told and any(holds(quote, gold) for gold in probe.gold)
                assert len(turn.query) + len(turn.answer) <= SPEC.characters
    assert asked["confused"] == 0
    assert asked["recall", ""] > 300 and asked["unknown", "never-told"] > 50 and asked["unknown", "told-later"] > 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_turns_of_a_scene_come_in_order_and_what_is_asked_was_told(language):
    """Turns are found by the words before their first value, questions if they have none."""
    found = load_scenes(language)
    shared = Counter(turn[:START] for scene in found for turn in scene.turns)
    starts = {
        turn[:START]: (scene, n)
        for scene in found
        for n, turn in enumerate(scene.turns)
        if "{" not in turn[:START] and shared[turn[:START]] == 1
    }
    of_question = {text: scene for scene in found for one in scene.asked for text in one.say if "{" not in text}
    times = Counter(text for scene in found for one in scene.asked for text in one.say)
    ordered = asked = 0
    for conversation in conversations(language):
        queries = [turn.query for turn in conversation.interactions]
        placed = [(*starts[query[:START]], at) for at, query in enumerate(queries) if query[:START] in starts]
        for (one, n, at), (other, m, later) in itertools.combinations(placed, 2):
            if one is other:
                assert n < m and at < later
                ordered += 1
        for probe in conversation.probes:
            scene = of_question.get(queries[probe.turn])
            if (
                probe.kind == "recall"
                and scene
                and times[queries[probe.turn]] == 1
                and scene.turns[-1][:START] in starts
            ):
                told = [at for one, _, at in placed if one is scene]
                assert told and max(told) < probe.turn
                asked += 1
    assert ordered > 5 and asked > 200


def test_test_shards_tell_none_and_the_same_arguments_give_the_same():
    assert {probe.slot for one in conversations("en", "test", 60) for probe in one.probes}.isdisjoint({SLOT})
    assert conversations("pl", count=30) == conversations("pl", count=30)
    shares = [sum(any(p.slot == SLOT for p in c.probes) for c in conversations("en", spec=DialogueSpec(broad=1.0,
              scenes=share))) for share in (0.0, 0.5)]  # fmt: skip
    assert shares[0] == 0 and 100 < shares[1] < 240


def test_polish_scenes_of_one_conversation_have_one_gender():
    hers, his = re.compile(r"\w(łam|łaś)\b"), re.compile(r"\w(łem|łeś)\b")
    seen = Counter()
    for conversation in conversations("pl"):
        said = [turn.query for turn in conversation.interactions]
        shown = (any(map(hers.search, said)), any(map(his.search, said)))
        seen[shown] += 1
    assert seen[True, True] <= 4  # a value such as `Pawłem` looks like one
    assert min(seen[True, False], seen[False, True]) > 30


GOOD = {
    "turns": '["The cook is {a}."]',
    "a": '["Ann", "Bob", "Cid", "Dan", "Eve", "Fay"]',
    "untold": '["Who waits?"]',
    "ask": '[{ say = ["Who cooks?"], value = "a", quote = "The cook is {a}" }]',
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turns": "[]"}, r"scenes_1.toml: scene 1: no turns"),
        ({"b": '["x"]'}, r"scene 1: the turns have the letters \['a'\], not \['a', 'b'\]"),
        ({"ask": "[]"}, "scene 1: no ask, or nothing untold"),
        ({"untold": "[]"}, "scene 1: no ask, or nothing untold"),
        ({"ask": '[{ say = ["Who?"], value = "a" }]'}, r"an ask has \['say', 'value'\], not \['quote'"),
        ({"ask": '[{ say = ["Who?"], value = "a", quote = "The cook" }]'}, "'The cook' has not the value 'a'"),
        ({"ask": '[{ say = ["Who?"], value = "a", quote = "a {a}" }]'}, r"no turn has the quote 'a \{a\}'"),
    ],
)
def test_a_scene_that_is_not_in_form_is_named(tmp_path, changes, message):
    def write(entry):
        text = "[[scene]]\n" + "\n".join(f"{key} = {value}" for key, value in entry.items())
        (tmp_path / "scenes_1.toml").write_text(text)

    write(GOOD)
    assert len(read_scenes(tmp_path)) == 1
    write(GOOD | changes)
    with pytest.raises(PhrasebookError, match=message):
        read_scenes(tmp_path)
