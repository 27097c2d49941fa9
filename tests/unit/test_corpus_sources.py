"""Sources of kind `files` and `hub`, on files of public schemas with their oddities: what is read, in which pieces."""

import bz2
import gzip
import json
import lzma
import random

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.quarantine import Rejected
from tokenization.sources import Source, SourceError, listing, pieces, read


def files(path: str, column: str = "text") -> Source:
    return Source("web", "files", "en", path=path, text_column=column)


def texts(source: Source) -> list[str]:
    return [text for piece in pieces(source) for text in read(source, piece) if isinstance(text, str)]


def rejected(source: Source) -> list[tuple[str, str]]:
    found = [bad for piece in pieces(source) for bad in read(source, piece) if isinstance(bad, Rejected)]
    return [(bad.place, bad.reason) for bad in found]


def put(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(content)


def parquet(columns: dict, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue().to_pybytes()


def jsonl(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_json_lines_gzipped_in_memory_in_the_order_of_names():
    put("memory://a/2.jsonl.gz", gzip.compress(jsonl({"text": "three"})))
    put("memory://a/1.jsonl.gz", gzip.compress(jsonl({"text": "one", "x": 1}, {"x": 2, "text": "źle"})))
    put("memory://a/other.csv", b"no")
    assert texts(files("memory://a/*.jsonl.gz")) == ["one", "źle", "three"]


@pytest.mark.parametrize(("ending", "compress"), [("bz2", bz2.compress), ("xz", lzma.compress), ("gz", gzip.compress)])
@pytest.mark.parametrize("name", ["x.jsonl", "x.txt", "x.parquet"])
def test_compressed_files_of_all_formats(tmp_path, name, ending, compress):
    content = {"x.jsonl": jsonl({"text": "a"}), "x.txt": b"a", "x.parquet": parquet({"text": ["a"]})}[name]
    (tmp_path / f"{name}.{ending}").write_bytes(compress(content))
    assert texts(files(f"{tmp_path}/*.{ending}")) == ["a"]


@pytest.mark.parametrize(("ending", "codec"), [("zst", "zstd"), ("lz4", "lz4"), ("br", "brotli")])
def test_formats_that_arrow_decodes_are_one_stream_and_a_cut_is_noticed(tmp_path, monkeypatch, ending, codec):
    rows = [f"{n} {random.Random(n).random()}" for n in range(20_000)]
    with pa.output_stream(str(tmp_path / f"x.jsonl.{ending}"), compression=codec) as file:
        file.write(jsonl(*({"text": row} for row in rows)))
    monkeypatch.setattr(listing, "PIECE_BYTES", 1_000)
    source = files(f"{tmp_path}/x.jsonl.{ending}")
    assert len(pieces(source)) == 1 and (texts(source), rejected(source)) == (rows, [])
    content = (tmp_path / f"x.jsonl.{ending}").read_bytes()
    (tmp_path / f"x.jsonl.{ending}").write_bytes(content[: 2 * len(content) // 3])
    found = texts(source)
    assert 0 < len(found) < len(rows) and found == rows[: len(found)]
    assert rejected(source) == [(f"after {len(found):,} rows", "unreadable")]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet_with_null_and_extra_columns(kind):
    text = pa.array(["a", None, "", "ź"]).cast(kind)
    put("memory://b/x.parquet", parquet({"system": pa.nulls(4), "text": text, "token_count": [1, 2, 3, 4]}))
    assert texts(files("memory://b/x.parquet")) == ["a", "ź"]
    assert rejected(files("memory://b/x.parquet")) == [("row 1", "null"), ("row 2", "empty")]


def test_parquet_columns_with_a_point_in_their_name():
    put("memory://d/1.parquet", parquet({"raw": ["b"], "raw.text": ["a"]}))
    assert texts(files("memory://d/*.parquet", "raw.text")) == ["a"]


def test_parquet_text_of_null_type_has_no_texts():
    put("memory://c/1.parquet", parquet({"text": pa.nulls(2)}))
    put("memory://c/2.parquet", parquet({"text": ["a"], "system": ["b"]}))
    assert texts(files("memory://c/*.parquet")) == ["a"]


def test_plain_text_is_cut_at_empty_lines_and_where_it_has_none_at_a_line_end(tmp_path):
    (tmp_path / "x.txt").write_text("one\ntwo\n\n \nthree")
    assert texts(files(f"{tmp_path}/*.txt")) == ["one\ntwo\n", "three"]
    (tmp_path / "x.txt").write_text("ten bytes\n" * 300_000)
    cut = texts(files(f"{tmp_path}/x.txt"))
    assert len(cut) == 3 and "".join(cut) == "ten bytes\n" * 300_000 and len(cut[0]) <= 1 << 20


ROWS = [f"text number {n} " + "ż" * (n * 7 % 90) for n in range(200)]


@pytest.mark.parametrize("size", [100, 1_000, 1 << 20])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.parquet", "a.jsonl.gz"])
def test_pieces_of_any_size_have_every_text_once_and_in_order(tmp_path, monkeypatch, name, size):
    content = {
        "a.jsonl": jsonl(*({"text": row} for row in ROWS)),
        "a.jsonl.gz": gzip.compress(jsonl(*({"text": row} for row in ROWS))),
        "a.txt": "\n\n\n".join(row.replace(" ", "\n", 1) for row in ROWS).encode(),
        "a.parquet": parquet({"n": list(range(200)), "text": ROWS}, row_group_size=7),
    }[name]
    for number in range(2):
        (tmp_path / f"{number}{name}").write_bytes(content)
    source = files(f"{tmp_path}/*{name}")
    monkeypatch.setattr(listing, "PIECE_BYTES", size)
    found = pieces(source)
    assert [text.strip().replace("\n", " ") for text in texts(source)] == [row.strip() for row in ROWS] * 2
    assert rejected(source) == []
    whole = name.endswith("gz") or size > 2 * len(content)
    assert (len(found) > 2) != whole and all(part.stop is None for piece in found for part in piece if whole)


def test_small_files_share_a_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "PIECE_BYTES", 100)
    for number in range(30):
        (tmp_path / f"{number:02d}.txt").write_text("nine char")
    assert [len(piece) for piece in pieces(files(f"{tmp_path}/*.txt"))] == [11, 11, 8]


@pytest.mark.parametrize("path", ["memory://none/*.jsonl", "memory://none/x.jsonl", "nowhere://x/y.txt"])
def test_missing_files_and_unknown_protocols(path):
    with pytest.raises(SourceError, match="source web.*(none|nowhere)"):
        pieces(files(path))


@pytest.fixture
def dataset_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    columns = {"id": [1, 2], "text": ["a", None], "system": pa.nulls(2)}
    (tmp_path / "train-0.parquet").write_bytes(parquet(columns))
    (tmp_path / "train-1.parquet").write_bytes(parquet({"id": [3], "text": ["ź"], "system": pa.nulls(1)}))
    (tmp_path / "test-0.parquet").write_bytes(parquet({"id": [4], "text": ["held out"], "system": pa.nulls(1)}))
    return str(tmp_path)


def test_datasets_are_read_as_their_own_library_does(dataset_folder):
    import datasets

    rows = datasets.load_dataset(dataset_folder, split="train", streaming=True)
    source = Source("hub", "hub", "en", path=dataset_folder)
    assert texts(source) == [row["text"] for row in rows if row["text"]] == ["a", "ź"]


def test_datasets_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match="source hub: cannot read dataset .*nothing"):
        pieces(Source("hub", "hub", "en", path=str(tmp_path / "nothing")))
