"""Manual pages in roff (the macros `man` and `mdoc`) -> one document per page, of its running text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members
from tokenization.packages.formats.plain_text import decode, prose

# Requests whose arguments are text, those that end a paragraph, and blocks that hold no prose.
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
    """Pages that are more than a pointer to another one."""
    for data in read_members(archive, pattern).values():
        if text := page_text(decode(data, "iso8859-2")):
            yield text


def page_text(roff: str) -> str:
    """The paragraphs of a page's descriptions; tables, examples, labels and lists of names are left out."""
    return prose(_paragraphs(roff))


def _paragraphs(roff: str) -> Iterator[str]:
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
    """Without fonts and sizes, and with characters for their names."""
    text = _CHARACTER.sub(_character, _FONT.sub("", re.sub(r'\\".*', "", text)))
    return re.sub(r"\\(.)", lambda match: {"e": "\\", "~": " ", "0": " "}.get(match[1], match[1]), text)


def _character(match: re.Match[str]) -> str:
    name = next(filter(None, match.groups()), "")
    if re.fullmatch(r"u[0-9A-F]{4,5}", name):
        return chr(int(name[1:], 16))
    return _NAMED.get(name, "")
