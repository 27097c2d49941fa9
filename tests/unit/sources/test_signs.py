"""What a text may begin with and still is a text: prose that looks like mail, subtitles, XML or code for a line."""

import time

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.formats.mail import POSTMARK
from tokenization.sources.seen import Seen
from tokenization.sources.signs import are_subtitles, is_mail, root_of, unread_text
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read


def reads(path, **more) -> tuple[list[str], list[Rejected], list[str]]:
    """Return the texts, what was rejected, and the formats."""
    source = Source(name="mine", kind="files", language="en", licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    bad = [one for one in found if isinstance(one, Rejected)]
    return [one for one in found if isinstance(one, str)], bad, list(seen.files)


MESSAGE = "From: Anna <a@b.pl>\nSubject: the flood\n\nThe water is gone.\n"


@pytest.mark.parametrize(
    "head",
    [
        MESSAGE,
        MESSAGE.replace("\n", "\r\n"),
        "Received: by host;\n\tsome time\nDate: Mon, 1 Jan 2024 10:00:00 +0100\n\nThe water is gone.\n",
        f"From a@b.pl Thu Jan  1 10:00:00 1998\n{MESSAGE}",
        f"From - Thu Jan 01 10:00:00 +0000 1998\r\n{MESSAGE}",
        f"From a@b.pl Thu, 1 Jan 1998 10:00:00\n{MESSAGE}",
    ],
)
def test_mail_is_told(tmp_path, head):
    (tmp_path / "a.txt").write_bytes(head.encode())
    assert is_mail(head.encode()) and reads(tmp_path)[::2] == (["The water is gone."], ["mail"])


@pytest.mark.parametrize(
    "head",
    [
        b"HAMLET: To be or not to be.\r\nOPHELIA: Good my lord.\r\n" * 1_000 + b"The end\r\n",
        b"From a " + b"10:30 " * 10_000 + b"\n",
        b"From a " + b"Thu Jan 1 10:30 " * 4_000 + b"\n",
        b"From a Thu Jan  1 10:30" + b" 199" * 10_000 + b"\n",
        b"a: b\n" + b" \t" * 30_000,
        b" " * 60_000,
        b"<?xml " * 10_000,
    ],
)
def test_no_content_takes_long(head):
    begin = time.process_time()
    assert not is_mail(head) and not POSTMARK.match(head) and not are_subtitles(head)
    assert not root_of(head, is_prose=True) and not unread_text(head, True) and not unread_text(head, False)
    assert time.process_time() - begin < 0.5


PROSE = [
    "From: the desk of John Smith\nDate: a letter in the old style\n\nDear reader.\n\n> verse\n\n-- \nThe rest.\n",
    "From Moscow at 10:30 in the year 1917\nNote: a chapter.\n\nThe train left.\n____________________\nThe end.\n",
    "From John 10:30 PM 12 May 2020\nHello: are you there?\n\n> yes\n\nI am here.\n",
    "To: everyone\nFrom: me\nSubject: a play\n\nACT ONE. A room.\n\n-- \nMore of it.\n",
    "From: me\nDate: today\n\none\ntwo\n",
    "[1][2] Footnotes are cited so.\n\nA second paragraph.\n",
    "[1][2]\nA paper with two notes.\n",
    "[1][2] Smith, Essays.\n[3][4] Jones, Letters.\n[5][6] Brown, Poems.\n",
    "{1}{} is the empty set paired with one.\nMore lines.\n",
    "[5][90] falls\n[1][80] and is no time.\n",
    "WEBVTT is a format of subtitles. This essay shows one.\n\n00:01.000 --> 00:03.000\nHello.\n",
    "WEBVTT\n\nAn essay on a format.\n",
    "1\n00:00:01,000 --> 00:00:02,000 is how a title begins.\nThis essay explains SubRip.\n",
    "2020-05-12 10:30 - I woke up.\n\n2020-05-13 10:30 - I slept.\n",
    "12.05.1999, 10:30 - wstałem: padało.\n12.05.1999, 11:30 - poszedłem\n12.05.1999, 12:30 - i wróciłem\n",
    "[2020-05-12 10:30:01] Starting the service\n[2020-05-12 10:30:02] <bob> hello\n",
    "12.05.2024 10:00 - opening, with a talk\n13.05.2024 10:00 - closing\n",
    "\\section is a command of LaTeX. This essay explains it.\n",
    "\\documentclass{book} begins a book.\n",
    "% A comment\n\\input is a macro\n",
    "\\chapter{One}\nA part of a book.\n",
    "[Script Info] is the first section of a file. This text explains it.\n",
    '{"cells": [1, 2]} is an example.\nMore prose.\n',
    "<TEI> is the root of a document. This essay explains it.\n",
    "<mediawiki> stands at the top.\n",
    "<poem> is my favourite.\n",
    "<?xml version='1.0'?> is how each document begins.\n",
    "ORCS came over the hill.\n",
    "ORC\nA book of monsters.\n",
    "Rar! cried the lion.\n",
    "%PDF is the first word of a file.\n",
    "{\\rtf is how RTF begins.\n",
    "FEA1 is the magic number.\n",
    "WARC/ is a format.\n",
    "text, of course, is a word.\n\nThis essay explains it.\n",
    "Image, text, and meaning\n\nA book by somebody, with one comma.\n",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_read_whole_whatever_it_begins_with(tmp_path, text):
    for name in ("a.txt", "a.md"):
        (tmp_path / name).write_text(text)
        assert reads(tmp_path / name) == ([text], [], ["text"])
    lines = text.splitlines(keepends=True)
    texts, bad, kinds = reads(tmp_path / "a.txt", split_by="line")
    assert texts == [line for line in lines if line.strip()] and not bad and kinds == ["text"]


ROWS = [
    ("a.jsonl", '{"cells": [{"a": 1}], "text": "one"}\n{"cells": [], "text": "one"}\n'),
    ("a.jsonl", '{"cells": [{"cell_type": "x"}], "text": "one"}\n{"nbformat": 4, "text": "one"}\n'),
    ("a.json", '{"cells": [{"cell_type": "x"}], "text": "one"}\n{"text": "one"}\n'),
    ("a.json", '{"nbformat": 4, "text": "one"}\n{"text": "one"}\n'),
    ("a", '{"nbformat": 4,\n "cells": [{"cell_type": "x"}], "text": "one"}'),
    ("a.csv", "[12/05/2020 10:30] a: b,text\nx,one\n[12/05/2020 10:30] a: b,one\n"),
    ("a.csv", "\\section{a},text\nx,one\n"),
]


@pytest.mark.parametrize(("name", "content"), ROWS)
def test_rows_are_no_notebooks_and_no_chats(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    texts, bad, _ = reads(tmp_path)
    assert set(texts) == {"one"} and not bad


SURE = [
    ("a.txt", "[Script Info]\n; a comment\nTitle: a\n", "SubStation"),
    ("a.txt", "% a\n\\documentclass[12pt]{book}\n\\begin{document}\n", "LaTeX"),
    ("a.txt", '{"cells": [{"cell_type": "code", "source": []}], "nbformat": 4}', "Jupyter"),
    ("a.txt", "12.05.2023, 10:15 - Messages and calls are end-to-end encrypted.\n", "WhatsApp"),
    ("a.txt", "ORC\x01\x02", "ORC"),
    ("a", "<poem>A text.</poem>", "<poem>"),
    ("a", "<div>Hello there</div>", "neither its content nor its name"),
    ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n\n", "nothing is said"),
]


@pytest.mark.parametrize(("name", "content", "told"), SURE)
def test_what_is_surely_no_text_is_told(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    texts, [bad], _ = reads(tmp_path)
    assert texts == [] and told in bad.detail and ("XML" in bad.detail) == (told == "<poem>")
