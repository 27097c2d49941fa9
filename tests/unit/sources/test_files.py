"""What files hold that is no content of their own: line ends of another kind, and pointers to content elsewhere."""

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

POLISH = "Zażółć gęślą jaźń, bo się ściemnia."


def reads(path) -> tuple[list[str], list[Rejected]]:
    """Return the texts, and what was rejected."""
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(path))
    found = [one for piece in pieces(source) for one in read(source, piece)]
    return [one for one in found if isinstance(one, str)], [one for one in found if isinstance(one, Rejected)]


@pytest.mark.parametrize("lines", ["One.\rTwo.\nThree.\n", "Title\r\rBy someone\r\n\nText.\n", "One.\r\r\nTwo.\r\r\n"])
def test_a_carriage_return_in_the_first_line_costs_no_file(tmp_path, lines):
    (tmp_path / "a.txt").write_bytes(lines.encode())
    [text], rejected = reads(tmp_path)
    assert text.split() == lines.split() and rejected == []
    (tmp_path / "a.txt").write_bytes(b"".join(b"a line\n%b" % lines.encode() for _ in range(2)))
    assert reads(tmp_path)[1] == []


def test_cells_of_a_table_whose_lines_end_in_a_carriage_return_may_have_other_line_ends(tmp_path):
    (tmp_path / "a.csv").write_bytes(f'id,text\r1,"{POLISH}\nDalej."\r2,drugi\r'.encode())
    (tmp_path / "b.csv").write_bytes(f'Tytuł\ni\rdalej\nid,text\n1,"{POLISH}"\n'.encode())
    texts, bad = reads(tmp_path)
    assert texts == [f"{POLISH}\nDalej.", "drugi", POLISH] and [one.reason for one in bad] == ["not a table"] * 2


@pytest.mark.parametrize("name", ["a.parquet", "a.txt", "a.csv", "a.zip", "a", "a.jsonl.gz"])
def test_pointers_to_content_that_was_not_fetched_are_refused(tmp_path, name):
    pointers = {
        "git lfs pull": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n",
        "git annex get": f"/annex/objects/SHA256E-s12345--{'a' * 64}.parquet\n",
    }
    for command, pointer in pointers.items():
        (tmp_path / name).write_text(pointer)
        texts, [bad] = reads(tmp_path)
        assert texts == [] and bad.reason == "format not read" and command in bad.detail
