"""Write measured figures into the documentation, so that nobody types one.

    python -m tests.benchmarks.render            rewrites the blocks of all documents
    python -m tests.benchmarks.render --check    names the documents whose blocks are out of date, with exit code 1

A block of a Markdown document stands between `<!-- results: NAME -->` and `<!-- end -->`, each on a line of its own.
What stands in it comes from the function of that name in one of the three statements.py, which read the lines of
results/. Nothing but Python is needed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import statements as _others  # noqa: F401  (to import statements is to register them)
from tests.benchmarks.data import statements as _data  # noqa: F401
from tests.benchmarks.memory import statements as _memory  # noqa: F401
from tests.benchmarks.result_lines import RESULTS, STATEMENTS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^<!-- results: (?P<name>[\w-]+) -->\n(?P<text>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
WIDTH = 120


def documents() -> list[Path]:
    """Return all Markdown files of the project."""
    places = (ROOT.glob("*.md"), *((ROOT / name).rglob("*.md") for name in ("docs", "infra", "tests/benchmarks")))
    return sorted(path for found in places for path in found)


def rendered(text: str, folder: Path) -> str:
    """Return the text of a document in `folder`, with all its blocks as the results have them today. Raises ValueError
    for a block that no statement has the name of."""

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in STATEMENTS:
            raise ValueError(f"no results are called {name!r}; there are: {', '.join(sorted(STATEMENTS))}")
        text = STATEMENTS[name]().replace("(RESULTS/", f"({os.path.relpath(RESULTS, folder)}/")
        return f"<!-- results: {name} -->\n{filled(text)}<!-- end -->"

    return BLOCK.sub(block, text)


def filled(text: str) -> str:
    """Wrap prose and lists at the width of the documents. Rows of tables stay as they are."""
    return "".join(f"{line}\n" for written in text.splitlines() for line in _fill(written) or [""])


def _fill(line: str) -> list[str]:
    if line.startswith("|"):
        return [line]
    indent = "  " if line.startswith("- ") else ""
    line = re.sub(r"(?<=\d) (?=\S)", "\N{NO-BREAK SPACE}", line)  # a number stays with its unit
    wrapped = textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace("\N{NO-BREAK SPACE}", " ") for part in wrapped]


def out_of_date() -> Iterator[tuple[Path, str]]:
    """Return the documents that differ from what the results say, each with its new text."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        if (new := rendered(text, path.parent)) != text:
            yield path, new


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    changed = list(out_of_date())
    for path, text in changed:
        print(f"{path.relative_to(ROOT)}: {'is out of date' if check else 'rewritten'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
