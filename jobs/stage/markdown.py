"""Write Markdown: tables that also look right in a terminal, foreign text on one line, and pages with a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.stage.context import Reporter

LANGUAGE_NAMES = {"en": "English", "pl": "Polish"}
SHOWN = 100  # examples in each language that a data card shows
LONGEST = 300  # characters of a text in an example


def table(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """A table with aligned columns: the first `names` columns to the left, the others to the right."""
    cells = [[_cell(text) for text in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        placed = zip(texts, widths, strict=True)
        return row([text.ljust(width) if i < names else text.rjust(width) for i, (text, width) in enumerate(placed)])

    rule = "|".join("-" * (width + 2) if i < names else "-" * (width + 1) + ":" for i, width in enumerate(widths))
    return "\n".join([line(cells[0]), f"|{rule}|", *map(line, cells[1:])])


def row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(_cell, cells))} |"


def inline(text: str) -> str:
    """Foreign text as one line of Markdown code, so that nothing in it acts as markup."""
    line = " ".join(text.replace("`", "'").split())
    return f"`{line}`"


def show_page(reporter: Reporter, folder: str, page: str, draw: Callable[[Path], None]) -> None:
    """Attach `page` as card.md and the picture that `draw` writes as card.png to the run.

    They are not part of the artifact: a card tells how fast the files were written, but an artifact has the same bytes
    whenever it is written.
    """
    with tempfile.TemporaryDirectory() as place:
        card, picture = Path(place, "card.md"), Path(place, "card.png")
        card.write_text(page, encoding="utf-8")
        draw(picture)
        for path in (card, picture):
            reporter.file(str(path), folder)


def _cell(text: str) -> str:
    """Replace bars, which would end the cell."""
    return text.replace("|", "/")
