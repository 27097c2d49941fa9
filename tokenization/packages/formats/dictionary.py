"""FreeDict dictionaries in dictd format -> one document per headword."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenization.packages.formats.dictd import entries

_HEADWORD = re.compile(r"^(?P<word>.+?) /.*/ <|^(?P<bare>.+?) <")
_LABEL = re.compile(r"\((?!\()[^()]*\)")


def dictionary(archive: bytes) -> Iterator[str]:
    """Headword and its definitions, each on a line of its own; translations, pronunciation and labels are left out."""
    return filter(None, map(entry_text, entries(archive)))


def entry_text(entry: str) -> str:
    """The lines of an entry: headword, then translations and their definition in turn."""
    head, *senses = entry.rstrip("\n").split("\n")
    match = _HEADWORD.match(head)
    definitions = list(dict.fromkeys(filter(None, map(_definition, senses[1::2]))))
    if not match or not definitions:
        return ""
    return "\n".join([match["word"] or match["bare"], *definitions])


def _definition(line: str) -> str:
    """Without labels of subject and style, "(1.1)" and the ellipsis of a shortened example."""
    text = re.sub(r"\s+", " ", _LABEL.sub("", line))
    return re.sub(r" ([,;.])", r"\1", text).strip(" ;,…:")
