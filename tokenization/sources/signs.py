"""Signs that text is mail, subtitles, XML, or of a format that is not read.

Prose may begin as any of them does. So each sign is one that prose does not give: whole lines, mostly more than one.
Every pattern looks at a bounded part of a line, so no content takes long.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime

_DAY, _MONTH = b"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", b"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
POSTMARK = re.compile(
    rb"From [^\r\n]{0,200}?[ ]{1,2}%b,?[ ]{1,2}(?:%b[ ]{1,2}\d\d?[ ]\d\d?:\d\d[^\r\n]{0,30}?[ ]\d{4}\b"
    rb"|\d\d?[ ]%b[ ]\d{4}[ ]\d\d?:\d\d)" % (_DAY, _MONTH, _MONTH)
)
"""The line before each message of an mbox: a sender and a time with its day and month."""
_HEADER = re.compile(rb"([A-Za-z][\w-]{0,70}):(?:[ \t]|$)")
_ADDRESS = re.compile(rb"[\w.+-]{1,64}@\w")
_XML = re.compile(
    rb"(?>\s*)(?:<\?xml[^>]*>\s*)?(?:(?><\?[^>]*>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)\s*)*"
    rb"<([A-Za-z][\w.:-]*)(\s+[A-Za-z_][\w.:-]*\s*=\s*[\"'])?",
    re.DOTALL,
)
_OF_HTML = frozenset(
    b"a article b blockquote body br center div em footer font form h1 h2 h3 h4 h5 h6 head header hr i img li main "
    b"link meta nav ol p pre script section span strong style table td title tr u ul".split()
)
_TIME = rb"(?:\d{1,3}:)?\d\d?:\d\d[,.]\d{1,3}"
_TIMES = rb"[ \t]*%b[ \t]*-->[ \t]*%b(?:[ \t]+[A-Za-z]+\d?:[^\r\n]*)?[ \t]*\r?$" % (_TIME, _TIME)
_SUBRIP = re.compile(rb"(?>\s*)(?:\d+[ \t]*\r?\n)?" + _TIMES, re.MULTILINE)
_WEBVTT = re.compile(rb"(?>\s*)WEBVTT(?:[ \t]+-[^\r\n]*)?[ \t]*\r?$", re.MULTILINE)
_CUE = re.compile(rb"^" + _TIMES, re.MULTILINE)
_FRAMES = re.compile(rb"[ \t]*(?:\{(\d{1,9})\}\{(\d{0,9})\}|\[(\d{1,9})\]\[(\d{0,9})\])")
_CELLS = re.compile(rb"\s*\{\s*\"(?:cells|metadata|nbformat|nbformat_minor)\"\s*:")
_OF_NOTEBOOK = {"cells", "metadata", "nbformat", "nbformat_minor", "orig_nbformat", "worksheets"}
_CELL = re.compile(rb"\"cell_type\"\s*:\s*\"")
_LATEX = re.compile(
    rb"(?:\s|%[^\n]*\n)*\\(?:documentclass|documentstyle|begin|input|usepackage|chapter|section)\*?\s*[\[{]"
)
_LATEX_DOCUMENT = re.compile(
    rb"(?:\s|%[^\n]*\n)*\\(?:(?:documentclass|documentstyle)\s*(?:\[[^\]]*\]\s*)?\{[^{}]*\}"
    rb"|begin\{document\})[ \t]*(?:%|\r?$)",
    re.MULTILINE,
)
_SUBSTATION = re.compile(rb"\s*\[Script Info\][ \t]*\r?\n(?:[ \t]*;[^\n]*\n)*[A-Za-z][A-Za-z ]{0,40}:")
_SENT = (
    rb"^(?:\xe2\x80\x8e)?\[?\d{1,4}[./-]\d\d?[./-]\d{2,4},?[ ]\d\d?[:.]\d\d(?:[:.]\d\d)?"
    rb"(?:[ ]|\xe2\x80\xaf)?(?:[AaPp]\.?[Mm]\.?)?(?:\][ ]|[ ]-[ ])"
)
_DATED = re.compile(_SENT, re.MULTILINE)
_BY_SOMEBODY = re.compile(_SENT + rb"[^:\r\n]{1,60}: ", re.MULTILINE)
_OF_WHATSAPP = re.compile(
    _SENT + "[^\r\n]{0,80}(?:end-to-end encrypted|szyfrowane (?:metodą )?end-to-end|pełne szyfrowanie)".encode()
)


def is_mail(head: bytes) -> bool:
    """Whether content that begins like this is a message or an mbox. The sender has an address, or the message a date
    that programs write."""
    first, _, rest = head.partition(b"\n")
    if POSTMARK.match(first):
        return bool(_HEADER.match(rest.partition(b"\n")[0].rstrip()))
    headers = _headers(head)
    sender = headers.get("from", b"") + headers.get("return-path", b"")
    others = {"date", "message-id", "subject", "newsgroups", "to", "mime-version"} & headers.keys()
    return bool(
        ({"from", "received", "return-path"} & headers.keys())
        and others
        and (_ADDRESS.search(sender) or _is_date(headers.get("date", b"")))
    )


def _headers(head: bytes) -> dict[str, bytes]:
    """Return the headers by their names in lower case; none if anything but headers stands before a blank line."""
    found: dict[str, bytes] = {}
    name, begin = "", 0
    while (end := head.find(b"\n", begin)) >= 0:
        line, begin = head[begin:end].rstrip(b"\r"), end + 1
        if not line:
            return found
        if header := _HEADER.match(line):
            name = header[1].decode().lower()
            found[name] = line[header.end() :]
        elif not (name and line[:1] in b" \t"):
            break
    return {}


def _is_date(value: bytes) -> bool:
    try:
        return bool(parsedate_to_datetime(value.decode("ascii", "replace")))
    except ValueError:
        return False


def are_subtitles(head: bytes) -> bool:
    """Whether content that begins like this is subtitles: a line with two times, or most lines with rising frames."""
    if _SUBRIP.match(head) or (_WEBVTT.match(head) and _CUE.search(head)):
        return True
    if not _FRAMES.match(head.lstrip()):
        return False
    lines = [line for line in head.splitlines() if line.strip()]
    found = [[int(one or -1) for one in line.groups() if one is not None] for line in map(_FRAMES.match, lines) if line]
    starts = [begin for begin, _ in found]
    shown = sum(end < 0 or end > begin + 1 for begin, end in found)  # the numbers of notes follow one another
    return 2 * shown > len(lines) > 1 and starts == sorted(starts) and starts[0] < starts[-1]


def root_of(head: bytes, is_prose: bool) -> bytes | None:
    """Return the name of the first element of XML that begins like this. What `is_prose` by its name needs more signs:
    a declaration, or an attribute of the element. Parts of pages in HTML, which look the same, need them, too."""
    root = _XML.match(head)
    if not root:
        return None
    name, has_attribute = root[1], bool(root[2])
    if head.lstrip().startswith((b"<?xml", b"<!DOCTYPE")):
        return name
    if name.lower() in _OF_HTML:
        return name if has_attribute and b"xmlns" in head else None
    return name if has_attribute or not is_prose else None


def unread_text(head: bytes, is_prose: bool) -> str | None:
    """Return what text of a format that is not read is, and what converts it. What `is_prose` by its name needs more
    signs."""
    if _CELLS.match(head) and _CELL.search(head) and not _is_row(head):
        return "a notebook of Jupyter; `jupyter nbconvert --to markdown FILE` writes its text"
    if (_LATEX_DOCUMENT if is_prose else _LATEX).match(head):
        return "LaTeX; `pandoc -t plain --wrap none FILE` writes its text"
    if _SUBSTATION.match(head):
        return "subtitles of SubStation; `ffmpeg -i FILE subtitles.srt` writes some that are read"
    if _DATED.match(head) and (_OF_WHATSAPP.match(head) or _is_chat(head)):
        return "a chat of WhatsApp: nobody in it is an assistant, and its lines begin with times and names"
    return None


def _is_row(head: bytes) -> bool:
    """Whether content begins with an object that has more than a notebook has, in its first line or in all of it."""
    for content in (head.partition(b"\n")[0], head):
        try:
            row = json.loads(content)
        except (ValueError, RecursionError):
            continue
        return isinstance(row, dict) and not row.keys() <= _OF_NOTEBOOK
    return False


def _is_chat(head: bytes) -> bool:
    """Whether two lines, and most of those with a time, say who wrote them."""
    said, dated = len(_BY_SOMEBODY.findall(head)), len(_DATED.findall(head))
    return said > 1 and 2 * said > dated
