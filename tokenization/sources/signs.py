"""Signs that text is mail, subtitles, XML, or of a format that is not read. Prose may begin as any of them does, so each
sign is one that prose does not give: whole lines, and more than one of them.

Every pattern looks at a bounded part of a line, so no content takes long.
"""

from __future__ import annotations

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
