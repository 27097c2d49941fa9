"""What broad conversations say, and what they ask."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS
from tokenization.dialogues.broad.book import load, placeholders
from tokenization.dialogues.broad.facts import FactDrawer
from tokenization.dialogues.broad.material import _FEMININE, _MASCULINE, material, split_of_attribute
from tokenization.dialogues.broad.phrasing import ANSWERS, FRAMED, PLAIN_ACKNOWLEDGEMENTS, Phrasing
from tokenization.dialogues.broad.sentences import as_said, clause, closed, joint, quotable, quoted, without_verb
from tokenization.dialogues.broad.value_splits import TOO_FEW_VALUES, shortest
from tokenization.dialogues.score import contains
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.values import REFUSALS
from tokenization.dialogues.wording import generate
from tokenization.records import BROAD, LANGUAGES, Interaction

SPEC = DialogueSpec(turns=(3, 14), facts=(1, 6), distract=0.2, again=0.4, update=0.3, unknown=0.18, broad=1.0)
COUNT = 1_500
# nouns that look like verbs of the past tense, such as "masłem"
_NOUNS = re.compile(
    "|".join(
        rf"\b{word}\b"
        for texts in (*load("pl").open_words.values(), *load("pl").composed.values(), *load("pl").words.values())
        for word in re.findall(r"\w+", " ".join(texts))
        if _FEMININE.search(word) or _MASCULINE.search(word)
    )
    or "$^"
)


@pytest.fixture(scope="module", params=[(language, split) for language in LANGUAGES for split in ("train", "test")])
def conversations(request):
    language, split = request.param
    return [generate(SPEC, language, split, 3, index) for index in range(COUNT)]


def questions(conversations):
    return [(conversation, probe) for conversation in conversations for probe in conversation.probes]


def test_a_share_of_conversations_is_broad_and_the_others_are_those_of_the_templates():
    narrow = replace(SPEC, broad=0.0)
    for language in LANGUAGES:
        mixed = [generate(replace(SPEC, broad=0.3), language, "train", 0, index) for index in range(COUNT)]
        broad = [conversation for conversation in mixed if conversation.source == BROAD]
        assert 0.25 < len(broad) / COUNT < 0.35
        assert all(conversation.id.startswith("broad-") for conversation in broad)
        assert {probe.generator for conversation in broad for probe in conversation.probes} == {BROAD}
        for index, conversation in enumerate(mixed[:300]):
            if conversation.source != BROAD:
                assert conversation == generate(narrow, language, "train", 0, index)
                assert {probe.generator for probe in conversation.probes} <= {"templates"}


def test_the_same_in_every_process():
    code = (
        "import hashlib; from tokenization.dialogues.wording import DialogueSpec, generate;"
        "made = [generate(DialogueSpec(broad=1.0), l, s, 5, n) for l in ('en', 'pl') for s in ('train', 'test')"
        " for n in range(40)]; print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    runs = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, timeout=SECONDS, env=environment)
        runs.add(done.stdout.strip())
    assert len(runs) == 1 and runs != {b""}


def test_lengths_lie_in_their_range_and_turns_in_their_room(conversations):
    assert {len(conversation.interactions) for conversation in conversations} == set(range(3, 15))
    turns = [turn for conversation in conversations for turn in conversation.interactions]
    assert all(turn.query and turn.answer for turn in turns)
    sizes = [len(turn.query) + len(turn.answer) for turn in turns]
    assert sum(size > SPEC.characters for size in sizes) <= len(sizes) // 1_000


def test_sentences_are_whole(conversations):
    for conversation in conversations:
        for turn in conversation.interactions:
            for text in (turn.query, turn.answer):
                lines = [" ".join(line.split()) for line in text.replace("\n ", "\n").split("\n")]  # lines of quotes
                assert not placeholders(text) and text.replace("\n ", "\n") == "\n".join(lines)
                assert not re.search(r"[.,;:!?]{2}(?<!\.\.)| [.,;!?]|\b(a|an) (a|an|the)\b", text), text
            assert (
                turn.answer[0].isupper()
                or turn.answer[0] in "0123456789„"
                or turn.answer.islower()
                or conversation.probes
            )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_quote_begins_like_the_turn_or_with_the_blank_that_it_has_there(language):
    """So its first token is one that the turn has. Openers are no part of it."""
    lead = quoted("", language).removesuffix(".")
    opener = re.compile("|".join(re.escape(one) for one in material(language, "train").phrases["opener"]))
    counts: Counter[str] = Counter()
    for index in range(600):
        conversation = generate(SPEC, language, "train", 3, index)
        for probe in conversation.probes:
            answer = conversation.interactions[probe.turn].answer
            if not answer.startswith(lead) or probe.kind == "unknown" or probe.tag == "two-facts":
                continue
            told = conversation.interactions[probe.turn - probe.distance].query
            quote = answer.removeprefix(lead).removesuffix(".")
            assert quote in told and not opener.match(quote.strip())
            inside = quote.startswith(" ")
            assert inside or told.startswith(quote) or f" {quote}" not in told
            counts["inside" if inside else "at the start"] += 1
            counts["behind an opener"] += bool(opener.match(told)) and inside
    assert min(counts.values()) > 30 and len(counts) == 3


def test_gold_stands_in_the_answer_and_was_told_where_the_distance_says(conversations):
    for conversation, probe in questions(conversations):
        answer = conversation.interactions[probe.turn].answer
        assert not any(contains(answer, value) for value in probe.forbidden)
        if probe.kind == "unknown":
            assert probe.gold == (answer,) and probe.distance == 0
            continue
        told = conversation.interactions[probe.turn - probe.distance].query
        if probe.tag == "two-facts":
            assert len(probe.gold) == 2 and all(contains(answer, value) for value in probe.gold)
            assert any(contains(told, value) for value in probe.gold)
        else:
            assert any(contains(answer, form) for form in probe.gold)
            assert any(contains(told, form) for form in probe.gold)
            later = conversation.interactions[probe.turn - probe.distance + 1 : probe.turn]
            again = any(contains(turn.query, shortest(probe.gold)) for turn in later)
            # people name days of the week in other sentences, too
            assert not again or probe.slot.removeprefix(f"{BROAD}/") in TOO_FEW_VALUES


def test_changed_values_are_forbidden_first(conversations):
    changed = [
        (conversation, probe)
        for conversation, probe in questions(conversations)
        if probe.kind == "update" and not probe.tag
    ]
    assert len(changed) > 200
    for conversation, probe in changed:
        before = [turn.query for turn in conversation.interactions[: probe.turn - probe.distance + 1]]
        assert any(contains(text, probe.forbidden[0]) for text in before)


def test_every_way_not_to_know_is_asked_and_refused(conversations):
    tags = Counter(probe.tag for _, probe in questions(conversations) if probe.kind == "unknown")
    assert set(tags) == {"never-told", "told-later", "somebody-else", "retracted"}
    share = tags.total() / len(questions(conversations))
    assert 0.14 < share < 0.22
    refusals = {probe.gold for _, probe in questions(conversations) if probe.kind == "unknown"}
    assert len(refusals) > (60 if conversations[0].split == "train" else 10)


def test_a_retracted_value_is_forbidden(conversations):
    retracted = [(conversation, probe) for conversation, probe in questions(conversations) if probe.tag == "retracted"]
    assert retracted
    for conversation, probe in retracted:
        told = " ".join(turn.query for turn in conversation.interactions[: probe.turn])
        assert contains(told, probe.forbidden[0])


def test_many_facts_are_told_in_few_turns_and_values_are_confusable(conversations):
    facts = Counter(probe.facts for _, probe in questions(conversations))
    assert max(facts) >= 8
    several = sum(probe.tag == "two-facts" for _, probe in questions(conversations))
    assert several > 0.02 * len(questions(conversations))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_polish_user_is_a_man_or_a_woman_throughout(split):
    for index in range(COUNT):
        conversation = generate(SPEC, "pl", split, 4, index)
        said = [_NOUNS.sub("", turn.query) for turn in conversation.interactions]
        assert not (any(map(_FEMININE.search, said)) and any(map(_MASCULINE.search, said))), said


def test_real_interactions_take_their_share_of_the_small_talk_and_hold_no_value():
    real = [Interaction(f"Numer {n}?", f"{n}.") for n in range(300)]
    spec = replace(SPEC, distract=0.6, again=0.0)
    turns, taken = 0, 0
    for index in range(600):
        conversation = generate(spec, "pl", "train", 0, index, real)
        asked = {probe.turn for probe in conversation.probes}
        values = {value for probe in conversation.probes for value in probe.gold if probe.kind != "unknown"}
        for number, turn in enumerate(conversation.interactions):
            turns += number not in asked
            taken += turn in real
            told_before = [v for v in values if any(contains(t.query, v) for t in conversation.interactions[:number])]
            assert turn not in real or not any(contains(turn.answer, value) for value in told_before)
    assert 0.05 * turns < taken < REAL_TALK * turns  # the rest of the turns tells facts


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_people_say_most_often_is_told_more_often_and_only_in_training(language):
    shares = {}
    for split in ("train", "test"):
        found = material(language, split, "m" if language == "pl" else "")
        drawers = (FactDrawer(language, split, "", found, Random(seed), open_share=0.0) for seed in range(600))
        facts = [fact for drawer in drawers for fact in drawer.draw(1) if not fact.attribute.word]
        shares[split] = sum(fact.attribute.common for fact in facts) / len(facts)
    book = load(language)
    assert all(split_of_attribute(one) == "train" for one in book.attributes + book.person_attributes if one.common)
    named = [attribute.common for attribute in material(language, "train", "m").attributes]
    assert sum(named) / len(named) < 0.15 and shares["train"] > 0.3 and shares["test"] == 0


def test_the_tail_of_short_conversations_is_no_error():
    for turns in ((1, 1), (2, 2), (2, 3)):
        for index in range(200):
            conversation = generate(replace(SPEC, turns=turns), "en", "train", 0, index)
            assert turns[0] <= len(conversation.interactions) <= turns[1]


def test_questions_lie_at_the_distances_that_are_asked_for():
    spec = replace(SPEC, turns=(9, 14), distances=(2, 8), again=0.0)
    distances = Counter(
        probe.distance
        for index in range(800)
        for probe in generate(spec, "en", "test", 0, index).probes
        if probe.kind != "unknown" and probe.tag != "two-facts"
    )
    assert set(distances) <= {2, 8} and min(distances.values()) > 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plain_conversation_says_one_fact_per_turn_and_replies_in_one_wording(language):
    frame, acknowledgement = ANSWERS[language], PLAIN_ACKNOWLEDGEMENTS[language]
    kinds: Counter[str] = Counter()
    for index in range(300):
        conversation = generate(replace(SPEC, plain=1.0, distract=0.0), language, "train", 5, index)
        for probe in conversation.probes:
            turn = conversation.interactions[probe.turn]
            told = conversation.interactions[probe.turn - probe.distance]
            quote = quoted(told.query, language)
            room = len(quote) < SPEC.characters // 2  # a longer one is quoted if the question is short
            if probe.kind == "unknown":
                assert turn.answer == REFUSALS[language]
            elif quotable(told.query) and (room or turn.answer == quote) and not stale(told.query, probe):
                assert turn.answer == quote
                kinds["quoted"] += 1
            elif turn.answer != frame.format(value=probe.gold[0]):
                part = turn.answer.removeprefix(quoted("", language).removesuffix(".")).strip()
                assert part.rstrip(".!") in told.query and probe.kind == "update" and not stale(part, probe)
                kinds["clause"] += 1
            assert probe.tag in ("", "never-told", "told-later", "somebody-else")
            assert probe.kind == "unknown" or told.answer == acknowledgement
            kinds[probe.kind] += 1
    assert min(kinds[kind] for kind in ("recall", "update", "unknown")) > 50
    assert kinds["quoted"] + kinds["clause"] > 0.9 * (kinds["recall"] + kinds["update"]) and kinds["clause"] > 20


def stale(text, probe):
    return any(contains(text, value) for value in probe.forbidden)


QUOTE = {"en": re.compile(r"You told me:\n(.+)"), "pl": re.compile(r"Twoje słowa:\n(.+)")}


def test_a_quote_is_a_part_of_the_turn_that_told_the_fact_and_holds_no_other_value_that_was_told(conversations):
    quotes, clauses, changed, asked = 0, 0, 0, 0
    for conversation, probe in questions(conversations):
        answer = conversation.interactions[probe.turn].answer
        found = QUOTE[conversation.language].findall(answer)
        asked += probe.kind != "unknown" and not probe.tag
        told = [turn.query for turn in conversation.interactions[: probe.turn]]
        for quote in found:
            assert any(quote.rstrip(".!…") in query for query in told)
            assert not any(contains(quote, value) for value in probe.forbidden)
        if found and not probe.tag:
            (quote,), query = found, told[probe.turn - probe.distance]
            assert quote.rstrip(".!…") in query and any(contains(quote, gold) for gold in probe.gold)
            quotes += 1
            clauses += len(quote) < len(query) - 1
            changed += probe.kind == "update"
    assert 0.8 * FRAMED < quotes / asked < FRAMED + 0.02
    assert changed > 0.05 * quotes
    assert clauses > 0.1 * quotes


@pytest.mark.parametrize(
    ("sentence", "english", "polish"),
    [
        ("Mam 3 koty", "You told me:\nMam 3 koty.", "Twoje słowa:\nMam 3 koty."),
        ("Mam 3 koty.", "You told me:\nMam 3 koty.", "Twoje słowa:\nMam 3 koty."),
        ("Mam „Maltę”!", "You told me:\nMam „Maltę”!", "Twoje słowa:\nMam „Maltę”!"),
    ],
)
def test_a_quote_is_the_sentence_with_an_end_mark(sentence, english, polish):
    assert (quoted(sentence, "en"), quoted(sentence, "pl")) == (english, polish)
    assert closed(english) == english and closed(polish) == polish
    assert quotable(sentence) == sentence and not quotable("Mam 3 koty, a ty?")


@pytest.mark.parametrize(
    ("text", "new", "quote"),
    [
        ("Actually 6:50, not 8:50.", "6:50", "Actually 6:50"),
        ("Did I say 8:50? I meant 6:50.", "6:50", "I meant 6:50"),
        ("6:50, I mean, not 8:50.", "6:50", "6:50"),
        ("Change 8:50 to 6:50, please.", "6:50", "6:50"),
        ("Not 8:50: 4 Mill Lane, Leeds", "4 Mill Lane, Leeds", "4 Mill Lane, Leeds"),
        ("Blue tea, I mean, not 8:50", "blue tea", "Blue tea"),
        ("Było „8:50”, jest „6:50”.", "6:50", "jest „6:50”"),
        ("I said 8:50, but please note 6:50.", "6:50", "but please note 6:50"),
        ("Correction: a cook, not 8:50.", "a cook", "a cook"),
        ("Sprawdziłem i to nie 8:50, a 6:50", "6:50", "a 6:50"),
    ],
)
def test_a_clause_tells_the_new_value_without_the_old_one(text, new, quote):
    assert clause(text, new, "8:50") == quote


def test_a_mark_inside_a_value_ends_no_clause():
    text = "Skreśl „ul. Wiązowa 31” i wpisz „ul. Jarzębinowa 123”."
    assert clause(text, "ul. Jarzębinowa 123", "ul. Wiązowa 31") == "ul. Jarzębinowa 123"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{a}, and {b}.", "and "),
        ("{a} i {b}.", "i "),
        ("{a}, and besides, {b}.", ""),
        ("{a} - {b}.", ""),
        ("{a}, {b}.", ""),
    ],
)
def test_a_conjunction_belongs_to_the_clause_behind_it(pattern, words):
    assert joint(pattern) == words


@pytest.mark.parametrize(
    ("text", "sentence", "quote"),
    [
        ("By the way, my code is 4182.", "my code is 4182.", " my code is 4182."),
        ("My code is 4182, yours is not.", "My code is 4182", "My code is 4182"),
        ("Drop “4182” for “4183”.", "4183", "4183"),
        ("It is 4182 now.", "", ""),
    ],
)
def test_a_quote_from_inside_a_turn_keeps_its_blank(text, sentence, quote):
    assert as_said(text, sentence) == quote


@pytest.mark.parametrize(
    ("sentence", "word", "short"),
    [
        ("The drill is due on {value}.", "drill", "the drill on {value}"),
        ("Dr Roman treats my {value}.", "Dr Roman", ""),
        ("{owner} drives {value}.", "{owner}", "{owner} {value}"),
        ("Pralka przyjedzie w {value}.", "pralka", "pralka w {value}"),
        ("The drill costs {value} now.", "drill", ""),
        ("I bought the drill for {value}.", "drill", ""),
        ("{owner} rang because of {value}.", "{owner}", ""),
        ("{owner} zawsze prosi o to samo, ulubione danie to {value}.", "{owner}", ""),
    ],
)
def test_the_second_half_of_a_contrast_has_no_verb(sentence, word, short):
    assert without_verb(sentence, word) == short


def test_two_facts_of_one_kind_are_contrasted_and_asked_for_by_their_halves(monkeypatch):
    said = []
    real = Phrasing.contrast
    monkeypatch.setattr(Phrasing, "contrast", lambda self, told: said.append(real(self, told)) or said[-1])
    conversations = [generate(SPEC, "en", "train", 3, index) for index in range(600)]
    halves = {half.removesuffix(".") for both in said if both for half in both}
    asked = [conversation.interactions[probe.turn].answer for conversation, probe in questions(conversations)]
    quotes = [quote.removesuffix(".") for answer in asked for quote in QUOTE["en"].findall(answer)]
    assert len(halves) > 40 and len(halves.intersection(quotes)) > 15
