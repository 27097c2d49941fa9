"""Read pages in HTML, and WARC files of crawls: the running text of a page, without menus and other frames.

The library Resiliparse finds the main content. It also reads WARC and, with the same text as others, takes a tenth of
their time.
"""

from __future__ import annotations

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Rejected, excerpt
from tokenization.sources.encoding import EncodingError, TextDecoder, decoded_as
from tokenization.sources.formats.html_lists import MOST, number_lists
from tokenization.sources.listing import Slice
from tokenization.sources.source import Columns, Row
from tokenization.sources.streams import skip

_DECLARED = re.compile(rb"<(?:meta[^>]{0,200}charset|\?xml[^>]{0,100}encoding)\s*=\s*[\"']?([\w:.-]+)", re.IGNORECASE)
_DECLARED_WITHIN = 4_096  # bytes
_LIST = re.compile(rb"<ul[\s>]", re.IGNORECASE)
_HTML, _TEXT = ("text/html", "application/xhtml+xml"), "text/plain"


def html_page(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield the text of the page as the column `columns.plain` of a row."""
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        detail = f"a page of {len(content) + skip(stream):,} bytes"
        yield Rejected(part.url, "the whole", "too long", detail, excerpt(content))
        return
    yield Row(part.url, "the whole", {columns.plain: text_of(content, decoder)})


def warc_records(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield the text of each page, in its order: of responses in HTML or plain text, and of texts that were extracted
    before (WET). Records of other types are counted in one `Rejected` at the end."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    kinds = WarcRecordType.response | WarcRecordType.conversion | WarcRecordType.resource
    other: Counter[str] = Counter()
    for record in ArchiveIterator(stream, record_types=kinds, parse_http=True):
        place = f"record {record.record_id}"
        stated = record.http_content_type if record.is_http else record.headers.get("Content-Type")
        kind = (stated or "unknown").partition(";")[0].strip().lower()
        if kind not in (*_HTML, _TEXT):
            other[kind] += 1
            continue
        content = record.reader.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            yield Rejected(part.url, place, "too long", f"more than {MOST_BYTES:,} bytes", excerpt(content))
            continue
        own = TextDecoder(decoder.language)
        declared = known_encoding(record.http_charset) if record.is_http else "utf-8"
        try:
            text = decoded_as(declared, content, own) if kind == _TEXT else text_of(content, own, declared)
        except (EncodingError, UnicodeDecodeError) as error:
            yield Rejected(part.url, place, "unknown encoding", str(error), excerpt(content))
            continue
        yield Row(part.url, place, {columns.plain: text})
    if other:
        detail = ", ".join(f"{count:,} of {kind}" for kind, count in other.most_common(5))
        yield Rejected(part.url, "the whole", "not text", f"records: {detail}")


def text_of(content: bytes, decoder: TextDecoder, declared: str = "", whole: bool = False, without: str = "") -> str:
    """Return the running text of a page in HTML, a paragraph per line; all of its text if it is `whole`, as books and
    mail have no menus. What the CSS selector `without` selects is left out. The encoding is the one that the decoder
    was told, else the one that was `declared` with the page or in it, unless it is another."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    if not declared and (found := _DECLARED.search(content[:_DECLARED_WITHIN])):
        declared = known_encoding(found[1].decode("ascii"))
    tree = HTMLTree.parse(decoded_as(declared, content, decoder))
    if without:
        for node in tree.document.query_selector_all(without):
            node.decompose()
    if not whole and 0 < len(_LIST.findall(content)) <= MOST:
        number_lists(tree)
    return extract_plain_text(tree, main_content=not whole, list_bullets=False, alt_texts=False)


def known_encoding(label: str | None) -> str:
    """Return the codec for a label of the web, or an empty string for none that the web knows."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    name = label and map_encoding_to_html5(label, fallback_utf8=False)
    return codecs.lookup(name).name if name else ""
