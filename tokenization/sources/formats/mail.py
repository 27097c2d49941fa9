"""Read mail: a message, or many of them in one file (mbox)."""

from __future__ import annotations

import email
import email.policy
import io
import re
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage

from tokenization.cleaning.repair import without_empty_lines
from tokenization.quarantine import MOST_BYTES, Rejected, excerpt
from tokenization.sources.encoding import TextDecoder, decoded_as
from tokenization.sources.formats.web import known_encoding, text_of
from tokenization.sources.listing import Slice
from tokenization.sources.signs import POSTMARK
from tokenization.sources.source import Columns, Row

_LINE = 1 << 20  # bytes that are read at once
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_QUOTE = re.compile(r"\s{0,3}>")
_WROTE = re.compile(
    r".*(\bwrote|\bwrites|Wiadomość napisana przez .*|\bschrieb|a écrit|napisał\(?a?\)?|\bpisze|<\S+@\S+>)\s*:\s*$"
)
_ON = re.compile(r"(On|W dniu|Dnia)\b")
# What follows these lines is another message, or no text.
_END = re.compile(
    r"-- ?$|-{2,}\s*(Original Message|Forwarded message|Wiadomość oryginalna|Oryginalna wiadomość|Przekazana wiadomość)"
    r"|-----BEGIN PGP (SIGNATURE|MESSAGE)|_{20,}$",
    re.IGNORECASE,
)
# What programs put below a message, if nothing of its own stands behind it.
_SENT = re.compile(
    r"(Sent from (my|Outlook|Mail|Yahoo|Proton)|Sent via|Get Outlook for)\b.{0,60}$"
    r"|Wysłan[eo] z (mojego|iPhone|Androida|programu|poczty)\b.{0,60}$",
    re.IGNORECASE,
)
# The head of a message that Outlook quotes without signs. All below it is quoted.
_HEAD = re.compile(
    r"^[ *]*(From|Od)[ *]*:.*\n(?:.*\n)?[ *]*(Sent|Date|Wysłano|Wysłane|Data)[ *]*:.*\n"
    r"[ *]*(To|Cc|Subject|Do|DW|Temat)[ *]*:",
    re.MULTILINE,
)
_OF_MAIL, _NEAR = re.compile(r"@|\b(?:Subject|Temat)[ *]*:"), 200  # characters
_ARMOUR = re.compile(r"-----BEGIN PGP SIGNED MESSAGE-----\n(Hash: .*\n)*")


def mail(columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Iterator[Row | Rejected]:
    """Yield the body of each message as the column `columns.plain` of a row: the plain text or, without one, that of
    the page in HTML. Headers, quoted lines and signatures are left out. Attachments are counted in one `Rejected` at
    the end."""
    attached: Counter[str] = Counter()
    for number, content in enumerate(_messages(stream)):
        place = f"message {number}"
        if len(content) > MOST_BYTES:
            yield Rejected(part.url, place, "too long", f"more than {MOST_BYTES:,} bytes", excerpt(content))
            continue
        message = email.message_from_bytes(content, policy=email.policy.default)
        body = message.get_body(("plain", "html"))
        attached.update(each.get_content_type() for each in message.iter_attachments())
        text = _own_words(_text(body, decoder)) if isinstance(body, EmailMessage) else ""
        if text:
            yield Row(part.url, place, {columns.plain: text})
        else:
            yield Rejected(part.url, place, "empty", "nothing but quoted text" if body else "no body that is text")
    if attached:
        detail = ", ".join(f"{count:,} of {kind}" for kind, count in attached.most_common(5))
        yield Rejected(part.url, "the whole", "not text", f"attachments: {detail}")


def _messages(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield messages. One that is too long is cut after MOST_BYTES, so that it can be told."""
    if not POSTMARK.match(stream.peek(_LINE)):
        yield stream.read(MOST_BYTES + 1)
        return
    lines: list[bytes] = []
    size, after_blank, at_line = 0, True, True
    while line := stream.readline(_LINE):
        if at_line and after_blank and POSTMARK.match(line):
            if lines:
                yield _ESCAPED.sub(rb"\1", b"".join(lines))
            lines, size, after_blank = [], 0, False
            continue
        after_blank, at_line = at_line and not line.strip(), line.endswith(b"\n")
        if size <= MOST_BYTES:
            lines.append(line)
        size += len(line)
    if lines:
        yield _ESCAPED.sub(rb"\1", b"".join(lines))


def _text(body: EmailMessage, decoder: TextDecoder) -> str:
    content = body.get_payload(decode=True)
    content = content if isinstance(content, bytes) else b""
    stated = (body.get_content_charset() or "").lower()
    declared = "" if stated == "us-ascii" else known_encoding(stated)
    own = TextDecoder(decoder.language, decoder.name)
    if body.get_content_subtype() == "html":
        return text_of(content, own, declared, whole=True, without="blockquote, .gmail_quote, .moz-cite-prefix")
    return decoded_as(declared, content, own)


def _own_words(text: str) -> str:
    """Return what the sender wrote, without what is quoted and the line that says whom."""
    kept: list[str] = []
    quoted = False
    text = _ARMOUR.sub("", text.replace("\r\n", "\n"))
    if (head := _HEAD.search(text)) and _OF_MAIL.search(text, head.start(), head.end() + _NEAR):
        text = text[: head.start()]
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _END.match(line) or (_SENT.match(line) and _is_last(lines[number + 1 :])):
            break
        if not _QUOTE.match(line):
            quoted = False
            kept.append(line)
            continue
        if not quoted:
            while kept and not kept[-1].strip():
                kept.pop()
            if kept and _WROTE.match(kept[-1]):
                is_second = not _ON.match(kept.pop())
                if is_second and kept and _ON.match(kept[-1]):
                    kept.pop()
            kept.append("")
        quoted = True
    return without_empty_lines("\n".join(kept))


def _is_last(lines: list[str]) -> bool:
    """Whether only quotes follow, if anything."""
    following = next(filter(str.strip, lines), "")
    return not following or any(sign.match(following) for sign in (_QUOTE, _ON, _WROTE))
