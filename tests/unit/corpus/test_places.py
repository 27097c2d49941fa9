"""Where files lie: folders, links, names with signs of patterns, and web servers."""

import functools
import gzip
import http.server
import json
import re
import threading
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.processes import SECONDS
from tokenization.sources.source import Source, SourceError
from tokenization.sources.texts import pieces, read


def reads(path, left_out=None) -> list:
    source = Source(name="mine", kind="files", language="en", licence="MIT", path=str(path))
    return [one for piece in pieces(source, left_out) for one in read(source, piece)]


@pytest.fixture
def tree(tmp_path):
    """Make folders as Spark and Hive do, hidden files, links, and names that look like patterns."""
    for name in ("out.parquet/day=1", "out.parquet/_temporary", "[pl] books", "linked", "empty"):
        (tmp_path / name).mkdir(parents=True)
    pq.write_table(pa.table({"text": ["spark"]}), tmp_path / "out.parquet/day=1/part-0")
    for name in (
        "out.parquet/_SUCCESS",
        "out.parquet/day=1/.part-0.crc",
        "out.parquet/_temporary/x",
        "linked/README.md",
    ):
        (tmp_path / name).write_text("no text")
    (tmp_path / "empty" / "_SUCCESS").write_text("")
    (tmp_path / "[pl] books" / "a [1] b*.txt").write_text("brackets")
    (tmp_path / "linked" / "real.txt").symlink_to(tmp_path / "[pl] books" / "a [1] b*.txt")
    (tmp_path / "linked" / "loop").symlink_to(tmp_path)
    return tmp_path


def test_folders_links_and_names_with_signs_of_patterns(tree):
    left_out = []
    assert reads(tree / "out.parquet", left_out) == reads(tree / "*.parquet") == ["spark"] and len(left_out) == 3
    assert reads(tree / "[pl] books" / "a [1] b*.txt") == reads(tree / "[pl] books" / "*.txt") == ["brackets"]
    assert reads(tree / "[pl] books") == reads(tree / "linked" / "*.txt") == ["brackets"]
    assert sorted(reads(tree / "linked")) == ["brackets", "brackets", "spark"]
    assert reads(tree / "**" / "part-*") == ["spark"]


def test_a_place_with_nothing_to_read_says_what_is_there(tree):
    with pytest.raises(
        SourceError, match=r"source mine: no file matches .*; 1 are hidden or about other files, such as"
    ):
        reads(tree / "empty")
    with pytest.raises(SourceError, match="no file matches .*nothing"):
        reads(tree / "nothing")


def test_two_colons_in_a_name_are_no_chain(tmp_path, monkeypatch):
    folder = tmp_path / "a::b"
    folder.mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "other.txt").write_text("of another folder")
    (folder / "std::vector.txt").write_text("in the folder")
    (folder / "zip::of.jsonl.gz").write_bytes(gzip.compress(b'{"text": "packed"}'))
    for path in (folder, folder / "*::*", f"file://{folder}"):
        assert reads(path) == ["in the folder", "packed"]
    assert reads(folder / "std::vector.txt") == reads(f"file://{folder}/std::vector.txt") == ["in the folder"]
    monkeypatch.chdir(folder)
    assert reads("zip::of.jsonl.gz") == reads("./zip::of.jsonl.gz") == ["packed"]
    with pytest.raises(SourceError, match="no file matches"):
        reads(tmp_path / "a::c")


def test_members_of_archives_have_any_names_and_chains_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x::y.txt", "colons")
        archive.writestr("x::z.csv", "body\n1\n")
        archive.writestr("inner.txt", "chained")
    text, bad, chained = reads(tmp_path / "a.zip")
    assert (text, bad.reason, chained) == ("colons", "no column", "chained")
    for path in (f"zip://inner.txt::{tmp_path}/a.zip", f"zip://inner.txt::file://{tmp_path}/a.zip"):
        assert reads(path) == ["chained"]


@pytest.mark.parametrize("password", ["a/b", "a?b", "a#b"])
def test_a_password_that_hides_the_host_is_told_how_to_be_written(password):
    with pytest.raises(SourceError, match=r"its host cannot be told; .* written %2F"):
        reads(f"http://jan:{password}@127.0.0.1:1/a.txt")


@pytest.fixture
def web(tmp_path):
    """Serve a folder on loopback by a server that knows no ranges."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(SECONDS)


def test_a_web_server_is_read_as_a_disk_is(web, caplog):
    folder, url = web
    rows = [f"row {n} " + "x" * 400 for n in range(20_000)]  # more than a file system of fsspec fetches at once
    lines = "".join(json.dumps({"text": row}) + "\n" for row in rows).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines, 1))
    pq.write_table(pa.table({"text": rows}), folder / "a.parquet")
    (folder / "b.txt").write_text("a text")
    for name in ("a.jsonl?token=x&y=[1]", "a.jsonl.gz", "a.parquet"):
        assert reads(f"{url}/{name}") == rows
    assert reads(f"{url}/b.txt") == ["a text"] and reads(f"{url}/*.txt") == ["a text"]
    with pytest.raises(SourceError, match=r"no file matches .*none\.txt: 404"):
        reads(f"{url}/none.txt")
    assert not caplog.records


def test_an_index_that_can_be_sorted_is_no_document(web):
    folder, url = web
    (folder / "a.txt").write_text("a text")
    (folder / "index.html").write_text(
        '<html><body><a href="?C=N;O=D">Name</a> <a href="a.txt">a.txt</a></body></html>'
    )
    assert reads(f"{url}/") == reads(f"{url}/*") == ["a text"]


def test_a_folder_of_the_web_needs_no_slash_at_its_end(web):
    folder, url = web
    (folder / "corpus" / "deep").mkdir(parents=True)
    (folder / "corpus" / "a.txt").write_text("a text")
    (folder / "corpus" / "deep" / "b.txt").write_text("another text")
    for path in ("corpus", "corpus/", "corp*", "corpus/**"):
        assert reads(f"{url}/{path}") == ["a text", "another text"], path


def test_a_page_to_whose_address_the_server_adds_a_slash_is_a_page(web):
    folder, url = web
    (folder / "article").mkdir()
    told = "The old fisherman repaired a wooden boat by the river in the morning. " * 3
    (folder / "article" / "index.html").write_text(
        f'<html><title>A boat</title><body><article><p>{told}<a href="a.txt">a.txt</a></p></article></body></html>'
    )
    (folder / "article" / "a.txt").write_text("a text")
    [text] = reads(f"{url}/article")
    assert text.startswith("The old fisherman") and text.endswith("a.txt")


@pytest.fixture
def answers():
    """Serve on loopback: each path is the status that it gets; a redirect leads to itself."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path.strip("/").partition(".")[0]))
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(SECONDS)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("500.txt", "cannot open .*500.txt: the server answers 500 Internal Server Error"),
        ("429.txt", "cannot open .*429.txt: the server answers 429 Too Many Requests"),
        ("401.txt", "cannot open .*401.txt: the server answers 401 Unauthorized"),
        ("302.txt", r"cannot open .*302.txt: the server sends from one address to another without end"),
        ("404.txt", "no file matches .*404.txt: 404"),
        ("503/", "cannot open .*503/: 503"),
        ("503/*.txt", "cannot open .*503/.*: 503"),
    ],
)
def test_a_web_server_with_trouble_is_no_missing_file(answers, path, told):
    with pytest.raises(SourceError, match=told):
        reads(f"{answers}/{path}")


def test_a_relative_path_that_is_not_there_tells_where_it_was_looked_for(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a text")
    monkeypatch.chdir(tmp_path)
    assert reads("a.txt") == ["a text"]
    for path in ("b.txt", "b*"):
        with pytest.raises(SourceError, match=f"no file matches {re.escape(path)} in {re.escape(str(tmp_path))}"):
            reads(path)
    with pytest.raises(SourceError, match=f"no file matches {tmp_path}/b.txt$"):
        reads(tmp_path / "b.txt")
