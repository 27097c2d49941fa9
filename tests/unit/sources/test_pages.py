"""Pages in HTML: lists of a text stay, menus go, and a declared encoding may be another."""

import gzip
import time

import pytest

from tokenization.quarantine import Rejected
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read

FLOOD = "Rzeka wezbrała po burzy, a mieszkańcy wsi przenieśli bydło na wzgórza."
BRIDGE = "Rano woda opadła i widać było, co zostało ze starego mostu."
STEPS = [
    f"Krok {n}: trzeba zmierzyć poziom wody przy moście i zapisać go w książce, którą ma sołtys." for n in range(3)
]
LIST = "<ul>" + "".join(f"<li>{step}</li>" for step in STEPS) + "</ul>"
MENU = "<ul class=menu><li><a href=/>Strona główna</a></li><li><a href=/o>O nas</a> i my</li></ul>"


def reads(path, **more) -> tuple[list[str], list[Rejected], list[str]]:
    """Return the texts, what was rejected, and the formats."""
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(path), **more)
    seen = Seen()
    found = [one for piece in pieces(source) for one in read(source, piece, seen=seen)]
    bad = [one for one in found if isinstance(one, Rejected)]
    return [one for one in found if isinstance(one, str)], bad, list(seen.files)


@pytest.mark.parametrize(
    "page",
    [
        "<body><h1>Powódź</h1><p>{text}</p>{list}</body>",
        "<body><main><article><h1>Powódź</h1><p>{text}</p>{list}</article></main></body>",
        "<body>{menu}<h1>Powódź</h1><div><div><p>{text}</p>{list}</div></div></body>",
        "<body><header>{list}{menu}</header><h1>Powódź</h1><p>{text}</p>{list}<aside>{list}</aside><nav>{list}</nav></body>",
        "<body><nav>{menu}</nav><h1>Powódź</h1><p>{text}</p><div class=box>{list}</div><footer>{list}</footer></body>",
    ],
)
def test_lists_of_a_text_are_read_and_menus_are_not(tmp_path, page):
    (tmp_path / "a.html").write_text(f"<html>{page.format(text=FLOOD, list=LIST, menu=MENU)}</html>")
    [text], bad, _ = reads(tmp_path)
    assert [line.strip() for line in text.split("\n") if line.strip()] == ["Powódź", FLOOD, *STEPS] and not bad


def test_lists_in_lists_are_read_in_their_order(tmp_path):
    inner = LIST.replace("Krok", "Punkt")
    (tmp_path / "a.html").write_text(
        f"<html><body><p>{FLOOD}</p>{LIST.replace('</li>', inner + '</li>', 1)}</body></html>"
    )
    [text], _, _ = reads(tmp_path)
    inside = [step.replace("Krok", "Punkt") for step in STEPS]
    assert [line.strip() for line in text.split("\n") if line.strip()] == [FLOOD, STEPS[0], *inside, *STEPS[1:]]


PAGE = f"<html><head><meta charset=utf-8></head><body><p>{FLOOD}</p>\n<p>{BRIDGE}</p></body></html>"


@pytest.mark.parametrize("encoding", ["cp1250", "iso8859_2"])
def test_a_page_in_another_encoding_than_it_declares_is_read(tmp_path, encoding):
    content = PAGE.encode(encoding)
    (tmp_path / "a.html").write_bytes(content)
    texts, bad, kinds = reads(tmp_path / "a.html")
    assert texts == [f"{FLOOD}\n\n{BRIDGE}"] and not bad and kinds == [f"html in {encoding}"]
    assert "\ufffd" in reads(tmp_path / "a.html", encoding="utf-8")[0][0], "a stated encoding is taken"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + content
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\nContent-Type: application/http"
    record = f"{head}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer + b"\r\n\r\n"
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(record))
    assert reads(tmp_path / "a.warc.gz")[0] == texts
    head = "From: a@b.pl\nDate: Mon, 1 Jan 2024 10:00:00 +0100\nContent-Type: text/plain; charset=utf-8\n"
    mail = f"{head}Content-Transfer-Encoding: 8bit\n\n{FLOOD}\n"
    (tmp_path / "a.eml").write_bytes(mail.encode(encoding))
    assert reads(tmp_path / "a.eml")[0] == [FLOOD]


def test_a_few_wrong_bytes_make_no_other_encoding_of_a_page(tmp_path):
    (tmp_path / "a.html").write_bytes(PAGE.replace("\n", "").encode().replace(b"mostu", b"mostu \xb1"))
    texts, _, kinds = reads(tmp_path)
    assert FLOOD in texts[0] and texts[0].count("\ufffd") == 1 and kinds == ["html"]


@pytest.mark.parametrize("lists", ["<ul><li>słowo", "<ul><li>słowo</ul>", "<ul><li><a>słowo</a></ul>"])
def test_many_lists_take_no_time(tmp_path, lists):
    (tmp_path / "a.html").write_text(f"<html><body><p>{FLOOD}</p>{lists * 2_000}")
    begin = time.process_time()
    assert FLOOD in reads(tmp_path)[0][0]
    assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    "menu", ['<div role="navigation">{}</div>', '<div class="post-share">{}</div>', '<div id="menu">{}</div>']
)
def test_a_list_in_a_frame_that_only_its_names_tell_is_a_menu(tmp_path, menu):
    listed = "<ul><li>Udostępnij</li><li>Drukuj</li><li>Skomentuj</li></ul>"
    (tmp_path / "a.html").write_text(f"<html><body><h1>Powódź</h1><p>{FLOOD}</p>{menu.format(listed)}</body></html>")
    [text], _, _ = reads(tmp_path)
    assert FLOOD in text and "Drukuj" not in text
