"""What is left out of conversation data sets equals what plain Python finds over whole conversations."""

from __future__ import annotations

import json
import random
from dataclasses import astuple, replace

import numpy as np
import pytest

from jobs.shards.dialogue_manifest import ConversationShard
from jobs.shards.dialogue_sources import SourceReport, add_up
from tokenization.cleaning.benchmark import Benchmark, read_benchmark, write_benchmark
from tokenization.conversations import sources
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.screening import Survey, screens
from tokenization.conversations.sources import (
    Partition,
    key_of,
    partitions_of,
    read_conversations,
    survey,
)
from tokenization.documents import CorpusError
from tokenization.quarantine import Rejected
from tokenization.records import SPLITS, Conversation, Interaction

NO_BENCHMARK = Benchmark.of([], 5)


def data_set(name: str, path, adapter: str = "interactions", **more) -> ConversationSource:
    return ConversationSource(
        name=name, kind="files", language="en", path=str(path), adapter=adapter, licence="CC0-1.0", **more
    )


def write(path, conversations: list[list[tuple[str, str]]]) -> None:
    rows = ({"interactions": [{"query": q, "answer": a} for q, a in turns]} for turns in conversations)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def screened(partitions: list[Partition], benchmark: Benchmark = NO_BENCHMARK) -> list[Partition]:
    found = screens([survey(partition, benchmark) for partition in partitions])
    return [replace(partition, screen=screen) for partition, screen in zip(partitions, found, strict=True)]


def kept(partitions: list[Partition]) -> list[Conversation]:
    """Return what the passes of all splits read."""
    reports = [SourceReport(split, partitions) for split in SPLITS]
    return [conversation for report in reports for conversation in report.read()]


def queries(conversations: list[Conversation]) -> list[str]:
    return sorted(conversation.interactions[0].query for conversation in conversations)


def survey_of(keys: list[int], benchmark: list[int] = ()) -> Survey:
    return Survey(np.array(keys, np.uint64), np.array(benchmark, np.uint64), (), {})


def test_of_equal_keys_the_first_in_the_order_of_the_partitions_stays():
    rng = random.Random(0)
    for _ in range(200):
        keys_of = [[rng.randrange(12) for _ in range(rng.randrange(8))] for _ in range(rng.randrange(5))]
        got = [[key for key in keys if not reason(key)] for keys, reason in
               ((keys, screen.sieve()) for keys, screen in
                zip(keys_of, screens(list(map(survey_of, keys_of))), strict=True))]  # fmt: skip
        seen: set[int] = set()
        expected = [[key for key in keys if not (key in seen or seen.add(key))] for keys in keys_of]
        assert got == expected
    [screen] = screens([survey_of([1, 2, 2], benchmark=[2])])
    reason = screen.sieve()
    assert [reason(key) for key in (1, 1, 2, 2)] == [None, None, "benchmark", "benchmark"]


def test_a_screen_is_told_from_others_by_its_repr():
    """A shard is written again if the repr of its inputs has changed."""
    many = list(range(5_000))  # of so many numpy prints the first and the last
    others = [many, [*many, 7]], [many, many[::-1]], [many, many[:2_500] + many[2_501:]], [many, []], [[], many]
    assert len({repr(screens(list(map(survey_of, keys)))[1]) for keys in others}) == len(others)
    lost = replace(survey_of(many), lost=(Rejected("f", "after 0 rows", "gone"),))
    assert repr(screens([lost])) != repr(screens([survey_of(many)]))
    assert repr(screens([survey_of([1], [1])])) != repr(screens([survey_of([1])])) != repr(screens([survey_of([2])]))


def test_equal_conversations_count_once_across_sources_files_slices_and_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SLICE_BYTES", 1_000)
    numbers = random.Random(1).choices(range(60), k=200)
    variants = ("What is number {}?", "what is   number {} !", "“What is Number {}”...")
    spoken = [[(variants[place % 3].format(n), f"It is {n}."), ("Sure?", "Yes.")] for place, n in enumerate(numbers)]
    spoken += [[("?", "👍")], [("!", "👍")], [("?", "👍")], [("Sure?", "Yes."), ("Sure?", "Yes.")], [("Sure?", "Yes.")]]
    for name, some in (("a1", spoken[:90]), ("a2", spoken[90:150]), ("b", spoken[150:])):
        write(tmp_path / f"{name}.jsonl", some)
    by_hash = data_set("a", tmp_path / "a*.jsonl", validation_fraction=0.3, test_fraction=0.3)
    held_out = data_set("b", tmp_path / "b.jsonl", split="test")
    partitions = screened([*partitions_of(by_hash), *partitions_of(held_out)])
    assert len(partitions) > 10
    first = {n: place for place, n in reversed(list(enumerate(numbers)))}
    expected = [variants[place % 3].format(n) for n, place in first.items()] + ["?", "!", "Sure?", "Sure?"]
    found = kept(partitions)
    assert queries(found) == sorted(expected)
    in_b = [conversation.interactions[0].query for conversation in found if conversation.source == "b"]
    assert len(in_b) == 4 + sum(place >= 150 for place in first.values())
    assert len({key_of(conversation) for conversation in found}) == len(found)


def test_variants_are_in_the_same_split_even_where_they_are_not_removed(tmp_path):
    write(tmp_path / "a.jsonl", [[(f"Say {n}, please", "Yes.")] for n in range(200)])
    write(tmp_path / "b.jsonl", [[(f"SAY\n{n}: please", "“yes”")] for n in range(200)])
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    splits = [
        [one.split for partition in partitions_of(data_set(name, tmp_path / f"{name}.jsonl", **fractions))
         for one in read_conversations(partition)]
        for name in "ab"
    ]  # fmt: skip
    assert splits[0] == splits[1] and set(splits[0]) == set(SPLITS)


def test_conversations_that_hold_a_benchmark_go_and_are_told(tmp_path):
    exam = Benchmark.of(["Which of the seven lamps in the old house was green?"], 5)
    said = [
        [("Hello", "Good day"), ("Well?", "it was the seven lamps IN THE... old, house that I saw")],
        [("Which of the seven lamps", "in the old house")],  # from one partition to the next
        [("Which of the seven", "lanterns in the old house")],  # four words in a row
        [("Hello", "Good day")],
        [("HELLO", "good day!")],
    ]
    write(tmp_path / "a.jsonl", said)
    source = data_set("a", tmp_path / "a.jsonl", validation_fraction=0.3, test_fraction=0.3)
    partitions = screened(partitions_of(source), exam)
    assert queries(kept(partitions)) == ["Hello", "Which of the seven"]
    shards = [ConversationShard(split, split, 0, 0, partitions=tuple(partitions)) for split in SPLITS]
    for shard in shards:
        report = SourceReport(shard.split, shard.partitions)
        for conversation in report.read():
            report.count(conversation, [])
        report.write(str(tmp_path / "out"), shard.file)
    [told] = add_up(str(tmp_path / "out"), shards, [source])
    assert {reason: entry["documents"] for reason, entry in told["removed"].items()} == {"benchmark": 2, "duplicate": 1}
    assert told["removed"]["duplicate"] == {"bytes": 15, "documents": 1, "examples": ["HELLO\ngood day!"]}
    assert sum(split["conversations"] for split in told["splits"].values()) == 2


def told_of(folder, source, partition) -> list:
    shards = [ConversationShard(split, split, 0, 0, partitions=(partition,)) for split in SPLITS]
    for shard in shards:
        SourceReport(shard.split, shard.partitions).write(str(folder), shard.file)
    return add_up(str(folder), shards, [source])


def test_characters_are_repaired_and_what_is_left_of_nothing_is_missing(tmp_path):
    code = [("Write it.", "if x:\n    y = [1,\n\t2]")]
    said = [[("zaÅ¼Ã³Å‚Ä‡\u00a0to \r\n? ", "gÄ™Å›"), ("so\u0301l", "gÄ™Å›")], [("q", "\u200b")], code, [("q", "a\0")]]
    write(tmp_path / "a.jsonl", said)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps({"interactions": [{"query": "q", "answer": "a"}], "text": "gÄ™Å›"}) + "\n")
        file.write('{"interactions": ' * 600 + "1" + "}" * 600)
    source = data_set("a", tmp_path / "a.jsonl", validation_fraction=0.3, test_fraction=0.3)
    [partition] = screened(partitions_of(source))
    first, *others, empty, nul, deep = sorted(read_conversations(partition), key=lambda one: isinstance(one, Rejected))
    assert first.interactions == (Interaction("zażółć to\n?", "gęś"), Interaction("sól", "gęś"))
    assert [[(turn.query, turn.answer) for turn in one.interactions] for one in others] == [code, [("q", "a")]]
    assert [one.reason for one in (empty, nul)] == ["no answer", "NUL"]
    assert isinstance(deep, Rejected)  # how deep is too deep depends on the interpreter
    [told] = told_of(tmp_path, source, partition)
    assert told["repaired"] == {
        "composition": {"documents": 1, "examples": []},
        "misread encoding": {"documents": 1, "examples": ["zaÅ¼Ã³Å‚Ä‡\u00a0to \r\n?  → zażółć\u00a0to \r\n? "]},
        "white space": {"documents": 1, "examples": []},
    }


def test_what_identifies_people_is_masked_in_every_part_and_counted_masked_or_not(tmp_path):
    call = {"function": {"name": "mail", "arguments": {"to": "ola@example.org"}}}
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Help jan@example.com."},
                {"role": "user", "content": "Zadzwoń: +48 601 234 567"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "sent to ola@example.org"},
                {"role": "assistant", "content": "PL61 1090 1014 0000 0712 1981 2874, 44051401359"},
            ]
        },
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, 12345."}]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for mask in (("email", "phone", "iban", "pesel"), ()):
        source = data_set("a", tmp_path / "a.jsonl", "chat", split="train", mask=mask)
        [partition] = screened(partitions_of(source))
        said = "\n".join("\n".join(astuple(turn)) for one in read_conversations(partition) for turn in one.interactions)
        marks = {"<EMAIL_ADDRESS>": 3, "<PHONE_NUMBER>": 1, "<IBAN_CODE>": 1, "<PL_PESEL>": 1}
        assert {mark: said.count(mark) for mark in marks} == (marks if mask else dict.fromkeys(marks, 0))
        assert ("example" in said) is (not mask) and "12345" in said
        [told] = told_of(tmp_path, source, partition)
        found = {kind: (counts["conversations"], counts["found"]) for kind, counts in told["pii"].items()}
        assert found == {"email": (1, 3), "phone": (1, 1), "iban": (1, 1), "pesel": (1, 1)}


def test_what_was_lost_when_parts_were_compared_is_told_even_if_it_is_there_again(tmp_path):
    for name in ("1", "2"):
        write(tmp_path / f"{name}.jsonl", [[("Hello", "Good day")]])
    source = data_set("a", tmp_path / "*.jsonl", split="train")
    partitions = partitions_of(source)
    content = (tmp_path / "1.jsonl").read_bytes()
    (tmp_path / "1.jsonl").unlink()
    partitions = screened(partitions)
    report = SourceReport("train", partitions)
    assert len(list(report.read())) == 1 and len(report.gone) == 1
    (tmp_path / "1.jsonl").write_bytes(content)
    report = SourceReport("train", partitions)
    assert len(list(report.read())) == 2 and report.gone == [partitions[0].slice.url]


def test_a_benchmark_comes_back_from_the_corpus_that_has_one(tmp_path):
    (tmp_path / "corpus").mkdir()
    uri = str(tmp_path / "corpus")
    assert not len(read_benchmark(uri).hashes)
    exam = Benchmark.of(["one two three four five six", "too short"], 5)
    write_benchmark(uri, exam)
    found = read_benchmark(uri)
    assert (found.n, found.hashes.tolist()) == (5, exam.hashes.tolist()) and len(found.hashes) == 2
    (tmp_path / "corpus/benchmark.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(CorpusError, match=r"corpus/benchmark\.parquet is damaged"):
        read_benchmark(uri)
