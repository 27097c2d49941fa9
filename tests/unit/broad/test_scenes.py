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
from tokenization.records import LANGUAGES, SPLITS

SPEC = DialogueSpec(turns=(3, 9), unknown=0.25, broad=1.0, scenes=1.0)
START = 12  # characters of a turn before its first value, at least, by which it is found
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
             for split in SPLITS}  # fmt: skip
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
    for gender, split in itertools.product(GENDERS[language], SPLITS):
        for scene in scenes(language, split, gender):
            told = [beginnings(turn) & rare for turn in scene.turns]
            assert all(beginnings(text) & told[one.told] for one in scene.asked for text in one.say)
            assert not any(beginnings(text) & set().union(*told) for text in scene.untold)
            kept += len(scene.asked) + len(scene.untold)
    assert kept > 1_500


def questions(language, pick):
    """Wordings without a value, and what they belong to; none that stands there twice."""
    found = [(text, what) for scene in load_scenes(language) for text, what in pick(scene)]
    times = Counter(text for text, _ in found)
    return {text: what for text, what in found if "{" not in text and times[text] == 1}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_quotes_the_clause_that_tells_the_value_from_the_turn_at_its_distance(language):
    of = questions(language, lambda scene: [(text, (scene, one)) for one in scene.asked for text in one.say])
    counts = Counter()
    for conversation in conversations(language):
        for probe in conversation.probes:
            turn = conversation.interactions[probe.turn]
            counts[probe.slot, probe.kind, probe.tag] += 1
            if probe.kind == "recall":
                told = [turn.query for turn in conversation.interactions[: probe.turn]]
                quote = turn.answer.removeprefix(quoted("", language).removesuffix("."))[:-1]
                assert quote in told[probe.turn - probe.distance] and any(holds(quote, gold) for gold in probe.gold)
                assert len(turn.query) + len(turn.answer) <= SPEC.characters
            if probe.kind == "recall" and turn.query in of:
                scene, asked = of[turn.query]
                pattern = "(.+)".join(map(re.escape, re.split(r"\{\w\}", asked.quote)))
                assert re.fullmatch(pattern, quote.removeprefix(" "), re.IGNORECASE)
                for letter in set(scene.values) - set(re.findall(r"\{(\w)\}", asked.quote)):
                    counts["other values"] += 1
                    assert sum(value in probe.forbidden for value in scene.values[letter]) == 1
    kinds = {(SLOT, "recall", ""), (SLOT, "unknown", "never-told")}
    assert set(counts) == {*kinds, "other values"} and min(counts.values()) > 50


@pytest.mark.parametrize("language", LANGUAGES)
def test_turns_come_in_order_and_a_question_once_and_after_all_of_them(language):
    of = questions(language, lambda scene: [(text, scene) for one in scene.asked for text in one.say])
    asked = 0
    for conversation in conversations(language):
        queries = [turn.query for turn in conversation.interactions]
        assert len({queries[probe.turn] for probe in conversation.probes}) == len(conversation.probes)
        for probe in conversation.probes:
            if probe.kind == "recall" and (scene := of.get(queries[probe.turn])):
                told = [turn.partition("{")[0] for turn in scene.turns]
                places = [
                    next(at for at, query in enumerate(queries) if start and query.startswith(start))
                    for start in told
                    if len(start) > START
                ]
                assert places == sorted(places) and max(places, default=0) < probe.turn
                asked += bool(places)
    assert asked > 100


def test_a_polish_user_tells_scenes_of_one_gender():
    other = {"m": r"\w(łam|łaś)\b", "f": r"\w(łem|łeś)\b"}
    for gender, shows in other.items():
        found = scenes("pl", "train", gender)
        assert len(found) > 150 and not any(re.search(shows, text) for scene in found for text in scene.texts)


def test_test_shards_tell_none_and_the_same_arguments_give_the_same():
    assert {probe.slot for one in conversations("en", "test", 60) for probe in one.probes}.isdisjoint({SLOT})
    assert conversations("pl", count=30) == conversations("pl", count=30)
    shares = [sum(any(p.slot == SLOT for p in c.probes) for c in conversations("en", spec=DialogueSpec(broad=1.0,
              scenes=share))) for share in (0.0, 0.5)]  # fmt: skip
    assert shares[0] == 0 and 100 < shares[1] < 240


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
