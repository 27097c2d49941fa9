"""The picture of a data card: tokens, compression, lengths of documents, and what cleaning removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from jobs.shards.text_counts import Report, per_source

COLOURS = {"en": "#0072B2", "pl": "#D55E00"}
NAMES = {"en": "English", "pl": "Polish"}
GREY = "#999999"
MOST_BARS = 14  # more would not be read; the rest is on the page


def draw(report: Report, corpus: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture as PNG. Arguments as in `jobs.shards.text_card.write_card`."""
    found = sorted(per_source(report).items(), key=lambda item: -item[1]["trained_tokens"])[:MOST_BARS]
    figure = Figure(figsize=(13, 4 + 0.45 * len(found)), layout="constrained")
    (tokens, compression), (lengths, removed) = figure.subplots(2, 2)
    labels = [source for (source, _), _ in found]
    colours = [COLOURS[language] for (_, language), _ in found]
    millions = [counts["trained_tokens"] / 1e6 for _, counts in found]
    passes = [f"{report['passes'][f'{source}/{language}']:.2f} passes" for (source, language), _ in found]
    bars(tokens, labels, millions, colours, [f"{n:,.2f}, {p}" for n, p in zip(millions, passes, strict=True)])
    tokens.set_title("Training tokens by source (million)")
    ratios = [counts["bytes"] / max(1, counts["tokens"]) for _, counts in found]
    bars(compression, labels, ratios, colours, [f"{ratio:.2f}" for ratio in ratios])
    compression.set_title("Bytes per token by source")
    _histogram(lengths, report["lengths"])
    _removed(removed, corpus)
    language_legend(figure)
    figure.savefig(path, dpi=110)


def language_legend(figure: Figure) -> None:
    handles = [Patch(color=COLOURS[language], label=NAMES[language]) for language in NAMES]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)


def bars(
    axes: Axes, labels: Sequence[str], values: Sequence[float], colours: Sequence[str], notes: Sequence[str]
) -> None:
    """Horizontal bars, the first on top, each with its figure."""
    places = range(len(labels))
    axes.barh(places, values, color=colours)
    for place, value, note in zip(places, values, notes, strict=True):
        axes.annotate(note, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(values, default=1) or 1)
    axes.spines[["top", "right"]].set_visible(False)


def _histogram(axes: Axes, lengths: Mapping[str, Sequence[int]]) -> None:
    there = [i for counts in lengths.values() for i, count in enumerate(counts) if count]
    shown = range(min(there, default=0), max(there, default=0) + 1)
    for i, (language, counts) in enumerate(sorted(lengths.items())):
        shares = [counts[n] / max(1, sum(counts)) for n in shown]
        axes.bar([place + 0.4 * (i - 0.5) for place in shown], shares, 0.38, color=COLOURS[language])
    axes.set_xticks(shown, [f"{2**n:,}" for n in shown], rotation=30)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("tokens of a document, from … to twice as many")
    axes.set_title("Lengths of documents (% of those of the language)")
    axes.spines[["top", "right"]].set_visible(False)


def _removed(axes: Axes, corpus: Sequence[Mapping[str, Any]]) -> None:
    sizes: Counter[str] = Counter()
    for source in corpus:
        sizes.update({reason: entry["bytes"] for reason, entry in source["removed"].items()})
    read = sum(source["bytes_read"] for source in corpus)
    shown = sizes.most_common(MOST_BARS)
    notes = [f"{size / 1e6:.2f} MB, {size / read:.1%} of what was read" for _, size in shown]
    bars(axes, [reason for reason, _ in shown], [size / 1e6 for _, size in shown], [GREY] * len(shown), notes)
    axes.set_xlim(0, 1.8 * axes.get_xlim()[1])
    axes.set_title("Removed by cleaning, by reason (MB)" if shown else "Nothing is known to have been removed")
