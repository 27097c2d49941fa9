"""Take the running text out of wikitext: no templates, tables, references, pictures and lists of sources.

What a template would show is not in the text, so a sentence may lack a number or a name that stands in one.
"""

from __future__ import annotations

import re
from html import unescape

_REDIRECT = re.compile(r"\s*#\s*\w+\s*:?\s*\[\[")
_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_NO_TEXT = "ref math chem gallery timeline syntaxhighlight source pre score imagemap graph table references".split()
_ELEMENT = re.compile(rf"<({'|'.join(_NO_TEXT)})\b(?:[^<>]*/>|[^<>]*>.*?</\1\s*>)", re.DOTALL | re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{\{[^{}]*\}\}\}|\{\{[^{}]*\}\}|-\{[^{}]*\}-")
_TABLE = re.compile(r"^[ :*#]*\{\|(?:(?!^[ :*#]*\{\|).)*?^\s*\|\}", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_ADDRESS = re.compile(r"\[(?:https?:|ftp:|mailto:|//)[^\s\]]*\s*([^\[\]]*)\]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_BOLD = re.compile(r"'{2,5}")
_SWITCH = re.compile(r"__[A-Z]+__")
_HEADING = re.compile(r"\s*(={1,6})\s*(.+?)\s*\1\s*")
_LIST = re.compile(r"^[*#:;]+\s*")
# Links that show a picture, name a category, or lead to another language.
_NO_LABEL = re.compile(
    r"\s*(file|image|media|category|plik|grafika|kategoria|[a-z]{2,3}(?:-[a-z]+)?)\s*:(?!\s)", re.IGNORECASE
)
_PICTURE = re.compile(r"\s*(file|image|plik|grafika)\s*:", re.IGNORECASE)
_SOURCES = frozenset(
    "references,notes,footnotes,citations,sources,bibliography,further reading,external links,see also,"
    "notes and references,przypisy,uwagi,bibliografia,linki zewnętrzne,zobacz też,literatura,źródła".split(",")
)
_DEEPEST = 30  # templates in templates


def is_redirect(wikitext: str) -> bool:
    """Whether a page only leads to another: `#REDIRECT [[...]]`, under any word for it."""
    return bool(_REDIRECT.match(wikitext))


def without_markup(wikitext: str) -> str:
    """Return the paragraphs, headings and items of a page, one per line. Sections that list sources and other pages are
    left out, and so is a heading with nothing below it."""
    text = _ELEMENT.sub("", _COMMENT.sub("", wikitext))
    for pattern in (_TEMPLATE, _TABLE):
        text = _removed(pattern, text)
    for _ in range(_DEEPEST):
        text, count = _LINK.subn(_label, text)
        if not count:
            break
    text = _ADDRESS.sub(r"\1", _SWITCH.sub("", text))
    text = unescape(_TAG.sub("", _BREAK.sub(" ", _BOLD.sub("", text))))
    return "\n".join(_lines(text))


def _removed(pattern: re.Pattern[str], text: str) -> str:
    """Remove what matches, from the inside out."""
    for _ in range(_DEEPEST):
        text, count = pattern.subn("", text)
        if not count:
            break
    return text


def _label(link: re.Match[str]) -> str:
    target, bar, label = link[1].partition("|")
    if _PICTURE.match(target) or _NO_LABEL.match(target):
        return ""
    return label.rpartition("|")[2] if bar else target.lstrip(": ")


def _lines(text: str) -> list[str]:
    found: list[str] = []
    headings: list[tuple[int, str]] = []
    left_out = 0  # the level of the heading of a section that is left out
    for line in text.split("\n"):
        if heading := _HEADING.fullmatch(line):
            level = len(heading[1])
            if left_out and level > left_out:
                continue
            left_out = level if heading[2].strip().casefold() in _SOURCES else 0
            headings = [one for one in headings if one[0] < level]
            if not left_out:
                headings.append((level, heading[2]))
            continue
        words = " ".join(_LIST.sub("", line.strip()).split())
        if words and not left_out:
            found += [heading for _, heading in headings]
            headings = []
            found.append(words)
    return found
