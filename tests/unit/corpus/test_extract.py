"""Parsers of package formats, on packages built here from made-up text."""

import json
import struct
import zlib

import pytest

from tests.support.text_packages import deb, dictd, r_object, source_archive, wheel
from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.books import decode_quote, fortunes, join_lines, novels
from tokenization.packages.formats.dictionaries import freedict
from tokenization.packages.formats.markup import help_pages, help_text
from tokenization.packages.formats.structured import chitchat, conversation_turns


@pytest.mark.parametrize("compression", ["xz", "gz", "zst"])
def test_debian_packages_of_every_compression(compression):
    archive = deb({"usr/b.txt": b"two", "usr/a.txt": b"one", "usr/c.dat": b"no"}, compression)
    assert list(read_members(archive, r"\.txt$").items()) == [("usr/a.txt", b"one"), ("usr/b.txt", b"two")]


def test_source_archives_and_packages_of_npm():
    archive = source_archive({"x-1/b.txt": b"two", "x-1/a.txt": b"one", "x-1/setup.py": b"no"})
    assert list(read_members(archive, r"\.txt$").items()) == [("x-1/a.txt", b"one"), ("x-1/b.txt", b"two")]


def test_debian_package_without_data_is_an_error():
    with pytest.raises(ValueError, match="data.tar"):
        read_members(b"!<arch>\n" + f"{'debian-binary':<16}{0:<32}{4:<10}`\n".encode() + b"2.0\n", "x")


@pytest.mark.parametrize("version", [2, 3])
def test_novels_become_chapters_of_unwrapped_paragraphs(version):
    first = r_object("THE LAMP", "", "by Nobody", "", "CHAPTER 1", "", "The lamp was", "_green_.  It",
                     "stood there.", "", "Nobody saw it.", "",
                     None, "CHAPTER II", "", "It fell.", version=version)  # fmt: skip
    second = r_object("Chapter One is only a line of text", "VOLUME I", "", "Chapter 1", "Źdźbło.", version=version)
    archive = deb({"usr/lib/R/site-library/x/data/Rdata.rdb": first + second, "usr/lib/R/x/Meta/data.rds": b"?"})
    assert list(novels(archive)) == ["The lamp was green. It stood there.\nNobody saw it.", "It fell.", "Źdźbło."]


def test_other_r_objects_are_passed_over():
    number = b"X\n" + struct.pack(">iii", 2, 0, 0) + struct.pack(">iid", 14, 1, 3.5)
    packed = struct.pack(">I", len(number)) + zlib.compress(number)
    archive = deb({"x/data/Rdata.rdb": packed + r_object("Chapter 1", "Text.")})
    assert list(novels(archive)) == ["Text."]


PAGE = """<html><head><title>Title of the page here</title><script>var text = "not a word of this.";</script></head>
<body><header><p>Help of the programme, version seven.</p></header><h1>A heading with as many as six words.</h1>
<p>Choose <span class="emph">Edit</span> and <a href="x.html">see the
dialog</a>.</p><p>On the bar, please click</p><p>Two words.</p>
<p><a href="y.html">See also this other help page here.</a></p>
<p>Choose <span hidden="true" class="MAC"><span>Preferences</span></span><span>Tools - Options</span> to go on.</p>
<pre>Print "this is a line of a program."</pre><p>SUM(A1; A2; A3) returns some number here.</p>
<table><tr><td><p>One cell of the table here.</p></td></tr></table>
<p>Caf&eacute; is written with an accent.</p></body></html>"""


def test_help_pages_keep_title_and_sentences_only():
    assert help_text(PAGE).split("\n") == [
        "Title of the page here",
        "Choose Edit and see the dialog.",
        "Choose Tools - Options to go on.",
        "Café is written with an accent.",
    ]


def test_one_of_several_words_for_systems_and_programs_stays():
    html = """<p>Press <span class="switchinline"><span hidden="true" class="MAC">Command</span><span hidden="true">
    <span class="keycode">Ctrl</span></span></span><span class="keycode">+F7</span> in the
    <span class="switchinline"><span hidden="true" class="BASE"> </span><span hidden="true" class="WRITER">text</span
    ><span hidden="true"><span>drawing</span></span><span hidden="true">b</span></span> or the <span>page</span>.</p>
    <p>The file is in <span class="switchinline"><span hidden="true"><span class="switchinline"><span hidden="true"
    >this</span><span hidden="true">that</span></span> folder</span><span hidden="true">b</span></span> somewhere.</p>
    <span class="switch"><span hidden="true" class="MAC"><p>These are words for a Mac.</p></span><span hidden="true">
    <p>This paragraph is for other systems.</p></span></span>"""
    assert help_text(html).split("\n") == [
        "Press Ctrl+F7 in the text or the page.",
        "The file is in this folder somewhere.",
        "This paragraph is for other systems.",
    ]


def test_help_pages_come_guides_first_and_program_reference_last():
    html = "<p>This is a page about {}.</p>"
    modules = ("sbasic", "swriter", "shared", "unheard")
    folder = "usr/share/libreoffice/help/pl"
    archive = deb({f"{folder}/text/{m}/a.html": html.format(m).encode() for m in modules} | {f"{folder}/x.html": b"no"})
    assert [text.split()[-1] for text in help_pages(archive)] == ["swriter.", "shared.", "sbasic.", "unheard."]


def test_dictionary_keeps_headword_and_definitions():
    entries = {
        "00database": "an entry about the dictionary itself\n",
        "lampa": "lampa /ˈlãmpa/ <n>\n1. lamp\n(technika, techniczny) to, co świeci ;\n2. light\n(potocznie) słońce "
        "(1.1)\n",
        "puste": "puste /p/ <adj>\nempty\n(zobacz)\n",
        "bez mowy": "bez mowy <adv>\nspeechless\n…milcząc\n 2.\nmilcząc\n",
    }
    archive = deb(dictd(entries))
    assert list(freedict(archive)) == ["lampa\nto, co świeci\nsłońce", "bez mowy\nmilcząc"]


def message(sender: str, text: str) -> dict[str, str]:
    return {"sender": sender, "text": text, "timestamp": "-"}


def test_chitchat_merges_what_one_person_says_in_a_row():
    groups = [
        [message("a", "hi"), message("a", "how\nare you?")],
        [message("a", "?")],
        [message("b", "well ")],
        [message("b", " ")],
    ]
    assert conversation_turns(groups) == ["hi. how are you? ?", "well"]
    assert conversation_turns([[message("a", "anybody?")]]) == []
    assert conversation_turns([[message(s, "x") for s in "abc"]]) == []


def test_chitchat_reads_the_wheel():
    data = {"id1": {"messages": [[message("a", "hi")], [message("b", "hello")]]}, "id2": {"messages": []}}
    archive = wheel({"chitchat_dataset/dataset.json": json.dumps(data).encode(), "chitchat_dataset/x.py": b""})
    assert list(chitchat(archive)) == ["hi\nhello"]


@pytest.mark.parametrize("encoding", ["utf-8", "iso8859-2", "cp1250"])
def test_fortunes_are_decoded_quote_by_quote(encoding):
    assert decode_quote("Zażółć gęślą jaźń, śniąc.".encode(encoding)) == "Zażółć gęślą jaźń, śniąc."


def test_fortunes_leave_out_chat_logs_and_other_files():
    quotes = (
        "Kto rano wstaje,\nten jest śpiący.\n%\n01:41 <@ktoś> halo\n%\n> cytat\nodpowiedź\n%\n12. Trzy koty.\n%\n\n"
    )
    mixed = quotes.encode() + b"%\n" + "Żółw śpi.\n".encode("iso8859-2")
    folder = "usr/share/games/fortunes/pl"
    archive = deb({f"{folder}/koty": mixed, f"{folder}/koty.dat": b"\0", f"{folder}/koty.u8": b"x"})
    assert list(fortunes(archive)) == ["Kto rano wstaje,\nten jest śpiący.", "Trzy koty.", "Żółw śpi."]


def test_wrapped_lines_are_joined_and_speakers_are_not():
    long = "To jest wiersz, który został złamany w sześćdziesiątym znaku"
    assert join_lines(f"{long}\ni idzie dalej.\n\n- Krótko?\n- {long}\n- Nie.") == (
        f"{long} i idzie dalej.\n- Krótko?\n- {long}\n- Nie."
    )
