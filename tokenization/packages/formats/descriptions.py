"""Descriptions of Debian's packages, as apt's translation index has them -> one document per package."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FIELD = re.compile(r"^Description-[a-z_A-Z]+: ?(.*(?:\n .*)*)", re.MULTILINE)


def descriptions(index: bytes) -> Iterator[str]:
    """The short description on a line, then a paragraph per line; lists, which are further in, line by line."""
    for match in _FIELD.finditer(index.decode("utf-8")):
        short, *rest = match[1].split("\n")
        lines, fresh = [short], True
        for line in (line[1:] for line in rest):
            if line == ".":
                fresh = True
            elif fresh or line.startswith(" "):
                lines.append(line.strip())
                fresh = False
            else:
                lines[-1] += f" {line.strip()}"
        yield "\n".join(lines)
