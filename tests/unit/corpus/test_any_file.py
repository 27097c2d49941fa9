"""Files as people have them: format, compression and encoding are told from their content, or they are refused."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenization.quarantine import Rejected
from tokenization.sources import growth, listing
from tokenization.sources.formats import json_items
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

POLISH = "Zażółć gęślą jaźń, bo się ściemnia."
HTML = f"<!doctype html><html><body><nav><a href=/>Menu</a></nav><article><p>{POLISH}</p></article></body></html>"
ROWS = [{"text": POLISH, "id": 1}, {"text": "drugi", "id": 2}]


def reads(path, language="pl", **more) -> tuple[list[str], list[str], dict[str, int]]:
    """Return the texts, why other input was rejected, and the files by kind."""
    source = Source(name="mine", kind="files", language=language, licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    return (
        [one for one in found if isinstance(one, str)],
        [one.reason for one in found if isinstance(one, Rejected)],
        seen.as_dict()["files"],
    )


def arrow(new) -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(ROWS)
    with new(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(rows=ROWS) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = f'id,text\n1,"{POLISH}"\n2,drugi\n'.encode()
CONTENTS = {
    "jsonl": LINES,
    "json": json.dumps(ROWS, indent=1).encode(),
    "csv": TABLE,
    "tsv": f"id\ttext\n1\t{POLISH}\n2\tdrugi\n".encode(),
    "parquet": parquet(),
    "arrow": arrow(pa.ipc.new_file),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_rows_of_every_format_without_an_ending_compressed_or_not(tmp_path, kind):
    for number, content in enumerate((CONTENTS[kind], gzip.compress(CONTENTS[kind]))):
        (tmp_path / f"part-0000{number}").write_bytes(content)
    assert reads(tmp_path) == ([POLISH, "drugi"] * 2, [], {kind: 2})


def test_arrow_streams_objects_one_after_another_and_tables_of_excel(tmp_path):
    (tmp_path / "1.arrow").write_bytes(arrow(pa.ipc.new_stream))
    (tmp_path / "2.json").write_text("\n".join(json.dumps(row, indent=2) for row in ROWS))
    (tmp_path / "3.csv").write_bytes(f'id;text\r\n1;"{POLISH}\r\nI ""nic"""\r\n2\r\n'.encode("cp1250"))
    texts, bad, files = reads(tmp_path)
    assert texts == [POLISH, "drugi"] * 2 + [f'{POLISH}\r\nI "nic"'] and bad == ["not a table"]
    assert files == {"arrow": 1, "csv in cp1250": 1, "json": 1}


def test_an_item_of_json_that_is_no_document_ends_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_items, "MOST_BYTES", 1_000_000)
    (tmp_path / "a.json").write_text(json.dumps([*ROWS, {"text": "x" * 2_000_000}, *ROWS]))
    assert reads(tmp_path) == ([POLISH, "drugi"], ["too long"], {"json": 1})


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":"}\\"]",'])
def test_an_item_of_json_that_is_nested_too_deep_ends_its_file(tmp_path, opening):
    bracketed = json.dumps(
        [{"text": POLISH + "[{" * 2000}, *ROWS], ensure_ascii=False
    )  # brackets of texts nest nothing
    (tmp_path / "a.json").write_text(bracketed[:-1] + ", " + opening * 50_000)  # 5 GB, if it were parsed
    texts, why, _ = reads(tmp_path)
    assert texts[1:] == [POLISH, "drugi"] and texts[0].startswith(POLISH) and why == ["not JSON"]


def test_pages_of_html_and_of_a_crawl_give_their_main_text(tmp_path):
    (tmp_path / "page.html").write_text(HTML)
    (tmp_path / "old.html").write_bytes(HTML.replace("<body>", "<meta charset=iso-8859-2>").encode("iso8859-2"))
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=windows-1250\r\n\r\n" + HTML.encode("cp1250")
    picture = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG"
    records = b""
    for number, content in enumerate((page, picture)):
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nContent-Type: application/http"
        )
        records += gzip.compress(f"{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n\r\n")
    (tmp_path / "crawl.warc.gz").write_bytes(records)
    assert reads(tmp_path) == ([POLISH] * 3, ["not text"], {"html": 1, "html in iso8859-2": 1, "warc": 1})


def test_members_of_archives_are_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        members = {"1.jsonl": LINES, "sub/2.csv.gz": gzip.compress(TABLE), "p": parquet(), "__MACOSX/x.txt": b"no"}
        for name, content in members.items():
            file.writestr(name, content)
    packed = (tmp_path / "a.zip").read_bytes()
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as file:
        for name, content in {"x [1].txt": b"in a tar", "a.zip": packed}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    texts, bad, files = reads(tmp_path)
    assert texts == [POLISH, "drugi"] * 3 + ["in a tar"] and bad == ["unknown format"]
    assert files == {"csv": 1, "jsonl": 1, "parquet": 1, "text": 1}


def packed(kind: str, members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(fileobj=sink, mode="w") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return sink.getvalue()


@pytest.mark.parametrize("archive", ["zip", "tar"])
@pytest.mark.parametrize(("format", "content"), [("jsonl", LINES), ("csv", TABLE), ("text", POLISH.encode())])
def test_a_stated_format_is_that_of_the_members_of_an_archive(tmp_path, archive, format, content):
    (tmp_path / f"a.{archive}").write_bytes(packed(archive, {"1": content, "2.dat": content}))
    once = [POLISH] if format == "text" else [POLISH, "drugi"]
    assert reads(tmp_path, format=format) == (once * 2, [], {format: 2})


@pytest.mark.parametrize("archive", ["zip", "tar"])
def test_a_stated_document_may_lie_in_an_archive(tmp_path, archive):
    document = packed("zip", {"word/document.xml": f'<d xmlns:w="w"><w:p><w:t>{POLISH}</w:t></w:p></d>'.encode()})
    (tmp_path / "1.docx").write_bytes(document)
    (tmp_path / f"2.{archive}").write_bytes(packed(archive, {"1.docx": document, "2.docx": document, "3": b"no"}))
    assert reads(tmp_path, format="docx") == ([POLISH] * 3, ["unknown format"], {"docx": 3})


def test_a_member_that_grows_without_measure_is_refused_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "RATIO_FROM", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.txt", b"a" * 1_000_000)
        file.writestr("small.txt", b"a text")
    assert reads(tmp_path) == (["a text"], ["unreadable"], {"text": 1})


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress} | {
    ending: partial(pa.compress, codec=codec, asbytes=True) for ending, codec in (("zst", "zstd"), ("lz4", "lz4"))
}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("form", ["txt", "tar"])
def test_a_file_that_grows_without_measure_is_refused(tmp_path, monkeypatch, ending, form):
    content = b"a" * (1 << 22)
    if form == "tar":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as file:
            info = tarfile.TarInfo("a.txt")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        content = packed.getvalue()
    (tmp_path / f"a.{form}.{ending}").write_bytes(PACKERS[ending](content))
    monkeypatch.setattr(growth, "RATIO_FROM", 10_000)
    texts, bad, _ = reads(tmp_path)
    assert sum(map(len, texts)) < 1 << 22 and "unreadable" in bad


@pytest.mark.parametrize("encoding", ["cp1250", "iso8859_2", "cp852", "utf-16", "utf-16-le", "utf-8-sig"])
def test_encodings_are_told_or_stated(tmp_path, encoding):
    text = "Pewnego dnia zapukał do drzwi nieznajomy człowiek.\nPowiedział, że szuka brata, który zaginął.\n"
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert reads(tmp_path / "a.txt")[:2] == reads(tmp_path / "a.txt", encoding=encoding)[:2] == ([text], [])
    lines = [f"{line}\n" for line in text.splitlines()]
    assert reads(tmp_path / "a.txt", split_by="line")[:2] == (lines, [])


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        ("It’s a café, isn’t it?", ("cp1252", "mac_roman")),
        ("The café in São Paulo took £5.", ("cp1252", "latin-1", "iso8859_15")),
        ("The café was full, and the naïve señor paid £5.", ("cp1252", "mac_roman", "cp850", "cp437")),
        ("Fräulein Müller wrote a résumé.", ("cp1252", "mac_roman", "cp850", "cp437")),
    ],
)
def test_short_english_texts_are_read_in_their_encoding(tmp_path, text, encodings):
    for encoding in encodings:
        (tmp_path / "a.txt").write_bytes(text.encode(encoding))
        assert reads(tmp_path, language="en")[0] == [text], encoding


@pytest.mark.parametrize("language", ["en", "pl"])
def test_the_byte_ff_alone_makes_no_text_of_dos(tmp_path, language):
    """There it is a no-break space, but it stands in what is no text: in a line of a text or of JSON."""
    (tmp_path / "a.txt").write_bytes(b"Some prose.\n\xff\n")
    assert reads(tmp_path / "a.txt", language=language)[:2] == ([], ["unknown encoding"])
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "Some prose."}\n\xff\n')
    assert reads(tmp_path / "b.jsonl", language=language)[:2] == (["Some prose."], ["not UTF-8"])


REFUSED = {
    "notes": b"Some prose without an ending.",
    "a.pdf": b"%PDF-1.4 and more",
    "a": bytes(range(256)),
    "a.xyz": b"\xff\xd8\xff",
    "russian.txt": "Привет, как дела? Хорошо.".encode("koi8_r"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_of_no_known_format_or_encoding_is_refused_and_not_read_as_text(tmp_path, name):
    (tmp_path / name).write_bytes(REFUSED[name])
    texts, bad, _ = reads(tmp_path / name)
    reasons = ("format not read",) if name == "a.pdf" else ("unknown format", "unknown encoding")
    assert texts == [] and bad[0] in reasons


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.parquet", "a.zip", "a.tar.gz"])
def test_a_page_in_place_of_data_is_refused(tmp_path, name):
    """A server asks for a password, or says that the file has gone."""
    (tmp_path / name).write_text(HTML)
    assert reads(tmp_path) == ([], ["unknown format"], {})
    (tmp_path / name).rename(tmp_path / "a.txt")
    assert reads(tmp_path) == ([POLISH], [], {"html": 1})


def test_a_stated_format_is_taken_and_columns_are_mapped(tmp_path):
    (tmp_path / "notes").write_text("Prose.")
    assert reads(tmp_path / "notes", format="text")[0] == ["Prose."]
    (tmp_path / "rows").write_text('{"body": "b", "text": "t"}\n{"text": "t"}\n')
    assert reads(tmp_path / "rows", columns={"text": "body"})[:2] == (["b"], ["no column"])
    for setting in ({"encoding": "latin-99"}, {"columns": {"body": "text"}}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            reads(tmp_path / "rows", **setting)


@pytest.mark.parametrize("name", ["texts.json", "texts"])
def test_an_array_of_texts_is_one_document_each(tmp_path, name):
    (tmp_path / name).write_text(json.dumps([POLISH, None, 3, "drugi"]))
    texts, rejected, kinds = reads(tmp_path / name)
    assert texts == [POLISH, "drugi"] and rejected == ["not JSON"] * 2 and kinds == {"json": 1}


@pytest.mark.parametrize("layout", [{"indent": 1}, {}])
def test_an_array_or_an_object_over_lines_is_told_whatever_its_name(tmp_path, layout):
    for name in ("a.jsonl", "a.txt", "a.csv"):
        (tmp_path / name).write_text(json.dumps(ROWS, **layout))
        assert reads(tmp_path / name) == ([POLISH, "drugi"], [], {"json": 1})
    (tmp_path / "b.jsonl").write_text("[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n")
    assert reads(tmp_path / "b.jsonl") == ([POLISH, "drugi"], [], {"json": 1})
    long = {"text": POLISH * 9_000}
    for name in ("c.txt", "c.md", "c.csv"):
        for rows in ([ROWS[0], long], [long, ROWS[0]]):
            (tmp_path / name).write_text("\n".join(json.dumps(row, indent=1) for row in rows))
            assert reads(tmp_path / name) == ([row["text"] for row in rows], [], {"json": 1})
    (tmp_path / "d.jsonl").write_text(json.dumps(ROWS) + "\n" + LINES.decode())
    assert reads(tmp_path / "d.jsonl") == ([POLISH, "drugi"], ["not JSON"], {"jsonl": 1})


TABLES = [
    ("a.tsv", 'id\ttext\n1\t"To be\n2\tThat is\n3\t"Who? he\n', ['"To be', "That is", '"Who? he'], []),
    ("a.tsv", 'id\ttext\n1\t"To be,\n2\tor not"\n3\t"Quo vadis" is\n', ['"To be,', 'or not"', '"Quo vadis" is'], []),
    ("a.tsv", 'id\ttext\n1\t"a ""b""\n\tc"\n2\td\n', ['a "b"\n\tc', "d"], []),
    ("a.tsv", 'text\nHello, you\n"To\nbe"\n', ["Hello, you", "To\nbe"], []),
    ("a.csv", 'id,text\n2,"Good\n3,Third\n4,"x\ny"\n5,"Quo" is\n', ["Third", "x\ny", '"Quo" is'], ["line 2"]),
    ("a.csv", 'id,text\n2,"Good\n3,Third row\n4,Fourth\n', ["Third row", "Fourth"], ["line 2"]),
    ("a.csv", 'id, text\n1, "Hello, my friend"\n2, a\rb\n', ["Hello, my friend", " a\rb"], []),
    ("a.csv", '"id,text\n1,a\n', [], ["the whole"]),
    ("a.csv", 'id,text\n1,"He said \\"yes\\", and left."\n2,"A \\"b\\""\n', ['He said "yes", and left.', 'A "b"'], []),
    ("a.csv", 'id,text\n1,"a\\\\b \\"c\\""\n2,"C:\\"\n', ['a\\b "c"', "C:\\"], []),
    ("a.csv", 'id,text\n1,"the \\"end\\""\n2,"x\\""\n3,"y"\n', ['the "end"', 'x"', "y"], []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "texts", "rejected"), TABLES)
def test_quotes_of_tables_never_merge_rows(tmp_path, name, content, texts, rejected):
    (tmp_path / name).write_bytes(content.encode())
    source = Source(name="mine", kind="files", language="en", licence="MIT", path=str(tmp_path))
    found = [one for piece in pieces(source) for one in read(source, piece)]
    assert [one for one in found if isinstance(one, str)] == texts
    assert [one.place for one in found if isinstance(one, Rejected)] == rejected


def test_the_names_of_columns_are_in_the_encoding_of_their_file(tmp_path):
    (tmp_path / "a.csv").write_bytes(f"id;treść\r\n1;{POLISH}\r\n".encode("cp1250"))
    assert reads(tmp_path, columns={"text": "treść"}) == ([POLISH], [], {"csv in cp1250": 1})


def version_7(header: bytes) -> bytes:
    """Return a header of a tar as Version 7 of Unix wrote it: without a sign, the owners' names and what follows."""
    plain = header[:148] + b" " * 8 + header[156:257] + bytes(255)
    return plain[:148] + b"%06o\0 " % sum(plain) + plain[156:]


def test_tars_of_version_7(tmp_path):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name in ("a.txt", "b.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(POLISH.encode())
            file.addfile(info, io.BytesIO(POLISH.encode()))
    content = sink.getvalue()
    for place in (0, 1024):  # of the headers; a text has 512 bytes
        content = content[:place] + version_7(content[place : place + 512]) + content[place + 512 :]
    assert b"ustar" not in content
    (tmp_path / "1").write_bytes(content)
    (tmp_path / "2.tar.gz").write_bytes(gzip.compress(content))
    assert reads(tmp_path) == ([POLISH] * 4, [], {"text": 4})
    (tmp_path / "3").write_bytes(content[:148] + b"000000" + content[154:])
    assert reads(tmp_path / "3") == ([], ["unknown format"], {})


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_what_is_no_archive_is_told_from_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0" * 10_240)
    assert reads(tmp_path) == ([], ["unknown format"], {})


def test_objects_after_an_array_are_not_lost_in_silence(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(ROWS) + "\n" * 70_000 + LINES.decode())
    (tmp_path / "b.json").write_text(json.dumps([{**row, "tags": [["]"], {}]} for row in ROWS]) + json.dumps(ROWS))
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(tmp_path))
    found = [one for piece in pieces(source) for one in read(source, piece)]
    [bad] = [one for one in found if isinstance(one, Rejected)]
    assert [one for one in found if one is not bad] == [POLISH, "drugi"] * 3
    assert bad.place == "item 2" and "after the array" in bad.detail and bad.file.endswith("a.json")


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_numbers_that_json_does_not_have_are_null(size):
    rows = [{"text": 'NaN, "NaN": NaN\\\\', "n": float("nan")}, {"text": '\\"', "n": [float("-inf"), -1]}] * 20
    counted = json_items._Counted(io.BufferedReader(io.BytesIO(json.dumps(rows).encode())))
    read = b"".join(iter(lambda: counted.read(size), b""))
    assert json.loads(read) == json.loads(json.dumps(rows), parse_constant=lambda _: None)


def test_rows_with_nan_and_after_a_mark_are_read(tmp_path):
    rows = [{"n": float("nan"), "text": POLISH}, {"text": float("nan")}, {"n": float("inf"), "text": "drugi"}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.jsonl").write_text(
        "".join("\ufeff" * (n == 2) + json.dumps(row) + "\n" for n, row in enumerate(rows))
    )
    (tmp_path / "c.parquet").write_bytes(parquet([{"text": POLISH}]))
    assert reads(tmp_path)[:2] == ([POLISH, "drugi"] * 2 + [POLISH], ["null"] * 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1250", "utf-16"])
def test_lines_may_end_in_a_carriage_return_alone(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(listing, "PIECE_BYTES", 40)
    rows = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    for name, lines in {
        "a.csv": ["id,text", f'1,"{POLISH}"', "2,drugi"],
        "b.jsonl": rows,
        "c.txt": [POLISH, "drugi"],
    }.items():
        (tmp_path / name).write_bytes("".join(f"{line}\r" for line in lines).encode(encoding))
    texts, rejected, _ = reads(tmp_path, split_by="line")
    assert [text.strip() for text in texts] == [POLISH, "drugi"] * 3 and rejected == []
