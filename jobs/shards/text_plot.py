"""Draw the picture of a text card: tokens, compression, lengths of documents, and what cleaning removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.shards.job import Report
from jobs.shards.text_counts import per_source
from jobs.stage.charts import COLOURS, GREY, MOST_BARS, bars, histogram, language_legend


def draw(report: Report, corpus: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture as PNG to `path`. Arguments as in `jobs.shards.text_card.write_card`."""
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
    _lengths(lengths, report["lengths"])
    _removed(removed, corpus)
    language_legend(figure)
    figure.savefig(path, dpi=110)


def _lengths(axes: Axes, lengths: Mapping[str, Sequence[int]]) -> None:
    there = [i for counts in lengths.values() for i, count in enumerate(counts) if count]
    shown = range(min(there, default=0), max(there, default=0) + 1)
    counts = {language: [found[n] for n in shown] for language, found in lengths.items()}
    histogram(axes, counts, [f"{2**n:,}" for n in shown])
    axes.tick_params(axis="x", rotation=30)
    axes.set_xlabel("tokens in a document: each bar ends below twice its label")
    axes.set_title("Lengths of documents (% of the language's documents)")


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
