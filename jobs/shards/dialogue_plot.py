"""Draw the picture of a dialogue card: all and supervised tokens, turns, lengths, and rows that were left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.shards.dialogue_counts import BINS, cells
from jobs.shards.dialogue_sources import Sources, left_out
from jobs.shards.job import Report
from jobs.stage.charts import COLOURS, GREY, MOST_BARS, bars, histogram, language_legend
from tokenization.shards.schema import Kind

PALE = 0.35  # opacity of the bars of all tokens


def draw(kind: Kind, length: int, report: Report, sources: Sources, path: Path) -> None:
    """Write the picture as PNG to `path`. Arguments as in `jobs.shards.dialogue_card.write_dialogue_card`."""
    train = [(source, language, counts) for source, language, split, counts in cells(report) if split == "train"]
    train = sorted(train, key=lambda cell: -cell[2]["tokens"])[:MOST_BARS]
    figure = Figure(figsize=(13, 6.5 + 0.3 * len(train)), layout="constrained")
    (tokens, second), (lengths, gone) = figure.subplots(2, 2)
    _tokens(tokens, train)
    if kind != "interactions":
        _turns(second, report["turns"])
    else:
        shares = [counts["supervised"] / counts["tokens"] for _, _, counts in train]
        _by_source(second, train, [100 * share for share in shares], [f"{share:.0%}" for share in shares])
        second.set_title("Supervised, of all training tokens (%)")
    _lengths(lengths, report["lengths"], length)
    _left_out(gone, sources)
    language_legend(figure)
    figure.savefig(path, dpi=110)


def _by_source(
    axes: Axes, train: Sequence[tuple[str, str, Any]], values: Sequence[float], notes: Sequence[str]
) -> None:
    bars(axes, [source for source, _, _ in train], values, [COLOURS[language] for _, language, _ in train], notes)


def _tokens(axes: Axes, train: Sequence[tuple[str, str, Mapping[str, int]]]) -> None:
    """Draw pale bars of all tokens, and bars of the supervised ones in full colour over them."""
    unit, name = (1e6, "million") if train and train[0][2]["tokens"] >= 1e6 else (1e3, "thousand")
    notes = [f"{counts['tokens']:,} in {counts['rows']:,} rows" for _, _, counts in train]
    _by_source(axes, train, [counts["tokens"] / unit for _, _, counts in train], notes)
    for bar in axes.patches:
        bar.set_alpha(PALE)
    supervised = [counts["supervised"] / unit for _, _, counts in train]
    axes.barh(range(len(train)), supervised, color=[COLOURS[language] for _, language, _ in train])
    axes.set_xlim(0, 1.2 * axes.get_xlim()[1])  # room for the notes
    axes.set_title(f"Training tokens by source ({name}); full colour: supervised")


def _turns(axes: Axes, turns: Mapping[str, Mapping[str, int]]) -> None:
    numbers = sorted({int(number) for found in turns.values() for number in found})
    counts = {language: [found.get(str(number), 0) for number in numbers] for language, found in turns.items()}
    histogram(axes, counts, [str(number) for number in numbers])
    axes.set_xlabel("interactions")
    axes.set_title("Interactions in a conversation (% of the language's conversations)")


def _lengths(axes: Axes, lengths: Mapping[str, Sequence[int]], length: int) -> None:
    histogram(axes, lengths, [f"{(i + 1) * length // BINS}" for i in range(BINS)])
    axes.set_xlabel("tokens in an interaction, at most")
    axes.set_title("Lengths of interactions (% of the language's interactions)")


def _left_out(axes: Axes, sources: Sources) -> None:
    found = sorted(left_out(sources), key=lambda item: -item[2])[:MOST_BARS]
    if not found:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No row of a data set was left out.", ha="center", va="center", transform=axes.transAxes)
        return
    labels = [f"{source}: {reason}" for source, reason, _ in found]
    counts = [count for _, _, count in found]
    bars(axes, labels, counts, [GREY] * len(found), [f"{count:,}" for count in counts])
    axes.set_title("Rows of data sets that were left out, by reason")
