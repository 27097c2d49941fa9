"""Descriptions of Debian's packages, as apt's translation index has them -> one document per package."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FIELD = re.compile(r"^Description-[a-z_A-Z]+: ?(.*(?:\n .*)*)", re.MULTILINE)


def descriptions(index: bytes) -> Iterator[str]:
    """The short description on a line, then a paragraph per line; lists (further in) line by line."""
    for match in _FIELD.finditer(index.decode("utf-8")):
        text = ""
        for line in match[1].split("\n"):
            line = line.removeprefix(" ")
            new = line == "." or line.startswith(" ") or not text or "\n" not in text
            text += f"\n{line.strip(' .') if line == '.' else line.strip()}" if new else f" {line.strip()}"
        yield re.sub(r"\n +|\n{2,}", "\n", text).strip()
