"""Read plain text: a file as one document, or its lines or paragraphs as documents."""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterator

from tokenization.quarantine import MOST_BYTES, Reason, Rejected, excerpt, flaw
from tokenization.sources.compression import without_ending
from tokenization.sources.encoding import TextDecoder
from tokenization.sources.formats.lines import decoded, lines, undecoded
from tokenization.sources.listing import Slice, name_of
from tokenization.sources.source import Columns, Row
from tokenization.sources.streams import skip

Texts = Iterator[tuple[str, str | Rejected]]  # each with its place

BLOCK_BYTES = 1 << 20  # paragraphs without blank lines are cut here, at a line end
_MARKDOWN = ("md", "markdown", "rst")
_YAML = re.compile(  # each line is a key in small letters, an item, or stands under one; blank lines before comments
    r"---[ \t\r]*\n((?:[a-z_][\w-]*|\"[^\"\n]*\"):(?:[ \t][^\n]*|\r)?\n"
    r"(?:[A-Za-z_\"][\w\" -]*:(?:[ \t][^\n]*|\r)?\n|[ \t]+\S[^\n]*\n|-[ \t][^\n]*\n|(?:\r?\n)*\#[^\n]*\n)*)"
    r"(?:---|\.\.\.)[ \t\r]*(?:\n|$)"
)
_TOML = re.compile(r"\+\+\+[ \t\r]*\n(.*?\n)\+\+\+[ \t\r]*(?:\n|$)", re.DOTALL)


def plain_text(
    columns: Columns, part: Slice, stream: io.BufferedReader, decoder: TextDecoder
) -> Iterator[Row | Rejected]:
    """Yield the documents that begin in the slice, each as the column `columns.plain` of a row. A file that is cut into
    lines or paragraphs may be of any length."""
    found = {"document": _document, "line": _lines, "paragraph": _paragraphs}[columns.split_by](part, stream, decoder)
    for place, text in found:
        yield text if isinstance(text, Rejected) else Row(part.url, place, {columns.plain: text})


def _document(part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Texts:
    """The whole file, without the front matter of Markdown, which is rejected."""
    name = name_of(part.url)
    is_markdown = without_ending(name).lower().rpartition(".")[2] in _MARKDOWN
    for place, text in whole_text(part, stream, decoder):
        if isinstance(text, Rejected) or not (is_markdown and (end := _front_matter(text))):
            yield place, text
            continue
        yield place, Rejected(part.url, place, "not text", "front matter", excerpt(text[:end]))
        yield place, text[end:]


def _front_matter(text: str) -> int:
    """Return where the front matter in YAML or TOML ends, or 0 if the text begins with none."""
    if found := _YAML.match(text):
        return found.end()
    if found := _TOML.match(text):
        try:
            return found.end() if tomllib.loads(found[1].replace("\r\n", "\n")) else 0
        except ValueError:
            return 0
    return 0


def whole_text(part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Texts:
    """Yield the content of a file of text, or why there is none, with its place. A few bytes that are not UTF-8 become
    U+FFFD; cleaning drops the paragraphs that have them."""
    content = stream.read(MOST_BYTES + 1)
    whole = "the whole"
    if len(content) > MOST_BYTES:
        size = len(content) + skip(stream)
        detail = f"a document of {size:,} bytes; split_by = 'paragraph' or 'line' reads a file in parts"
        yield whole, Rejected(part.url, whole, "too long", detail, excerpt(content))
        return
    try:
        yield whole, decoder(content)
    except UnicodeDecodeError as error:
        place = f"byte {decoder.mark + error.start}"
        if decoder.name != "utf-8":
            yield whole, Rejected(part.url, place, *undecoded(decoder, "its place"), excerpt(content[error.start :]))
            return
        yield whole, Rejected(part.url, place, "not UTF-8", "here first", excerpt(content[error.start :]))
        yield whole, content.decode("utf-8", "replace")


def _lines(part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Texts:
    for line in lines(part, stream, decoder):
        if part.stop is not None and line.offset >= part.stop:
            return
        text, bad = decoded(line, stream, decoder)
        if bad or not _is_blank(text):
            place = f"byte {line.offset}"
            yield place, Rejected(part.url, place, *bad, excerpt(line.content)) if bad else text


def _paragraphs(part: Slice, stream: io.BufferedReader, decoder: TextDecoder) -> Texts:
    """The blocks between blank lines. A slice begins with the first block after a blank line in it, and its last block
    may end beyond it. If a line of a block cannot be read, no block with a hole remains: the block is rejected."""
    block: list[str] = []
    begin, size, inside = part.start, 0, not part.start
    trouble: tuple[str, tuple[Reason, str], bytes] | None = None

    def taken() -> Texts:
        nonlocal size, trouble
        if trouble:
            place, why, content = trouble
            yield place, Rejected(part.url, place, *why, excerpt(content))
        elif block:
            yield f"byte {begin}", "".join(block)
        block.clear()
        size, trouble = 0, None

    for line in lines(part, stream, decoder):
        text, bad = decoded(line, stream, decoder)
        if not bad and _is_blank(text):
            yield from taken()
            if part.stop is not None and line.offset >= part.stop:
                return
            inside = True
        elif inside:
            if size + line.size > BLOCK_BYTES:
                yield from taken()
            bad = bad or flaw(text)
            if bad and not trouble:
                trouble = f"byte {line.offset}", bad, line.content
            begin = line.offset if not size else begin
            block.append(text)
            size += line.size
    yield from taken()


def _is_blank(text: str) -> bool:
    """Whether a line shows nothing: word processors leave a no-break space in empty ones."""
    return not text.strip()
