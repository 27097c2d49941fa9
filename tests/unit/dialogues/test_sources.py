"""Small copies of published conversation data sets: written with exactly their schemas, and read from local files,
through `datasets`, and from another file system."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.conversations import sources
from tokenization.conversations.adapters import ADAPTERS, detect
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import copies, partitions_of, read_conversations
from tokenization.quarantine import Rejected
from tokenization.records import Conversation, Interaction
from tokenization.sources.source import SourceError

TEXT = pa.string()
PAIR = pa.struct({"query": TEXT, "answer": TEXT})
TURNED = pa.struct({"answer": TEXT, "query": TEXT})
TOOLS = pa.struct(dict.fromkeys(("query", "think", "answer", "tool_call", "tool_response", "internal"), TEXT))
ANSWER = pa.struct({"think": TEXT, "answer": TEXT, "tool_call": TEXT})
HEADER = pa.struct({"accept-language": TEXT, "user-agent": TEXT})
MESSAGE = pa.struct(
    {"content": TEXT, "country": TEXT, "hashed_ip": TEXT, "header": HEADER, "language": TEXT, "redacted": pa.bool_(),
     "role": TEXT, "toxic": pa.bool_()}
)  # fmt: skip
NAMED = {"query": "q {}", "answer": "a {}"}


def pair(n) -> dict[str, str]:
    return {name: text.format(n) for name, text in NAMED.items()}


def message(role: str, content: str) -> dict:
    """Make a message as published, with fields that identify people."""
    private = {"hashed_ip": "5e5", "country": "PL", "header": {"accept-language": "pl", "user-agent": "x"}}
    return private | {"role": role, "content": content, "language": "Polish", "toxic": False, "redacted": False}


# adapter -> schema and rows of one file after another; the files of one data set do not always agree
PUBLISHED: dict[str, list[tuple[dict[str, pa.DataType], list[dict]]]] = {
    "query_answer": [({"query": TEXT, "answer": TEXT, "answer_length": pa.int64()}, [pair(n) for n in range(5)])],
    "first_turn_plus_interactions": [
        (
            {"query": TEXT, "answer": TEXT, "interactions": pa.list_(PAIR), "system": pa.null()},
            [pair(n) | {"interactions": [pair(n + 1)]} for n in range(3)],
        ),
        (
            {"system": TEXT, "interactions": pa.list_(TURNED), "query": TEXT, "answer": TEXT},
            [pair(9) | {"interactions": [pair(8), pair(7)], "system": "Be kind."}, pair(6) | {"interactions": []}],
        ),
    ],
    "interactions": [
        (
            {"interactions": pa.list_(TOOLS), "system": TEXT, "text_to_filter": TEXT},
            [
                {"interactions": [pair(0) | {"think": "hm", "tool_call": "{}"}, {"tool_response": "5", "answer": "5!"}],
                 "system": "Use tools.", "text_to_filter": "q"},
                {"interactions": [pair(1) | {"think": ""}]},
            ],
        ),
        ({"interactions": pa.list_(PAIR), "lang": TEXT}, [{"interactions": [pair(2)], "lang": "pl"}]),
    ],
    "message_rows": [
        (
            dict.fromkeys(("message_id", "parent_id", "message_tree_id", "text", "role", "lang"), TEXT)
            | {"rank": pa.int64(), "deleted": pa.bool_()},
            [
                {"message_id": f"{role}{tree}", "parent_id": parent and f"{parent}{tree}", "role": role,
                 "message_tree_id": f"t{tree}", "text": f"{role} {tree}", "lang": "pl-PL"}
                for tree in range(3)
                for role, parent in (("prompter", None), ("assistant", "prompter"))
            ],
        )
    ],
    "messages": [
        (
            dict.fromkeys(("conversation_id", "role", "content", "lang"), TEXT),
            [
                {"conversation_id": chat and f"c{chat}", "role": role, "content": f"{role} {chat}"}
                for chat in (None, 1, 2)
                for role in ("system", "user", "assistant")
            ],
        )
    ],
    "chat": [
        (
            {"conversation_hash": TEXT, "conversation": pa.list_(MESSAGE)},
            [{"conversation": [message("user", "Cześć"), message("assistant", "Dzień dobry")]}],
        )
    ],
    "preference_pairs": [
        (
            {"interactions": pa.list_(pa.struct({"query": TEXT, "accepted": ANSWER, "rejected": ANSWER}))},
            [{"interactions": [{"query": "q", "accepted": {"answer": "yes"}, "rejected": {"answer": "no"}}]}],
        )
    ],
}  # fmt: skip


def publish(folder: str, adapter: str) -> None:
    for number, (schema, rows) in enumerate(PUBLISHED[adapter]):
        table = pa.Table.from_pylist(rows, schema=pa.schema(schema))
        with fsspec.open(f"{folder}/train-{number}.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=2)


def source(path: str, adapter: str = "query_answer", kind: str = "files", **more) -> ConversationSource:
    return ConversationSource(
        name="talks", kind=kind, language="en", path=str(path), adapter=adapter, licence="CC0-1.0", **more
    )


def read(source: ConversationSource) -> list[Conversation | Rejected]:
    return [found for partition in partitions_of(source) for found in read_conversations(partition)]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_published_schemas_read_alike_wherever_they_lie(adapter, tmp_path):
    publish(str(tmp_path), adapter)
    publish(f"memory://published/{adapter}", adapter)
    local = read(source(f"{tmp_path}/*.parquet", adapter))
    listed = [row for _, rows in PUBLISHED[adapter] for row in rows 
              if row.get("parent_id") is None and row.get("role") not in ("user", "assistant")]  # fmt: skip
    assert len(local) == len(listed) and all(isinstance(one, Conversation) for one in local)
    assert len({one.id for one in local}) == len(local)
    assert read(source(f"memory://published/{adapter}/train-*.parquet", adapter)) == local
    turns = [[turn for turn in one.interactions if not turn.is_system_prompt] for one in local]
    for row, found in zip(listed, turns, strict=True):
        told, first = row.get("interactions", []), "query" in row or "interactions" not in row
        expected = len(row["conversation"]) // 2 if "conversation" in row else len(told) + first
        assert len(found) == expected


def test_a_data_set_by_name_is_read_as_datasets_reads_it(tmp_path):
    """Rows that `datasets` itself loads are the reference. It cannot load files that disagree."""
    import datasets

    cache = str(tmp_path / "cache")
    for adapter in ("query_answer", "interactions", "first_turn_plus_interactions"):
        folder = str(tmp_path / adapter)
        (tmp_path / adapter).mkdir()
        publish(folder, adapter)
        found = read(source(folder, adapter, kind="hub"))
        assert found == read(source(f"{folder}/*", adapter))
        try:
            rows = datasets.load_dataset(folder, split="train", cache_dir=cache)
        except datasets.exceptions.DatasetGenerationError:
            assert len(PUBLISHED[adapter]) > 1
        else:
            assert len(PUBLISHED[adapter]) == 1
            assert [one.interactions for one in found] == [tuple(ADAPTERS[adapter].convert(row)) for row in rows]
    with pytest.raises(SourceError, match="no part 'validation'; there is 'train'"):
        partitions_of(source(tmp_path / "query_answer", kind="hub", part="validation"))
    with pytest.raises(SourceError, match="cannot read dataset"):
        partitions_of(source(tmp_path / "nowhere", kind="hub"))


def test_what_identifies_people_is_not_even_read(tmp_path, monkeypatch):
    publish(str(tmp_path), "chat")
    seen: list[dict] = []
    monkeypatch.setitem(ADAPTERS, "chat", replace(ADAPTERS["chat"], convert=lambda row: seen.append(row) or []))
    read(source(f"{tmp_path}/*.parquet", "chat"))
    assert seen[0].keys() == {"conversation"}
    assert seen[0]["conversation"][0].keys() == {"content", "language", "redacted", "role", "toxic"}


def test_the_null_column_is_where_other_rows_have_text(tmp_path):
    publish(str(tmp_path), "first_turn_plus_interactions")
    found = read(source(f"{tmp_path}/*.parquet", "first_turn_plus_interactions"))
    assert [one.interactions[0].is_system_prompt for one in found] == [False, False, False, True, False]
    assert found[3].interactions[1:] == tuple(Interaction(**pair(n)) for n in (9, 8, 7))


@pytest.mark.parametrize("kind", [pa.null(), pa.list_(pa.null())])
def test_a_column_in_which_no_row_has_anything(tmp_path, kind):
    rows = [pair(0) | {"interactions": None}, pair(1) | {"interactions": None}]
    schema = pa.schema({"query": TEXT, "answer": TEXT, "interactions": kind})
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    found = read(source(tmp_path / "a.parquet", "first_turn_plus_interactions"))
    assert [one.interactions for one in found] == [(Interaction(**pair(n)),) for n in range(2)]


def test_json_lines_with_bad_ones_among_them(tmp_path):
    lines = [
        json.dumps(pair(1)), "{broken", "[1]", "", json.dumps({"query": "q"}), '{"query": "\\ud800", "answer": "a"}',
        "[" * 100_000, json.dumps(pair(2) | {"lang": "de"}), json.dumps(pair(3), ensure_ascii=False),
    ]  # fmt: skip
    with gzip.open(tmp_path / "talks.jsonl.gz", "wb") as file:
        file.write(
            "\n".join(lines).encode() + b"\n\xff\xfe\n" + b"x" * (17 << 20) + b"\n" + json.dumps(pair(4)).encode()
        )
    found = read(source(tmp_path / "talks.jsonl.gz"))
    assert [one.interactions[0].query for one in found if isinstance(one, Conversation)] == ["q 1", "q 3", "q 4"]
    begins = [f"byte {sum(len(line.encode()) + 1 for line in lines[:number])}" for number in range(len(lines) + 1)]
    rejected = [one for one in found if isinstance(one, Rejected)]
    assert [(one.place, one.reason) for one in rejected[:-1]] == [
        (begins[1], "not JSON"), (begins[2], "not JSON"), (begins[4], "no answer"),
        (begins[5], "not UTF-8"), (begins[6], "not JSON"), (begins[7], "another language"),
        (begins[9], "not UTF-8"),
    ]  # fmt: skip
    assert (rejected[-1].reason, rejected[-1].detail) == ("too long", f"a line of {(17 << 20) + 1:,} bytes")
    assert {one.excerpt for one in rejected} == {""}  # where anything may stand


def test_a_row_on_which_the_code_fails_costs_itself_alone(tmp_path, monkeypatch):
    def failing(row):
        return ["q"[len(row["query"]) - 3] and Interaction(row["query"], row["answer"])]

    monkeypatch.setitem(ADAPTERS, "query_answer", replace(ADAPTERS["query_answer"], convert=failing))
    rows = [pair(1), {"query": "quite long", "answer": "a"}, pair(2)]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, rejected, last = read(source(tmp_path / "talks.jsonl"))
    assert (first.interactions[0].query, last.interactions[0].query) == ("q 1", "q 2")
    assert (rejected.reason, rejected.detail) == ("not understood", "IndexError: string index out of range")
    assert detect(rows[1:2]) == "chat"  # which reads it


@pytest.mark.parametrize("name", ["talks.jsonl", "talks.parquet"])
def test_long_files_are_cut_and_every_row_is_read_once(tmp_path, monkeypatch, name):
    rows = [pair(n) | {"interactions": [pair(n)] * (n % 9), "other": "x" * (n * 7 % 90)} for n in range(300)]
    if name.endswith("jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name, row_group_size=7)
    data_set = source(tmp_path / name, "first_turn_plus_interactions")
    whole = read(data_set)
    monkeypatch.setattr(sources, "SLICE_BYTES", 3_000)
    sizes = [one.slice.size for one in partitions_of(data_set)]
    assert len(sizes) > 5 and max(sizes) - min(sizes) <= 1
    assert read(data_set) == whole and [one.interactions[0].query for one in whole] == [f"q {n}" for n in range(300)]


def test_text_that_is_not_utf_8_costs_its_row(tmp_path):
    bad = pa.array([b"q 0", b"q \xb1", b"q 2"], pa.binary())
    query = pa.StringArray.from_buffers(3, *bad.buffers()[1:])
    told = pa.ListArray.from_arrays(
        pa.array([0, 1, 2, 3], pa.int32()), pa.StructArray.from_arrays([query, query], ["query", "answer"])
    )
    pq.write_table(pa.table({"interactions": told}), tmp_path / "a.parquet")
    first, rejected, last = read(source(tmp_path / "a.parquet", "interactions"))
    assert (first.interactions[0].query, last.interactions[0].answer) == ("q 0", "q 2")
    assert (rejected.place, rejected.reason) == ("row 1", "not UTF-8")


def test_choices_and_pictures_are_read_in_all_formats(tmp_path):
    rows = [
        {"question": "Which?", "choices": ["x", "y"], "answer": 1, "image": None},
        {"question": "What?", "choices": None, "answer": None, "image": {"path": "a.png"}},
    ]
    options = [{"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "B"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    pq.write_table(pa.Table.from_pylist(options), tmp_path / "c.parquet")
    found = read(source(f"{tmp_path}/*", adapter=""))
    reasons = [one.reason for one in found if isinstance(one, Rejected)]
    assert reasons == ["a picture, a video or a sound"] * 2
    assert [one.interactions for one in found if isinstance(one, Conversation)] == [
        (Interaction("Which?\n\nA) x\nB) y", "B) y"),)
    ] * 3


def test_messages_of_a_file_are_one_conversation(tmp_path):
    messages = [
        {"role": role, "content": content}
        for role, content in (("system", "Be brief."), ("user", "q"), ("assistant", "a"), ("user", "r"))
    ]
    (tmp_path / "a.json").write_text(json.dumps(messages[:3], indent=1))
    (tmp_path / "b.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in (*messages, {"role": "assistant", "content": "b"}, 3, *messages[1:3]))
    )
    first, second, rejected, third = read(source(f"{tmp_path}/*", adapter=""))
    prompt, pair = Interaction("", "", internal="Be brief."), Interaction("q", "a")
    assert first.interactions == (prompt, pair) and third.interactions == (pair,)
    assert second.interactions == (prompt, pair, Interaction("r", "b"))
    assert rejected.reason == "not JSON"


SAID = [{"who": "user", "said": "q", "content": "id 1"}, {"who": "assistant", "said": "[a]"}]


def test_the_source_names_fields_of_messages_too(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"msgs": SAID}) + "\n")
    pq.write_table(pa.Table.from_pylist([{"msgs": SAID}]), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text(json.dumps({"msgs": str(SAID)}) + "\n")
    names = {"messages": "msgs", "role": "who", "content": "said"}
    found = read(source(f"{tmp_path}/*", adapter="", columns=names))
    assert [one.interactions for one in found] == [(Interaction("q", "[a]"),)] * 3


@pytest.mark.parametrize("columns", [{}, {"completion": "reply"}])
def test_the_names_of_the_columns_in_a_table_of_tables_are_no_conversation(tmp_path, columns):
    header = f"prompt,{columns.get('completion', 'completion')}\n"
    (tmp_path / "a.csv").write_text(f"{header}one,two\n{header}three,four\n")
    first, rejected, last = read(source(tmp_path / "a.csv", "chat", columns=columns))
    assert (first.interactions, last.interactions) == ((Interaction("one", "two"),), (Interaction("three", "four"),))
    assert (rejected.place, rejected.reason) == ("line 3", "the names of the columns again")


def test_a_message_whose_id_is_a_struct_costs_itself_alone(tmp_path):
    rows = [
        {"message_id": {"a": 1}, "parent_id": None, "role": "prompter", "text": "x"},
        {"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"},
        {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "a"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rejected, found = read(source(tmp_path / "a.jsonl", "message_rows"))
    assert rejected.reason == "not as programs export it" and found.interactions == (Interaction("q", "a"),)


def test_damaged_files_are_rejected_in_their_place(tmp_path):
    whole = "\n".join(json.dumps(pair(n)) for n in range(5000)).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(whole)[:-2000])
    publish(str(tmp_path), "query_answer")
    content = bytearray((tmp_path / "train-0.parquet").read_bytes())
    content[4:60] = b"\0" * 56  # the first page of the first row group
    (tmp_path / "b.parquet").write_bytes(content)
    (tmp_path / "c.parquet").write_bytes(content[:40])
    pq.write_table(pa.table({"prompt": ["q"], "answer": ["a"]}), tmp_path / "d.parquet")
    found = read(source(f"{tmp_path}/*"))
    rejected = {one.file.rpartition("/")[2]: one for one in found if isinstance(one, Rejected)}
    assert {name: one.reason for name, one in rejected.items()} == {
        "a.jsonl.gz": "unreadable", "b.parquet": "unreadable", "c.parquet": "unreadable", "d.parquet": "no column"
    }  # fmt: skip
    assert rejected["b.parquet"].place == "rows 0 to 1"
    assert rejected["d.parquet"].detail == "'query'; it has 'prompt', 'answer'"
    names = Counter(one.interactions[0].query for one in found if isinstance(one, Conversation))
    assert names["q 4"] == 3  # of a, of the sound row group of b, and of train-0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing-*.parquet", "source talks: no file matches"),
        ("none.jsonl", "source talks: no file matches"),
        ("d.parquet", "source talks: no column 'query'; it has 'prompt', 'answer' .the whole of .*d.parquet"),
        ("e.parquet", "source talks: no column 'query' of text; it holds int64"),
        ("f.jsonl", "source talks: not JSON Expecting .* .byte 0 of .*f.jsonl"),
        ("g.jsonl", "source talks: no row in .*g.jsonl"),
    ],
)
def test_a_source_without_anything_to_read_is_an_error(path, message, tmp_path):
    pq.write_table(pa.table({"prompt": ["q"], "answer": ["a"]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"query": [1], "answer": ["a"]}), tmp_path / "e.parquet")
    (tmp_path / "f.jsonl").write_text("broken\nbroken")
    (tmp_path / "g.jsonl").write_text("\n")
    with pytest.raises(SourceError, match=message):
        partitions_of(source(tmp_path / path))


def test_splits_by_hash_of_the_conversation_and_weights_by_another(tmp_path):
    rows = [pair(n) for n in range(2000)]
    pq.write_table(pa.Table.from_pylist(rows + rows[:50]), tmp_path / "a.parquet")
    half = source(tmp_path / "a.parquet", validation_fraction=0.1, test_fraction=0.2, weight=1.5)
    found = read(half)
    assert [one.split for one in found[:50]] == [one.split for one in found[2000:]]  # equal ones stay together
    splits = Counter(one.split for one in found[:2000])
    assert 150 < splits["validation"] < 250 and 330 < splits["test"] < 470
    counts = Counter((one.split, copies(half, one)) for one in found[:2000])
    assert set(counts) == {("train", 1), ("train", 2), ("validation", 1), ("test", 1)}
    assert counts["train", 1] / splits["train"] == pytest.approx(0.5, abs=0.05)
    assert {one.split for one in read(replace(half, split="validation"))} == {"validation"}


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_a_list_of_messages_is_a_conversation(suffix, tmp_path):
    said = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}] for n in range(3)]
    lines = "".join(json.dumps(one) + "\n" for one in [*said, []])
    (tmp_path / f"a.{suffix}").write_text(lines if suffix == "jsonl" else json.dumps([*said, []]))
    found = read(source(tmp_path, "chat"))
    assert [one.interactions[0].query for one in found if isinstance(one, Conversation)] == ["q0", "q1", "q2"]
    assert [one.detail for one in found if isinstance(one, Rejected)] == ["not an object"]
