"""Sources of kind `files` and `hub`, on odd files of public schemas: what is read, and in which pieces."""

import bz2
import gzip
import json
import lzma
import random
import resource
from collections.abc import Callable

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.quarantine import Rejected
from tokenization.sources import listing
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces, read


def files(path: str, column: str = "text", **more) -> Source:
    return Source(name="web", kind="files", language="en", licence="MIT", path=path, columns={"text": column}, **more)


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


def by_arrow(codec: str) -> Callable[[bytes], bytes]:
    """Compress with Arrow's codec, as the codec's command line tool does."""

    def compress(content: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return sink.getvalue().to_pybytes()

    return compress


COMPRESSIONS = {"bz2": bz2.compress, "xz": lzma.compress, "gz": gzip.compress,
                "zst": by_arrow("zstd"), "lz4": by_arrow("lz4"), "br": by_arrow("brotli")}  # fmt: skip


@pytest.mark.parametrize(("ending", "compress"), COMPRESSIONS.items(), ids=COMPRESSIONS)
@pytest.mark.parametrize("name", ["x.jsonl", "x.txt", "x.parquet"])
def test_compressed_files_of_all_formats(tmp_path, name, ending, compress):
    content = {"x.jsonl": jsonl({"text": "a"}), "x.txt": b"a", "x.parquet": parquet({"text": ["a"]})}[name]
    (tmp_path / f"{name}.{ending}").write_bytes(compress(content))
    assert texts(files(f"{tmp_path}/*.{ending}")) == ["a"]


def test_nested_wildcards_find_files_of_any_depth_format_and_compression(tmp_path, monkeypatch):
    folders = ["a", "a/b", "a/b/c", "d"]
    expected = {}
    for number, (folder, (ending, compress)) in enumerate(
        (folder, one) for folder in folders for one in [("", bytes), *((f".{e}", c) for e, c in COMPRESSIONS.items())]
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        rows = [f"text {number} {row}" for row in range(50)]
        name, content = [
            ("x.jsonl", jsonl(*({"text": row} for row in rows))),
            ("x.txt", "\n\n".join(rows).encode()),
            ("x.parquet", parquet({"n": list(range(50)), "text": rows}, row_group_size=7)),
        ][number % 3]
        (tmp_path / folder / f"{name}{ending}").write_bytes(compress(content))
        expected[f"{folder}/{name}{ending}"] = rows
    monkeypatch.setattr(listing, "PIECE_BYTES", 500)
    for pattern, prefix in (("**/*.*", ""), ("a/**/x*", "a/"), ("*/b/**/*", "a/b/")):
        source = files(f"{tmp_path}/{pattern}", split_by="paragraph")
        paths = [path for path in sorted(expected) if path.startswith(prefix)]
        assert [text.strip() for text in texts(source)] == [row for path in paths for row in expected[path]]
        assert rejected(source) == []


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compressed_parquet_that_is_cut_off_or_no_parquet_is_rejected(tmp_path, ending):
    content = COMPRESSIONS[ending](parquet({"text": [str(random.Random(n).random()) for n in range(5_000)]}))
    (tmp_path / f"1.parquet.{ending}").write_bytes(content[: len(content) // 2])
    (tmp_path / f"2.parquet.{ending}").write_bytes(COMPRESSIONS[ending](b"no Parquet at all"))
    assert rejected(files(f"{tmp_path}/*")) == [("after 0 rows", "unreadable")] * 2


def test_no_room_for_a_decompressed_file_is_not_the_fault_of_the_file(tmp_path):
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(parquet({"text": ["a" * 100_000]}, compression="none")))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))  # stops a write as a full disk does
    try:
        with pytest.raises(OSError, match="File too large"):
            texts(files(f"{tmp_path}/x.parquet.gz"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rows_of_parquet_are_decoded_by_their_bytes(monkeypatch):
    sizes = []

    class Spy(pq.ParquetFile):
        def iter_batches(self, *arguments, **more):
            for batch in super().iter_batches(*arguments, **more):
                sizes.append((len(batch), batch.nbytes))
                yield batch

    big = [f"{n}" + random.Random(n).randbytes(100_000).hex() for n in range(100)]  # 20 MB
    monkeypatch.setattr("tokenization.sources.formats.parquet.pq.ParquetFile", Spy)
    put("memory://e/big.parquet", parquet({"other": ["x" * 10] * 100, "text": big}))
    assert texts(files("memory://e/big.parquet")) == big
    assert max(size for _, size in sizes) < 4.5e6 and len(sizes) == 5
    put("memory://e/small.parquet", parquet({"text": ["small"] * 3_000}))
    assert len(texts(files("memory://e/small.parquet"))) == 3_000
    assert [rows for rows, _ in sizes[5:]] == [1024, 1024, 952]


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


def test_plain_text_is_a_document_or_cut_at_lines_or_at_empty_lines_and_where_it_has_none_at_a_line_end(tmp_path):
    (tmp_path / "x.txt").write_text("one\ntwo\n\n \nthree")
    assert texts(files(f"{tmp_path}/*.txt")) == ["one\ntwo\n\n \nthree"]
    assert texts(files(f"{tmp_path}/*.txt", split_by="line")) == ["one\n", "two\n", "three"]
    assert texts(files(f"{tmp_path}/*.txt", split_by="paragraph")) == ["one\ntwo\n", "three"]
    (tmp_path / "x.txt").write_text("First.\n\u00a0\nSecond.\n\u00a0\u2003\nThird.\n")
    for split_by in ("line", "paragraph"):
        source = files(f"{tmp_path}/x.txt", split_by=split_by)
        assert texts(source) == ["First.\n", "Second.\n", "Third.\n"] and rejected(source) == []
    (tmp_path / "x.txt").write_text("ten bytes\n" * 300_000)
    cut = texts(files(f"{tmp_path}/x.txt", split_by="paragraph"))
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
    source = files(f"{tmp_path}/*{name}", split_by="paragraph")
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
    monkeypatch.setattr(listing, "PIECE_FILES", 10)
    assert [len(piece) for piece in pieces(files(f"{tmp_path}/*.txt"))] == [10, 10, 10]


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
    source = Source(name="hub", kind="hub", language="en", licence="MIT", path=dataset_folder)
    assert texts(source) == [row["text"] for row in rows if row["text"]] == ["a", "ź"]


def test_datasets_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match="source hub: cannot read dataset .*nothing"):
        pieces(Source(name="hub", kind="hub", language="en", licence="MIT", path=str(tmp_path / "nothing")))
