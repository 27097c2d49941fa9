"""Draw the data cards' charts: bars labelled with figures, and histograms with both languages side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from jobs.stage.markdown import LANGUAGE_NAMES

COLOURS = {"en": "#0072B2", "pl": "#D55E00"}
GREY = "#999999"
MOST_BARS = 14  # nobody would read more; the page lists the rest
MOST_LABELS = 20  # more labels below a histogram would overlap


def language_legend(figure: Figure) -> None:
    """Add a legend with the colour of each language."""
    handles = [Patch(color=COLOURS[language], label=LANGUAGE_NAMES[language]) for language in LANGUAGE_NAMES]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)


def bars(
    axes: Axes, labels: Sequence[str], values: Sequence[float], colours: Sequence[str], notes: Sequence[str]
) -> None:
    """Draw horizontal bars, the first on top, each with its note behind it."""
    places = range(len(labels))
    axes.barh(places, values, color=colours)
    for place, value, note in zip(places, values, notes, strict=True):
        axes.annotate(note, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(values, default=1) or 1)
    axes.spines[["top", "right"]].set_visible(False)


def histogram(axes: Axes, counts: Mapping[str, Sequence[int]], labels: Sequence[str]) -> None:
    """Draw the languages' bars side by side, as shares of each language's sum. `labels` has one entry per place."""
    for i, (language, found) in enumerate(sorted(counts.items())):
        shares = [count / max(1, sum(found)) for count in found]
        axes.bar([place + 0.4 * (i - 0.5) for place in range(len(labels))], shares, 0.38, color=COLOURS[language])
    shown = range(0, len(labels), -(-len(labels) // MOST_LABELS) or 1)
    axes.set_xticks(shown, [labels[place] for place in shown])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
