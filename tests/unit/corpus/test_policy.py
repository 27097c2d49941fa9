"""Filters tag, and a policy decides: thresholds change without cleaning again."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs.configs.texts import PolicyConfig
from jobs.corpus import cleaning
from jobs.corpus.cleaning import clean_piece
from jobs.corpus.judging import find_repeated, names_of_fates
from jobs.corpus.plan import plan
from jobs.corpus.writing import WriteTask, write_documents
from tests.support.corpus_data import config, corpus_context
from tokenization import batching
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.settings import TAGS, Limits
from tokenization.cleaning.tags import tags
from tokenization.cleaning.words import Words
from tokenization.sources.source import Source

NONE = Benchmark.of([], 13)
PROSE = (
    "The keeper of the lighthouse walked down to the sea that morning, and he found a boat with two men in it. They "
    "had come from the other side of the bay to ask for bread. He gave them what he had. Then he went back. The rain "
    "began again!"
)


def scores(text: str, language: str = "en", benchmark: Benchmark = NONE) -> dict[str, float]:
    found = tags([text], Words([text]), [{}], benchmark, language)
    return {tag: round(float(values[0]), 4) for tag, values in found.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two three. Four five!", {"words": 5, "sentences": 2, "punctuated_lines": 1, "short_lines": 1}),
        ("- a b\n• c d\nplain line of text that goes on for a while…\nend",
         {"bullet_lines": 0.5, "ellipsis_lines": 0.25, "punctuated_lines": 0.25, "lines_per_word": 4 / 15}),
        ("same line\nsame line\nother line", {"repeated_lines": 1 / 3, "repeated_line_characters": 9 / 28}),
        ("1 2 3 four", {"words_with_letters": 0.25, "stop_words": 0}),
        ("the cat and the dog", {"stop_words": 2, "top_2gram": 0}),
        ("na na na na", {"top_2gram": 1.5, "top_3gram": 1.5}),
        ("a b c d e f a b c d e f", {"repeated_5grams": 0.25, "repeated_6grams": 1 / 7, "repeated_7grams": 0}),
        ("if (x) { y(); } Lorem ipsum dolor", {"curly_brackets": 1, "lorem_ipsum": 1}),
        ("This site uses cookies.\nText.\nPlease enable JavaScript", {"boilerplate_lines": 2 / 3}),
    ],
)  # fmt: skip
def test_scores(text, expected):
    found = scores(text)
    assert {tag: found[tag] for tag in expected} == pytest.approx(expected, abs=1e-4)
    assert set(found) == set(TAGS)


def test_scores_of_polish_and_of_benchmarks():
    assert scores("Nie wiem, co się stało w domu.", "pl")["stop_words"] == 3
    secret = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    assert scores(f"here it is: {secret}", benchmark=Benchmark.of([secret], 13))["benchmark"] == 2


@pytest.mark.parametrize(
    ("rules", "text", "reason"),
    [
        (("gopher",), PROSE, None),
        (("gopher",), PROSE[:60], "gopher"),  # too few words
        (("gopher_repetition",), PROSE, None),
        (("gopher_repetition",), f"{PROSE}\n" * 3, "gopher_repetition"),
        (("c4",), PROSE, None),
        (("c4",), f"{PROSE} {{", "c4"),
        (("fineweb",), PROSE, None),
        (("fineweb",), "\n".join(PROSE.replace(".", "").replace("!", "").split(",")), "fineweb"),
        (("boilerplate",), "We use cookies.\nAll rights reserved.", "boilerplate"),
        ((), "We use cookies.\nAll rights reserved.", None),
    ],
)
def test_rule_sets(rules, text, reason):
    policy = FilterPolicy(rules, {})
    found = tags([text], Words([text]), [{}], NONE, "en")
    assert (None, *policy.reasons)[policy.decide(found)[0]] == reason
    assert policy.decide(found)[0] == 0 or FilterPolicy(rules, {}, skip=rules).decide(found)[0] == 0


def test_a_limit_takes_the_place_of_the_rules_on_its_tag():
    found = tags([PROSE], Words([PROSE]), [{}], NONE, "en")
    assert found["words"][0] == 50
    for limits, gone in (({}, False), ({"words": Limits(least=50)}, False), ({"words": Limits(least=51)}, True)):
        policy = FilterPolicy(("gopher",), limits)
        assert (policy.decide(found)[0] > 0) == gone
    assert policy.reasons[policy.decide(found)[0] - 1] == "words"
    with pytest.raises(ValueError, match="least = 3, most = 2: no score fits"):
        Limits(least=3, most=2)


@pytest.fixture
def source(tmp_path):
    """Documents of one to twenty sentences, and two that say the same."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(PROSE.split(), k=12 * (1 + n % 20))).capitalize() + "." for n in range(60)]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[7]]))
    return Source(name="in", kind="files", language="en", licence="none", path=str(path), skip=("repeated",))


def built(folder: Path, settings, earlier=()):
    """Run the tasks of the stage here. Return the reports, the documents and the tags."""
    [task] = plan(corpus_context(folder, earlier=tuple(map(str, earlier))), settings, NONE).tasks
    report = clean_piece(task, b"", NONE)
    [decided] = find_repeated([(f"{task.url}.parquet", report["judged"]["rows"], task.policy)], 0.95)
    files = [f"{folder}/documents-0.parquet", f"{folder}/tags-0.parquet", f"{folder}/documents-0.json"]
    written = WriteTask(task.source, task.policy, f"{task.url}.parquet", report["sha256"], *files)
    write_documents(written, *decided, np.zeros(len(decided[0]), np.int8))
    return report, pq.read_table(files[0]).to_pylist(), pq.read_table(files[1]).to_pylist(), names_of_fates(task.policy)


def test_another_policy_does_not_clean_again_and_gives_what_a_fresh_start_gives(tmp_path, source, monkeypatch):
    plain = config((source,), policy=PolicyConfig(rules=()))
    strict = config((source,), policy=PolicyConfig(rules=("gopher",), limits={"sentences": Limits(most=8)}))
    first, everything, rows, _ = built(tmp_path / "plain", plain)
    assert len(everything) == 60 and {row["fate"] for row in rows} == {"kept", "duplicate"}
    assert [row["similarity"] for row in rows if row["fate"] == "duplicate"] == [1.0]
    rules = first["judged"]["rules"]
    assert rules["gopher: words < 50 or > 100000"] | {"bytes": 0} == {"documents": 12, "bytes": 0, "applied": 0}

    _, fresh, _, _ = built(tmp_path / "fresh", strict)
    monkeypatch.setattr(cleaning, "_Piece", None)  # whoever cleans now fails
    second, strictly, rows, fates = built(tmp_path / "strict", strict, [tmp_path / "plain"])
    assert strictly == fresh and 0 < len(strictly) < 60
    assert second["judged"]["rules"]["gopher: words < 50 or > 100000"]["applied"] == 1
    assert fates == ["kept", "duplicate", "near-duplicate", "benchmark", "gopher", "sentences"]
    assert len(rows) == 61 and [row["id"] for row in rows if row["fate"] == "kept"] == [one["id"] for one in strictly]
    assert sum(row["fate"] == "gopher" for row in rows) == second["judged"]["removed"]["gopher"]["documents"] > 0


def test_what_has_changed_or_is_too_little_is_cleaned_again(tmp_path, source, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_TEXTS", 5)
    built(tmp_path / "first", config((source,)))
    small = replace(source, max_bytes=3_000)
    _, few, _, _ = built(tmp_path / "few", config((small,), policy=PolicyConfig(rules=())))
    cleaned = []
    piece = cleaning._Piece
    monkeypatch.setattr(cleaning, "_Piece", lambda task, *rest: cleaned.append(task.source.name) or piece(task, *rest))
    strict = config((small,), policy=PolicyConfig(rules=("gopher",)))
    _, other, _, _ = built(tmp_path / "other", strict, [tmp_path / "few"])
    assert cleaned == ["in"] and 2_000 < sum(len(one["text"]) for one in other) <= 3_000 and other != few
    loose = config((small,), policy=PolicyConfig(rules=()))
    assert built(tmp_path / "loose", loose, [tmp_path / "other", tmp_path / "few"])[1] == few and cleaned == ["in"]

    masked = config((source,), mask=("email",))
    built(tmp_path / "masked", masked, [tmp_path / "first"])
    assert len(cleaned) == 2
    Path(source.path).write_text(json.dumps({"text": PROSE}))  # the file has changed, and a stale copy is no use
    _, changed, _, _ = built(tmp_path / "changed", config((source,)), [tmp_path / "first"])
    assert len(cleaned) == 3 and [one["text"] for one in changed] == [PROSE]


def test_of_a_corpus_that_grows_only_the_new_source_is_cleaned(tmp_path, source, monkeypatch):
    built(tmp_path / "small", config((source,)))
    (tmp_path / "more.jsonl").write_text(json.dumps({"text": PROSE}))
    more = replace(source, name="more", path=str(tmp_path / "more.jsonl"))
    cleaned = []
    piece = cleaning._Piece
    monkeypatch.setattr(cleaning, "_Piece", lambda task, *rest: cleaned.append(task.source.name) or piece(task, *rest))
    ctx = corpus_context(tmp_path / "grown", earlier=(str(tmp_path / "small"),))
    for task in plan(ctx, config((more, source)), NONE).tasks:
        clean_piece(task, b"", NONE)
    assert cleaned == ["more"]


def test_tags_of_paragraphs_that_went_and_of_what_identifies_people(tmp_path):
    texts = [f"{PROSE}\nTo jest akapit po polsku, który nie powinien tu być, prawda?", f"{PROSE} Write to a.b@c.org."]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    one = Source(name="in", kind="files", language="en", licence="none", path=str(tmp_path / "in.jsonl"))
    report, documents, rows, _ = built(tmp_path / "out", config((one,), mask=("email",)))
    assert rows[0]["foreign_paragraphs"] == pytest.approx(len(texts[0].split("\n")[1]) / len(texts[0]), abs=1e-3)
    assert [row["emails"] for row in rows] == [0, 1] and report["judged"]["pii"]["email"] == {
        "documents": 1,
        "found": 1,
    }
    assert documents[1]["text"].endswith("Write to <EMAIL_ADDRESS>.")
    assert np.isclose(rows[1]["foreign_paragraphs"], 0)
