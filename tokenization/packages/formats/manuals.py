"""Extract running text, one document per file, from manual pages in roff (the macros `man` and `mdoc`), Perl's plain
old documentation (`.pod`) and reStructuredText (`.rst`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import decode, prose

# Requests whose arguments are text; requests that end a paragraph; and blocks that hold no prose.
_TEXT = {"B", "I", "R", "SB", "SM", "BI", "BR", "IB", "IR", "RB", "RI", "UR", "MT", "Nm", "Ar", "Fl", "Em", "Sy", "Pa",
         "Ic", "Li", "Xr", "Nd", "Va", "Fa", "Dv", "Ev", "Cm", "Qq", "Dq", "Sq", "Ql"}  # fmt: skip
_PARAGRAPH = {"PP", "P", "LP", "HP", "IP", "TP", "TQ", "sp", "br", "SH", "SS", "RS", "RE", "Pp", "Sh", "Ss", "It", "Bl",
              "El"}  # fmt: skip
_TAGGED = {"TP", "TQ"}  # the next line is a label
_BLOCKS = {"nf": "fi", "EX": "EE", "TS": "TE", "EQ": "EN", "Bd": "Ed", "SY": "YS", "ig": "."}
_TIGHT = {"BI", "BR", "IB", "IR", "RB", "RI"}  # their arguments are set without a space
_LEFT_OUT = re.compile(r"^(SYNOPSIS|SKŁADNIA|SEE ALSO|ZOBACZ TAKŻE|NAME|NAZWA|COLOPHON|AUTHORS?|AUTOR(ZY)?|COPYRIGHT|"
                       r"TŁUMACZENIE|ZGŁASZANIE BŁĘDÓW|REPORTING BUGS|O STRONIE|EXAMPLES?|PRZYKŁADY?)\b")  # fmt: skip
_NAMED = {"aq": "'", "dq": '"', "cq": "’", "oq": "‘", "lq": "“", "rq": "”", "Bq": "„", "bu": "•", "em": "—", "en": "–",
          "mu": "×", "co": "©", "ti": "~", "ha": "^", "rs": "\\", "->": "→", "<-": "←", "<=": "≤", ">=": "≥", "+-": "±",
          "Fo": "«", "Fc": "»", "ga": "`", "sq": "'", "de": "°", "12": "½", "mc": "µ", "!=": "≠"}  # fmt: skip
_CHARACTER = re.compile(r"\\\((..)|\\\[([^\]]*)\]|\\\*\((..)|\\\*\[([^\]]*)\]|\\\*(.)")
_FONT = re.compile(r"\\f(\[[^\]]*\]|\(..|.)|\\s[+-]?\d+|\\[&/,:%|^)c]|\\[mM](\[[^\]]*\]|\(..|.)|\\[hvwXnkFd]'[^']*'")


def man_pages(archive: bytes, pattern: str = r"/man/(pl/)?man\d/[^/]+\.gz$") -> Iterator[str]:
    """Yield manual pages, unless they only point to another page."""
    for data in read_members(archive, pattern).values():
        if text := roff_text(decode(data, "iso8859-2")):
            yield text


def roff_text(roff: str) -> str:
    """Return the paragraphs of a page's descriptions. Tables, examples, labels and lists of names are left out."""
    return prose(_roff_paragraphs(roff))


def _roff_paragraphs(roff: str) -> Iterator[str]:
    words: list[str] = []
    until, label, skipped = "", False, False
    for line in roff.split("\n"):
        request, _, rest = line[1:].strip().partition(" ") if line.startswith((".", "'")) else ("", "", line)
        if until:
            until = "" if request == until else until
        elif request in _BLOCKS:
            until = _BLOCKS[request]
        elif request in _PARAGRAPH or (not request and not line.strip()):
            yield " ".join(words)
            words, label = [], request in _TAGGED
            if request in ("SH", "Sh"):
                skipped = bool(_LEFT_OUT.match(unescape(rest).strip(' "')))
        elif label:
            label = False
        elif not skipped and not line.startswith(('.\\"', "'\\")):
            words += _words(request, rest)
    yield " ".join(words)


def _words(request: str, rest: str) -> list[str]:
    if request in _TEXT:
        arguments = [quoted or bare for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|(\S+)', rest)]
        rest = ("" if request in _TIGHT else " ").join(arguments)
    elif request:
        return []
    return unescape(rest).split()


def unescape(text: str) -> str:
    """Remove changes of font and size, and replace names of characters by the characters."""
    text = _CHARACTER.sub(_character, _FONT.sub("", re.sub(r'\\".*', "", text)))
    return re.sub(r"\\(.)", lambda match: {"e": "\\", "~": " ", "0": " "}.get(match[1], match[1]), text)


def _character(match: re.Match[str]) -> str:
    name = next(filter(None, match.groups()), "")
    if re.fullmatch(r"u[0-9A-F]{4,5}", name):
        return chr(int(name[1:], 16))
    return _NAMED.get(name, "")


_CODE = re.compile(r"([A-Z])(?:<<+ (.*?) >>+|<([^<>]*)>)", re.DOTALL)
_ESCAPES = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}


def pod_pages(archive: bytes, pattern: str = r"\.pod$") -> Iterator[str]:
    """Yield Perl's pages in the order of their paths."""
    for data in read_members(archive, pattern).values():
        if text := pod_text(decode(data)):
            yield text


def pod_text(pod: str) -> str:
    """Return the ordinary paragraphs that are prose. Commands and verbatim (indented) paragraphs are left out."""
    blocks = re.split(r"\n[ \t]*\n", pod)
    return prose(without_codes(" ".join(block.split())) for block in blocks if not re.match(r"\n*[=\s]", block))


def without_codes(text: str) -> str:
    """Remove formatting codes, innermost first. A link becomes its text, and an index entry disappears."""
    while (changed := _CODE.sub(_content, text)) != text:
        text = changed
    return text.replace("\1", "<").replace("\2", ">")


def _content(match: re.Match[str]) -> str:
    code, content = match[1], match[2] or match[3] or ""
    if code == "E":
        return {"lt": "\1", "gt": "\2"}.get(content, _ESCAPES.get(content, ""))
    if code in "XZ":
        return ""
    return content.partition("|")[0] if code == "L" else content.replace("<", "\1").replace(">", "\2")


_UNDERLINE = re.compile(r"^([^\w\s])\1{2,}\s*$")
_ITEM = re.compile(r"^\s*([-*+•]|\(?(\d+|[a-z#])[.)])\s+")
_ROLE = re.compile(r":[a-z:]+:`([^`<]*?)\s*(<[^`>]*>)?`")
_MARKED = re.compile(r"``(.+?)``|`([^`<]+?)\s*(?:<[^`>]*>)?`_{0,2}|\*\*(.+?)\*\*|(?<!\w)\*(\S(?:[^*]*\S)?)\*(?!\w)")


def rst_files(archive: bytes, pattern: str) -> Iterator[str]:
    """Yield the text of each file, in the order of the paths."""
    for data in read_members(archive, pattern).values():
        if text := rst_text(decode(data)):
            yield text


def rst_text(rst: str) -> str:
    """Return paragraphs and list items, but no directives, literal blocks, headings, tables, fields or comments."""
    return prose(_rst_paragraphs(rst.expandtabs().split("\n")))


def _rst_paragraphs(lines: list[str]) -> Iterator[str]:
    for block in _rst_blocks(lines):
        if any(_UNDERLINE.match(line) for line in block) or re.match(r"\s*(:\w[^:]*:( |$)|[|+])", block[0]):
            continue
        item: list[str] = []
        for line in block:
            if _ITEM.match(line) and item:
                yield without_roles(" ".join(item))
                item = []
            item += _ITEM.sub("", line).split()
        yield without_roles(" ".join(item))


def _rst_blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield runs of lines between empty lines. Lines indented further than a preceding `::` or `..` are left out."""
    literal: int | None = None
    block: list[str] = []
    for line in [*lines, ""]:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip():
            if indent > literal:
                continue
            literal = None
        if line.strip():
            if not block and line.lstrip().startswith(".."):
                literal = indent
                continue
            block.append(line)
        elif block:
            if block[-1].rstrip().endswith("::"):
                literal = len(block[0]) - len(block[0].lstrip())
                block[-1] = block[-1].rstrip()[:-1]
            yield block
            block = []


def without_roles(text: str) -> str:
    """Remove roles and marks of emphasis."""
    return _MARKED.sub(lambda match: next(filter(None, match.groups())), _ROLE.sub(r"\1", text)).replace("\\", "")
