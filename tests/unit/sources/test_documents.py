"""Documents of word processors, books, mail, subtitles, dumps of wikis and XML: their text, and why some have none."""

import bz2
import email.message
import gzip
import io
import mailbox
import time
import tracemalloc
import zipfile

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.formats.wikitext import without_markup
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

FLOOD = "Rzeka wezbrała po burzy, a mieszkańcy wsi przenieśli bydło na wzgórza."
BRIDGE = "Rano woda opadła i widać było, co zostało ze starego mostu."


def reads(path, **more) -> tuple[list[str], list[Rejected], dict[str, int]]:
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    bad = [one for one in found if isinstance(one, Rejected)]
    return [one for one in found if isinstance(one, str)], bad, dict(seen.files)


def zipped(members: dict[str, str | bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


W = 'xmlns:w="urn:w" xmlns:mc="urn:mc"'
DOCX = {
    "[Content_Types].xml": "<Types/>",
    "word/document.xml": f"""<?xml version="1.0"?><w:document {W}><w:body>
        <w:p><w:pPr><w:pStyle w:val="x"/></w:pPr><w:r><w:t>{FLOOD[:20]}</w:t></w:r><w:r><w:t>{FLOOD[20:]}</w:t></w:r>
        <w:r><w:t>biało</w:t><w:noBreakHyphen/><w:t>czarny</w:t></w:r>
        <w:r><w:instrText>PAGE</w:instrText><w:delText>deleted</w:delText></w:r><w:del><w:r>
        <w:delText>a</w:delText><w:noBreakHyphen/></w:r></w:del></w:p>
        <w:p><mc:AlternateContent><mc:Choice><w:t>W ramce.</w:t></mc:Choice><mc:Fallback><w:t>W ramce.</w:t>
        </mc:Fallback></mc:AlternateContent></w:p><w:tbl><w:tc><w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t></w:r></w:p></w:tc>
        </w:tbl></w:body></w:document>""",
    "word/comments.xml": f"<w:comments {W}><w:p><w:t>a comment</w:t></w:p></w:comments>",
}
ODT = {
    "mimetype": "application/vnd.oasis.opendocument.text",
    "content.xml": f"""<o:document-content xmlns:o="urn:o" xmlns:t="urn:t"><o:automatic-styles>no</o:automatic-styles>
        <o:body><o:text><t:tracked-changes><t:p>deleted</t:p></t:tracked-changes><t:h>Powódź</t:h><t:p>{FLOOD}<t:note>
        <t:p>a note</t:p></t:note></t:p><t:p>a<t:s/>b<t:line-break/>c<d:frame
        xmlns:d="urn:d"><d:image><o:binary-data>AAAA</o:binary-data></d:image><d:title>a name</d:title><d:desc>a picture
        </d:desc></d:frame> <t:title>pole</t:title></t:p></o:text></o:body></o:document-content>""",
}
PAGE = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container><rootfiles><rootfile full-path="in/a.opf"/></rootfiles></container>',
    "in/a.opf": """<package><manifest><item id="n" href="n.xhtml" properties="nav" media-type="application/xhtml+xml"/>
        <item id="2" href="two%20.xhtml" media-type="application/xhtml+xml"/>
        <item id="1" href="1.xhtml" media-type="application/xhtml+xml"/></manifest>
        <spine><itemref idref="n"/><itemref idref="1"/><itemref idref="2"/></spine></package>""",
    "in/n.xhtml": PAGE.format("<p>contents</p>"),
    "in/two .xhtml": PAGE.format(f'<a id="x"/><p>{BRIDGE}</p>'),
    "in/1.xhtml": PAGE.format(f"<h1>Jeden</h1><p>{FLOOD}</p>"),
}


def test_documents_of_word_processors_and_books_with_and_without_endings(tmp_path):
    contents = {"docx": zipped(DOCX), "epub": zipped(EPUB), "odt": zipped(ODT)}
    wanted = [f"{FLOOD}biało-czarny\nW ramce.\na b", f"Jeden\n\n{FLOOD}\n\n{BRIDGE}", f"Powódź\n{FLOOD}\na b\nc pole"]
    for ending, content in contents.items():
        (tmp_path / f"a.{ending}").write_bytes(content)
    assert reads(tmp_path) == (wanted, [], dict.fromkeys(contents, 1))
    assert reads(tmp_path / "a.docx", format="docx")[0] == wanted[:1]
    box = zipped({f"folder/{name}": content for name, content in contents.items()})
    (tmp_path / "box").write_bytes(box)
    assert reads(tmp_path / "box") == (wanted, [], dict.fromkeys(contents, 1))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"[Content_Types].xml": "", "xl/workbook.xml": ""}, "save it as CSV"),
        ({"[Content_Types].xml": "", "ppt/presentation.xml": ""}, "PowerPoint"),
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}, "opendocument.spreadsheet"),
        (ODT | {"META-INF/manifest.xml": "<encryption-data/>"}, "encrypted"),
        (EPUB | {"META-INF/encryption.xml": '<CipherReference URI="in/1.xhtml"/>'}, "encrypted"),
        (EPUB | {"META-INF/container.xml": "<container/>"}, "names no book"),
        (DOCX | {"word/document.xml": f"<w:document {W}><w:p><w:t>cut off"}, "no element found"),
        (DOCX | {"word/document.xml": '<!DOCTYPE a [<!ENTITY e "eeeeeeee">]><a><t>&e;&e;</t></a>'}, "the entity e"),
    ],
)
def test_what_such_a_document_does_not_give_is_told(tmp_path, members, told):
    (tmp_path / "a").write_bytes(zipped(members))
    texts, [bad], _ = reads(tmp_path / "a")
    assert texts == [] and told in bad.detail


def test_a_book_that_lacks_a_page_has_the_others(tmp_path):
    (tmp_path / "a.epub").write_bytes(zipped({name: page for name, page in EPUB.items() if name != "in/1.xhtml"}))
    texts, [bad], _ = reads(tmp_path / "a.epub")
    assert texts == [BRIDGE] and (bad.place, bad.reason) == ("in/1.xhtml", "unreadable")


def test_a_document_of_one_format_under_the_name_of_another_is_read_or_refused(tmp_path):
    (tmp_path / "a.docx").write_text(FLOOD)
    (tmp_path / "b.odt").write_bytes(zipped(DOCX))
    texts, [bad], files = reads(tmp_path)
    assert len(texts) == 1 and files == {"docx": 1} and "no docx, which its name promises" in bad.detail


def letter(text: str, subtype="plain", charset="utf-8") -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"], message["Date"] = "a@b.pl", "Mon, 1 Jan 2024 10:00:00 +0100"
    message.set_content(text, subtype=subtype, charset=charset)
    return message


ANSWER = f"{FLOOD}\n\nW dniu 1.01.2024 o 10:00, Jan\n<jan@b.pl> pisze:\n> cytat\n> drugi\n\nFrom wsi.\n-- \nJan\n"


def test_mail_without_headers_quotes_and_signatures(tmp_path):
    html = f"<p>{FLOOD}</p><blockquote>quoted</blockquote><div class='gmail_quote'>quoted</div>"
    with_file = letter(BRIDGE)
    with_file.add_attachment(b"%PDF", maintype="application", subtype="pdf")
    only_quotes = letter("> nothing else\n")
    box = mailbox.mbox(str(tmp_path / "a.mbox"))
    for message in (letter(ANSWER, charset="iso8859-2"), letter(html, "html"), with_file, only_quotes):
        box.add(message)
    box.close()
    texts, bad, files = reads(tmp_path / "a.mbox")
    assert texts == [f"{FLOOD}\n\nFrom wsi.", FLOOD, BRIDGE] and files == {"mail": 1}
    assert [(one.place, one.reason) for one in bad] == [("message 3", "empty"), ("the whole", "not text")]
    assert "1 of application/pdf" in bad[1].detail
    (tmp_path / "cur").write_bytes(bytes(letter(ANSWER)))
    assert reads(tmp_path / "cur")[::2] == (texts[:1], {"mail": 1})


@pytest.mark.parametrize(
    "below",
    [
        "From: Ann <ann@b.com>\nSent: Monday, January 1, 2024 10:00\nTo: Jan\nSubject: RE: flood\n\nquoted\n",
        "*Od:* Anna <a@b.pl>\n*Wysłano:* poniedziałek, 1 stycznia 2024 10:00\n*Do:* Jan\n*Temat:* Powódź\n\ncytat\n",
        "Wiadomość napisana przez Annę <a@b.pl> w dniu 1 sty 2024, o godz. 10:00:\n\n> cytat\n",
        "Sent from my iPhone\n",
        "Wysłane z iPhone'a\n",
    ],
)
def test_what_programs_put_below_a_mail_is_not_read(tmp_path, below):
    (tmp_path / "cur").write_bytes(bytes(letter(f"{FLOOD}\n\n{below}")))
    assert reads(tmp_path / "cur")[0] == [FLOOD]


def test_a_mail_may_say_from_where_and_to_whom(tmp_path):
    thanks = "Sent from my heart to the whole of the village beside the river, to its people and back again."
    parcel = f"Sent via courier on Monday, and it came late.\n{BRIDGE}\n\nFrom: Warsaw\nDate: 5 May\nTo: London"
    told = f"From: the village. Sent: today.\n{FLOOD}\n\n{thanks}\n{parcel}"
    (tmp_path / "cur").write_bytes(bytes(letter(told)))
    assert reads(tmp_path / "cur")[0] == [told]


def test_a_text_that_begins_as_a_header_does_is_no_mail(tmp_path):
    (tmp_path / "a.txt").write_text(f"Uwaga: {FLOOD}\nOd autora: {BRIDGE}\n\n{FLOOD}\n")
    assert reads(tmp_path / "a.txt")[2] == {"text": 1}


SHOWN = "- Gdzie jest łódź,\nktórą mieliśmy?\n", "- <i>Nie ma jej.</i>\n"
SUBTITLES = {
    "a.srt": f"1\n00:00:01,000 --> 00:00:03,000\n{SHOWN[0]}\n2\n00:00:04,000 --> 00:00:05,000\n{SHOWN[1]}2024\n",
    "b": f"WEBVTT\n\nNOTE no text\n\n00:01.000 --> 00:03.000 align:start\n{SHOWN[0]}\n00:04.000 --> 00:05.000\n"
         f"którą mieliśmy?\n<v Jan>{SHOWN[1]}2024\n",
    "c.txt": "{1}{20}- Gdzie jest łódź,|którą mieliśmy?\n{21}{40}{y:i}- Nie ma jej.\n{41}{60}2024\n",
    "d.txt": "[1][20]- Gdzie jest łódź,\n[21][30]którą mieliśmy?\n[31][40]/- Nie ma jej.|2024\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SUBTITLES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1250"])
def test_subtitles_give_what_is_said(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(SUBTITLES[name].replace("\n", "\r\n").encode(encoding))
    texts, bad, [kind] = reads(tmp_path / name)
    assert texts == ["- Gdzie jest łódź, którą mieliśmy?\n- Nie ma jej.\n2024"] and not bad and "subtitles" in kind


WIKITEXT = f"""{{{{Infobox|a={{{{b}}}}}}}}
[[Plik:a.jpg|mały|Podpis z [[link]]iem]]
'''Powódź''' to ''wylew'' [[rzeka|rzeki]].<ref>Źródło {{{{c}}}}</ref><ref name="x"/> {FLOOD}<!-- nic -->
{{| class="wikitable"
| komórka
{{|
| inna
|}}
|}}
== Pusty ==
== Skutki ==
=== We wsi ===
* {BRIDGE}[https://a.b tekst]
== Przypisy ==
<references/>
* [[Książka]]
[[Kategoria:Woda]][[de:Flut]]
"""


def test_wikitext():
    wanted = [f"Powódź to wylew rzeki. {FLOOD}", "Skutki", "We wsi", f"{BRIDGE}tekst"]
    assert without_markup(WIKITEXT).split("\n") == wanted
    assert without_markup("a {{b} [[c]] &amp; <br/>d\n{{open") == "a {{b} c & d\n{{open"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("[[UFO:Enemy Unknown]] is a game", "UFO:Enemy Unknown is a game"),
        ("see [[Pod:x|a label]], [[sky:High]]", "see a label, sky:High"),
        ("[[de:Haus]][[zh-min-nan:A]][[FILE:a.jpg|a [[b]]]] house", "house"),
        ("a <ref>b</REF >c<REF name=d />e<ref>f <math>x</math> g", "a cef g"),
        ("a <references/>b <ref name='c'>d</ref>e", "a b e"),
    ],
)
def test_links_and_elements_of_wikitext(wikitext, text):
    assert " ".join(without_markup(wikitext).split()) == text


@pytest.mark.parametrize("markup", ["<ref>a ", "<math>a<ref>", "{{a ", "[[a ", "{|\n", "<ref "])
def test_wikitext_that_does_not_end_takes_no_time(markup):
    begin = time.process_time()
    without_markup(markup * 8_000)
    assert time.process_time() - begin < 1


def page(title: str, text: str, namespace=0, more="") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return (f"<page><title>{title}</title><ns>{namespace}</ns>{more}<revision><text>old</text></revision><revision>"
            f"<text>{escaped}</text></revision></page>")  # fmt: skip


def test_a_dump_of_a_wiki_gives_articles_and_counts_the_rest(tmp_path):
    pages = [page("Powódź", WIKITEXT), page("A", "#PATRZ [[Powódź]]"), page("B", "x", more='<redirect title="c"/>'),
             page("Dyskusja", BRIDGE, 1), page("Pusta", "{{a}}"), page("Most", BRIDGE)]  # fmt: skip
    dump = f'<mediawiki xmlns="urn:m" xml:lang="pl"><siteinfo><sitename>a</sitename></siteinfo>{"".join(pages)}'
    (tmp_path / "a.xml.bz2").write_bytes(bz2.compress(f"{dump}</mediawiki>".encode()))
    texts, bad, files = reads(tmp_path / "a.xml.bz2")
    assert texts == [f"Powódź\n\n{without_markup(WIKITEXT)}", f"Most\n\n{BRIDGE}"] and files == {"wiki": 1}
    assert [one.reason for one in bad] == ["empty", "not text"]
    assert bad[1].detail == "2 redirects, 1 pages of namespace 1"
    (tmp_path / "cut.xml").write_text(dump)
    again, [*_, trouble, _], _ = reads(tmp_path / "cut.xml")
    assert again == texts and trouble.reason == "not XML" and "after page 'Most'" in trouble.place


TEI = f"""<TEI xmlns="urn:t"><teiHeader><title/></teiHeader><text><body><div><head>Powódź</head><p>{FLOOD}<note>a
n</note></p><lg><l>wers <choice><sic>bład</sic><corr>błąd</corr></choice></l><l>drugi<lb/>wers</l></lg></div></body>
</text></TEI>"""
TEI_TEXT = f"Powódź\n{FLOOD}\nwers błąd\ndrugi wers"
FB2 = f"""<?xml version="1.0" encoding="windows-1250"?><FictionBook><description><p>no</p></description><body><section>
<title><p>Powódź</p></title><p>{FLOOD}</p></section></body><binary>AAAA</binary></FictionBook>"""


def test_xml_of_known_kinds_in_the_encoding_that_it_declares(tmp_path):
    (tmp_path / "1.xml").write_text(f"<?xml version='1.0'?><!-- a --><teiCorpus>{TEI}{TEI}</teiCorpus>")
    (tmp_path / "2").write_bytes(FB2.encode("cp1250"))
    (tmp_path / "3.xml").write_text('<!DOCTYPE TEI.2 SYSTEM "a.dtd"><TEI.2><text><p>a &mdash; b</p></text></TEI.2>')
    (tmp_path / "4.xml").write_bytes(f"<?xml version='1.0' encoding='UTF-16'?>{TEI}".encode("utf-16"))
    texts, bad, _ = reads(tmp_path)
    assert texts == [TEI_TEXT, TEI_TEXT, f"Powódź\n{FLOOD}", "a — b", TEI_TEXT] and not bad


UNREAD = {
    "a.xml": (f"<?xml version='1.0'?><rss><item>{FLOOD}</item></rss>", "<rss>"),
    "b.txt": (f"<?xml version='1.0'?><rss><item>{FLOOD}</item></rss>", "<rss>"),
    "c.tex": (f"% a\n\\documentclass{{book}}\n\\begin{{document}}{FLOOD}", "pandoc"),
    "d.ipynb": ('{\n "cells": [\n  {"cell_type": "code", "source": ["a"]}]}', "nbconvert"),
    "e.txt": (f"12.05.2023, 10:15 - Anna: {FLOOD}\n" * 2, "WhatsApp"),
    "f.txt": (f"[12/05/2023, 10:15:30 AM] Anna: {FLOOD}\n" * 2, "WhatsApp"),
    "g.rtf": ("{\\rtf1 a}", "soffice"),
    "h.doc": ("\xd0\xcf\x11\xe0", "soffice"),
    "i.ass": ("[Script Info]\nTitle: a\n", "ffmpeg"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named_with_what_converts_it(tmp_path, name):
    content, told = UNREAD[name]
    (tmp_path / name).write_bytes(content.encode("latin-1" if name == "h.doc" else "utf-8"))
    texts, [bad], _ = reads(tmp_path / name)
    assert texts == [] and bad.reason == "format not read" and told in bad.detail
    is_taken = name not in ("g.rtf", "h.doc")
    assert bool(reads(tmp_path / name, format="text")[0]) == is_taken, "a stated format of text is taken for text"


@pytest.mark.parametrize("matter", ["---\ntitle: a\ntags:\n  - b\n- c\n\n# d\n---\n", '+++\ntitle = "a"\n[b]\n+++\n'])
def test_front_matter_of_markdown_is_rejected(tmp_path, matter):
    (tmp_path / "a.md").write_text(f"{matter}\n# Powódź\n\n{FLOOD}\n")
    (tmp_path / "b.md.gz").write_bytes(gzip.compress(f"{matter}{FLOOD}".replace("\n", "\r\n").encode()))
    (tmp_path / "c.md").write_text(f"---\n{FLOOD}\n---\n{BRIDGE}\n")
    (tmp_path / "d.txt").write_text(f"{matter}{FLOOD}")
    texts, bad, _ = reads(tmp_path)
    assert texts == [f"\n# Powódź\n\n{FLOOD}\n", FLOOD, f"---\n{FLOOD}\n---\n{BRIDGE}\n", f"{matter}{FLOOD}"]
    assert [(one.reason, one.detail) for one in bad] == [("not text", "front matter")] * 2 and "title" in bad[0].excerpt
    assert "".join(reads(tmp_path / "a.md", split_by="paragraph")[0]).startswith(matter[:10])


@pytest.mark.parametrize(
    "text",
    [
        "---\n# Chapter one\n- Who is there?\n---\nThe curtain falls.\n",
        "---\nTitle: a poem\n\n# Chapter\nScene: a room\n- Hello, said he.\n---\nThe rest.\n",
        "---\n\n  A poem between rules.\n\n---\nThe rest.\n",
        "---\nNote: a scene\n\nShe: where?\nHe: here.\n---\nThen they left.\n",
        "---\nnote: a scene\n\nshe: where?\n---\nThen they left.\n",
        "---\nnote: a scene\nThey speak.\n---\nThen they left.\n",
        "+++\nA = B\n+++\nThe rest.\n",
    ],
)
def test_what_stands_between_rules_is_no_front_matter(tmp_path, text):
    for name in ("a.md", "b.rst", "c.txt"):
        (tmp_path / name).write_text(text)
    assert reads(tmp_path)[:2] == ([text] * 3, [])


def test_a_kind_of_document_that_cannot_be_read_costs_no_memory_and_no_members(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"mimetype": b"x" * (64 << 20), "b.txt": FLOOD}))
    tracemalloc.start()
    texts = reads(tmp_path)[0]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert texts == [FLOOD] and most < 32 << 20


def test_an_archive_with_an_encrypted_kind_of_document_tells_each_member(tmp_path):
    content = zipped({"mimetype": "application/epub+zip", "b.txt": FLOOD})
    for header in (b"PK\x03\x04\x14\0", b"PK\x01\x02\x14\x03\x14\0"):
        content = content.replace(header + b"\0", header + b"\1")
    (tmp_path / "a.zip").write_bytes(content)
    assert [one.detail for one in reads(tmp_path)[1]] == ["it is encrypted"] * 2


def test_many_comments_before_text_take_no_time(tmp_path):
    (tmp_path / "a.md").write_text("<!-- a -->\n" * 200 + FLOOD)
    assert reads(tmp_path)[2] == {"text": 1}
