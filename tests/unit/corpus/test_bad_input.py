"""Whatever text the world holds: each bad piece is named with its place, and what surrounds it is read."""

import gzip
import json
import os
import random
import time
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.feather import write_feather

from tokenization.files.storage import write_json
from tokenization.quarantine import MOST_BYTES, Quarantine, Rejected
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read


def found(path, column="text", **more) -> tuple[list[str], list[Rejected]]:
    source = Source(
        name="web", kind="files", language="en", licence="MIT", path=str(path), columns={"text": column}, **more
    )
    all_of_it = [item for piece in pieces(source) for item in read(source, piece)]
    return [i for i in all_of_it if isinstance(i, str)], [i for i in all_of_it if isinstance(i, Rejected)]


def brief(rejected: list[Rejected]) -> list[tuple[str, str]]:
    return [(bad.place, bad.reason) for bad in rejected]


def test_bad_json_lines(tmp_path):
    lines = [
        b'{"text": "first"}', b"\xff\xfe{}", b'{"text": "\\u0000"}', b'{"text": ', b"[1]", b"", b'{"body": 1}',
        b'{"text": null}', b'{"text": " "}', b'{"text": ["x"]}', b'{"text": "\\ud800"}', b"[" * 100_000, b"17",
        b'{"text": "\x00"}', b'{"text": "\\ud83d\\ude80 ok"}', b'{"text": "last"}',
    ]  # fmt: skip
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    texts, bad = found(tmp_path / "x.jsonl")
    assert texts == ["first", "\ufffd", "\ufffd", "\ufffd", "🚀 ok", "last"]
    assert [each.reason for each in bad] == [
        "not UTF-8", "NUL", "not JSON", "not JSON", "no column", "null", "empty", "not text", "not UTF-8", "not JSON",
        "not JSON", "NUL",
    ]  # fmt: skip
    assert bad[0].place == f"byte {len(lines[0]) + 4}" and "'body'" in bad[4].detail and "list" in bad[7].detail


def test_rows_may_end_in_a_comma(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "first"},\n{"text": "second,"} , \r\n{"text": "third"},,\n')
    texts, bad = found(tmp_path / "x.jsonl")
    assert texts == ["first", "second,"] and brief(bad) == [("byte 43", "not JSON")]
    (tmp_path / "x.jsonl").rename(tmp_path / "x.txt")
    assert found(tmp_path / "x.txt")[0] == texts


def test_a_paragraph_with_a_bad_line_goes_as_a_whole_and_alone(tmp_path):
    content = b"\xed\xa0\xbd\ntwo\n\na\0b\nzwei\n\nthr\xc4\x99e\n\n\xff\n\nfour"
    (tmp_path / "x.txt").write_bytes("ża\n".encode() + content)
    texts, bad = found(tmp_path / "x.txt", split_by="paragraph")
    assert texts == ["thręe\n", "four"]
    assert brief(bad) == [("byte 4", "not UTF-8"), ("byte 13", "NUL"), ("byte 31", "not UTF-8")]
    assert bad[2].excerpt == "\\xff\n"


def test_a_document_with_bad_bytes_says_where_the_first_is_and_marks_them_all(tmp_path):
    (tmp_path / "x.txt").write_bytes("żółw\ngęś\nlis ".encode() + b"\xff\n\xff\nend")
    texts, bad = found(tmp_path / "x.txt")
    assert texts == ["żółw\ngęś\nlis \ufffd\n\ufffd\nend"] and brief(bad) == [("byte 18", "not UTF-8")]


def test_a_nul_or_half_a_letter_costs_no_document(tmp_path):
    (tmp_path / "1.txt").write_text("one\n\ntw\0o\n\nthree")
    (tmp_path / "2.jsonl").write_text('{"text": "one\\n\\ntw\\ud800o"}\n')
    texts, bad = found(tmp_path)
    assert texts == ["one\n\ntw\ufffdo\n\nthree", "one\n\ntw\ufffdo"]
    assert brief(bad) == [("the whole", "NUL"), ("byte 0", "not UTF-8")]


def test_bad_values_in_parquet(tmp_path):
    values = [b"good", b"\xb1\xe6", None, b"", b"a\0b", "żółć".encode(), b"\xed\xa0\x80"]
    binary = pa.array(values, pa.binary())
    text = pa.StringArray.from_buffers(len(values), *binary.buffers()[1:], binary.buffers()[0])
    pq.write_table(pa.table({"text": text}), tmp_path / "x.parquet")
    texts, bad = found(tmp_path / "x.parquet")
    assert texts == ["good", "a\ufffdb", "żółć"]
    assert brief(bad) == [("row 1", "not UTF-8"), ("row 2", "null"), ("row 3", "empty"), ("row 4", "NUL"),
                          ("row 6", "not UTF-8")]  # fmt: skip


@pytest.mark.parametrize("name", ["x.jsonl", "x.txt", "x.txt.gz"])
def test_a_line_of_100_mb_takes_little_memory(tmp_path, name):
    opened = gzip.open(tmp_path / name, "wb", 1) if name.endswith("gz") else open(tmp_path / name, "wb")
    first, last = (b'{"text": "before"}', b'{"text": "after"}') if "json" in name else (b"This is before", b"after")
    some = random.Random(0).randbytes(30_000).hex().encode()  # so that the file does not grow without measure
    with opened as file:
        for part in (first, b"\n\n", *[some.ljust(1_000_000, b"x")] * 100, b"\n\n", last, b"\n"):
            file.write(part)
    tracemalloc.start()
    texts, bad = found(tmp_path / name, split_by="paragraph")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert brief(bad) == [(f"byte {len(first) + 2}", "too long")]
    assert "100,000,001 bytes" in bad[0].detail and len(bad[0].excerpt) == 80
    assert [text.split()[-1] for text in texts] == ["before", "after"]
    assert peak < 4 * MOST_BYTES


def test_text_columns_missing_renamed_or_of_another_type(tmp_path):
    for number, columns in enumerate(
        [{"text": ["a"]}, {"body": ["b"], "id": [1]}, {"text": [1]}, {"text": ["c"], "text_": [1]}, {"text": [["d"]]}]
    ):
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    texts, bad = found(tmp_path / "*.parquet")
    assert texts == ["a", "c"]
    assert [(each.file[-9:], each.reason) for each in bad] == [(f"{n}.parquet", "no column") for n in (1, 2, 4)]
    assert "'body', 'id'" in bad[0].detail and "int64" in bad[1].detail and "list" in bad[2].detail


def test_a_compressed_file_of_nothing_is_empty(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b""))
    assert brief(found(tmp_path)[1]) == [("the whole", "empty")] * 2


@pytest.mark.parametrize("left", [-9, 3_000])
def test_a_truncated_gzip_is_read_as_far_as_it_goes(tmp_path, left):
    random.seed(0)
    rows = [json.dumps({"text": f"{n} {random.random()}"}) for n in range(2_000)]
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode())[:left])
    (tmp_path / "2.jsonl").write_text('{"text": "next"}\n')
    texts, bad = found(tmp_path / "*.jsonl*")
    assert texts[:-1] == [json.loads(row)["text"] for row in rows[: len(texts) - 1]] and texts[-1] == "next"
    assert brief(bad) == [(f"after {len(texts) - 1:,} rows", "unreadable")] and "EOFError" in bad[0].detail


@pytest.mark.parametrize("write", [pq.write_table, write_feather])
def test_two_columns_of_a_name_are_refused_in_parquet_and_arrow(tmp_path, write):
    table = pa.Table.from_arrays([pa.array([word]) for word in ("one", "two", "three")], names=["text", "text", "id"])
    write(table, str(tmp_path / "x.parquet"))
    texts, [bad] = found(tmp_path / "x.parquet")
    assert texts == [] and bad.reason == "not a table" and "two columns have the name 'text'" in str(bad)


def damaged_parquet(path, at: float) -> None:
    rows = [f"row {n} " + "".join(random.Random(n).choices("abcdef", k=200)) for n in range(900)]
    pq.write_table(pa.table({"text": rows}), path, row_group_size=300, compression="none", write_page_checksum=True,
                   use_dictionary=False)  # fmt: skip
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    path.write_bytes(content)


def test_a_corrupt_page_costs_its_row_group_and_a_corrupt_footer_its_file(tmp_path):
    damaged_parquet(tmp_path / "1.parquet", at=0.5)
    damaged_parquet(tmp_path / "2.parquet", at=0.99999)
    (tmp_path / "3.parquet").write_bytes(b"")
    (tmp_path / "4.parquet").write_bytes(b"PAR1 broken")
    texts, bad = found(tmp_path / "*.parquet")
    assert [text.split()[1] for text in texts] == [*map(str, range(300)), *map(str, range(600, 900))]
    whole = ("after 0 rows", "unreadable")
    assert brief(bad) == [("rows 300 to 599", "unreadable"), whole, ("the whole", "empty"), whole]
    assert [each.file[-9:] for each in bad] == [f"{n}.parquet" for n in (1, 2, 3, 4)]


def test_a_file_that_vanished_is_told_from_one_that_is_damaged(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}))
    source = Source(name="web", kind="files", language="en", licence="MIT", path=f"{tmp_path}/*.jsonl")
    [piece] = pieces(source)
    (tmp_path / "b.jsonl").unlink()
    first, bad, last = read(source, piece)
    assert (first, last) == ("a", "c") and bad.reason == "gone" and bad.file.endswith("b.jsonl")


def test_quarantine_is_json_lines_with_counts(tmp_path):
    with open(tmp_path / "q", "w+b") as file:
        quarantine = Quarantine("web", file)
        quarantine.add(Rejected("f.jsonl", "byte 7", "not JSON", "why", 'ź "\n'))
        quarantine.add(Rejected("g.jsonl", "the whole", "gone"))
    lines = [json.loads(line) for line in (tmp_path / "q").read_text().splitlines()]
    assert lines[0] == {"source": "web", "file": "f.jsonl", "place": "byte 7", "reason": "not JSON", "detail": "why",
                        "excerpt": 'ź "\n'}  # fmt: skip
    assert quarantine.counts == {"not JSON": 1, "gone": 1} and quarantine.gone == ["g.jsonl"]


def test_bytes_and_names_of_files_that_are_not_utf_8_are_escaped_in_records(tmp_path):
    name = os.fsdecode(b"z\xb3y.csv")
    (tmp_path / name).write_bytes("id,text\n1,Zażółć\n".encode() + b"2,\xb3\xf3w, dwa\n")
    texts, [bad] = found(tmp_path)
    with open(tmp_path / "q", "w+b") as file:
        Quarantine("web", file).add(bad)
    write_json(f"{tmp_path}/report.json", {"left_out": [bad.file]})
    assert texts == ["Zażółć"] and bad.excerpt == "2,\\udcb3\\udcf3w,dwa"
    assert json.loads((tmp_path / "q").read_text())["file"] == bad.file == f"file://{tmp_path}/{name}"
    assert json.loads((tmp_path / "report.json").read_text()) == {"left_out": [bad.file]}


def test_many_tiny_documents_are_read_fast(tmp_path):
    count = 100_000
    (tmp_path / "x.jsonl").write_text("".join(f'{{"text": "tiny {n}"}}\n' for n in range(count)))
    began = time.process_time()
    texts, bad = found(tmp_path / "x.jsonl")
    assert len(texts) == count and not bad
    assert time.process_time() - began < 5  # 50 s for a million, at most; about 6 s are usual
