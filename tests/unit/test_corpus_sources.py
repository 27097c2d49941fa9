"""Sources of kind `files` and `hub`, on files of public schemas with their oddities."""

import gzip
import json

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.sources import Source, SourceError, read


def files(path: str, column: str = "text") -> Source:
    return Source("web", "files", "en", path=path, text_column=column)


def put(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(content)


def parquet(columns: dict) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def jsonl(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_json_lines_gzipped_in_memory_in_the_order_of_names():
    put("memory://a/2.jsonl.gz", gzip.compress(jsonl({"text": "three"})))
    put(
        "memory://a/1.jsonl.gz",
        gzip.compress(jsonl({"text": "one", "x": 1}, {"x": 2}, {"text": None}, {"text": "źle"})),
    )
    put("memory://a/other.csv", b"no")
    assert list(read(files("memory://a/*.jsonl.gz"))) == ["one", "źle", "three"]


@pytest.mark.parametrize(
    "text",
    [
        pa.array(["a", None, "", "ź"]),
        pa.array(["a", None, "", "ź"], pa.large_string()),
        pa.array(["a", None, "", "ź"]).dictionary_encode(),
    ],
)
def test_parquet_with_null_and_extra_columns(text):
    put("memory://b/x.parquet", parquet({"system": pa.nulls(4), "text": text, "token_count": [1, 2, 3, 4]}))
    assert list(read(files("memory://b/x.parquet"))) == ["a", "ź"]


def test_parquet_text_of_null_type_has_no_texts():
    put("memory://c/1.parquet", parquet({"text": pa.nulls(2)}))
    put("memory://c/2.parquet", parquet({"text": ["a"], "system": ["b"]}))
    assert list(read(files("memory://c/*.parquet"))) == ["a"]


def test_plain_text_is_cut_at_empty_lines(tmp_path):
    (tmp_path / "x.txt").write_text("one\ntwo\n\n \nthree")
    assert list(read(files(f"{tmp_path}/*.txt"))) == ["one\ntwo\n", "three"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.parquet", parquet({"body": ["a"], "id": [1]}), ["'text'", "'body', 'id'", "x.parquet"]),
        ("x.jsonl", jsonl({"body": "a"}, {"id": 1}), ["'text'", "'body', 'id'", "x.jsonl"]),
        ("x.parquet", parquet({"text": [1, 2]}), ["'text'", "int64", "not text"]),
        ("x.jsonl", jsonl({"text": "a"}, {"text": ["b"]}), ["line 2", "list", "not text"]),
        ("x.jsonl", b'{"text": "a"}\n{"text": \n', ["line 2", "not JSON"]),
        ("x.jsonl", b"[1]\n", ["line 1", "not a JSON object"]),
        ("x.parquet", b"PAR1 broken", ["damaged"]),
        ("x.jsonl.gz", gzip.compress(jsonl({"text": "a" * 999}), mtime=0)[:-9], ["damaged"]),
        ("x.txt", b"\xb1\xe6", ["damaged"]),
    ],
)
def test_what_cannot_be_read_names_source_place_and_trouble(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="source web") as error:
        list(read(files(str(tmp_path / name))))
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("path", ["memory://none/*.jsonl", "memory://none/x.jsonl", "nowhere://x/y.txt"])
def test_missing_files_and_unknown_protocols(path):
    with pytest.raises(SourceError, match="source web.*(none|nowhere)"):
        list(read(files(path)))


@pytest.fixture
def dataset_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "train-0.parquet").write_bytes(parquet({"id": [1, 2], "text": ["a", None], "system": pa.nulls(2)}))
    (tmp_path / "train-1.parquet").write_bytes(parquet({"id": [3], "text": ["ź"], "system": pa.nulls(1)}))
    return str(tmp_path)


def test_datasets_stream_one_column(dataset_folder):
    assert list(read(Source("hub", "hub", "en", path=dataset_folder))) == ["a", "ź"]


def test_datasets_without_the_column_say_what_they_have(dataset_folder):
    with pytest.raises(SourceError, match="no column 'content'.*'id', 'text', 'system'"):
        list(read(Source("hub", "hub", "en", path=dataset_folder, text_column="content")))
    with pytest.raises(SourceError, match="'id' in row 0.*int"):
        list(read(Source("hub", "hub", "en", path=dataset_folder, text_column="id")))


def test_datasets_that_are_not_there(tmp_path):
    with pytest.raises(SourceError, match="source hub: cannot read dataset .*nothing"):
        list(read(Source("hub", "hub", "en", path=str(tmp_path / "nothing"))))
