"""Draw an evaluation's plots, with units on every axis, names beside the lines, and Okabe-Ito colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

ARMS = {
    "rxt": ("RxT, live memory", "#0072B2", "o"),
    "full_history": ("baseline, full history", "#E69F00", "s"),
    "no_history": ("baseline, no history", "#009E73", "^"),
    "shuffled": ("RxT, another's memory", "#CC79A7", "D"),
    "zeroed": ("RxT, memory zeroed", "#D55E00", "v"),
}
"""Name, colour and marker of every arm. The arm expected to be best comes first."""
GREY = "#666666"


def draw(evaluation: dict[str, Any], folder: Path) -> list[Path]:
    """Write all plots of an evaluation as PNG files to `folder`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = evaluation["memory"]["arms"]
    figures = {
        "recall_by_distance": recall(arms, "by_distance", "Recall by distance", "interactions since the fact was told"),
        "recall_by_facts": recall(arms, "by_facts", "Recall by number of facts", "facts held in the conversation"),
        "recall_by_kind": recall_bars(arms),
        "perplexity": perplexity(evaluation["text"]),
        "latency_by_turn": latency(evaluation["latency"]),
    }
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def recall(arms: dict[str, Any], axis: str, title: str, label: str) -> Figure:
    """Plot the accuracy of every arm along one axis with 95 % intervals, chance as a dashed line, and n above."""
    figure, axes = _figure(title)
    steps = {arm: i for i, arm in enumerate(ARMS)}
    ends = []
    for arm, (name, colour, marker) in ARMS.items():
        cells = arms[arm][axis]
        # shift the arms sideways, so that their intervals do not cover each other
        x = [int(key) + 0.06 * (steps[arm] - 2) for key in cells]
        _points(axes, x, list(cells.values()), colour, marker, joined=True)
        ends.append((100 * list(cells.values())[-1]["accuracy"], name, colour))
    cells = arms["rxt"][axis]
    keys = [int(key) for key in cells]
    axes.plot(keys, [100 * c["chance"] for c in cells.values()], color=GREY, linestyle="--", linewidth=1)
    ends.append((100 * list(cells.values())[-1]["chance"], "chance", GREY))
    for key, cell in zip(keys, cells.values(), strict=True):
        axes.text(key, 107, f"n={cell['n']}", ha="center", fontsize=8, color=GREY)
    _name_ends(axes, max(keys) + 0.2, ends)
    axes.set_xticks(keys)
    axes.set_xlim(min(keys) - 0.4, max(keys) + 0.3)
    _percent(axes, label)
    return figure


def recall_bars(arms: dict[str, Any]) -> Figure:
    """Plot the share of correct answers to each kind of question, for every arm."""
    kinds = [k for k in ("recall", "update", "unknown") if k in arms["rxt"]["by_kind"]]
    figure, axes = _figure("Correct answers by kind of question")
    for i, (arm, (name, colour, marker)) in enumerate(ARMS.items()):
        cells = [arms[arm]["by_kind"][kind] for kind in kinds]
        _points(axes, [k + 0.13 * (i - 2) for k in range(len(kinds))], cells, colour, marker, joined=False, name=name)
    labels = {"recall": "told once", "update": "told, then changed", "unknown": "never told\n(correct: says so)"}
    axes.set_xticks(range(len(kinds)), [f"{labels[k]}\nn={arms['rxt']['by_kind'][k]['n']}" for k in kinds])
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    _percent(axes, "")
    return figure


def perplexity(text: dict[str, Any]) -> Figure:
    """Plot the perplexity of RxT beside the baseline's for each language; lower is better."""
    figure, axes = _figure("Perplexity on held-out text (lower is better)")
    languages = list(text["rxt"])
    for i, (model, arm, name) in enumerate((("rxt", "rxt", "RxT"), ("baseline", "full_history", "baseline"))):
        x = [k + 0.36 * (i - 0.5) for k in range(len(languages))]
        heights = [text[model][language]["perplexity"] for language in languages]
        axes.bar(x, heights, width=0.32, color=ARMS[arm][1])
        for at, height in zip(x, heights, strict=True):
            axes.text(at, height, f"{name}\n{height:.1f}", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(languages)), [{"en": "English", "pl": "Polish"}[language] for language in languages])
    axes.set_xlim(-0.6, len(languages) - 0.4)
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    axes.set_ylabel("perplexity per token")
    return figure


def latency(records: list[dict[str, Any]]) -> Figure:
    """Plot time to the first token and bytes of state by turn, with logarithmic axes."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    turns = [r["turn"] for r in records]
    rows = (("seconds", 1e3, "time to first token (ms)"), ("bytes", 1 / 1024, "state per conversation (KiB)"))
    for axes, (unit, factor, label) in zip(panels, rows, strict=True):
        for model, arm, name in (
            ("rxt", "rxt", "RxT"),
            ("baseline", "full_history", "baseline,\nfull history"),
        ):
            values = [factor * r[f"{model}_{unit}"] for r in records]
            axes.plot(turns, values, color=ARMS[arm][1], marker=ARMS[arm][2], markersize=5)
            axes.annotate(
                name, (turns[-1], values[-1]), (6, 0), textcoords="offset points", va="center", color=ARMS[arm][1]
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xticks(turns, [str(t) for t in turns])
        axes.set_xlim(turns[0] / 1.2, turns[-1] * 2.6)
        axes.set_xlabel("turn of the conversation")
        axes.set_ylabel(label)
        _clean(axes)
    figure.suptitle("What a long conversation costs", fontsize=12)
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=12, pad=14)
    _clean(axes)
    return figure, axes


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def _percent(axes: Axes, label: str) -> None:
    axes.set_ylim(-2, 106)
    axes.set_ylabel("correct answers (%), 95 % interval")
    axes.set_xlabel(label)


def _points(
    axes: Axes, x: list[float], cells: list[dict[str, float]], colour: str, marker: str, *, joined: bool, name: str = ""
) -> None:
    y = [100 * c["accuracy"] for c in cells]
    below = [max(0.0, v - 100 * c["low"]) for v, c in zip(y, cells, strict=True)]
    above = [max(0.0, 100 * c["high"] - v) for v, c in zip(y, cells, strict=True)]
    line = "-" if joined else "none"
    axes.errorbar(
        x, y, [below, above], color=colour, marker=marker, linestyle=line, markersize=5, capsize=2, label=name
    )


def _name_ends(axes: Axes, x: float, ends: list[tuple[float, str, str]], gap: float = 5.0, top: float = 103.0) -> None:
    """Write names beside the ends of their lines. Names that would overlap move up, or down if they pass `top`."""
    ends = sorted(ends)
    places = [height for height, *_ in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    for i in reversed(range(len(places))):
        places[i] = min(places[i], top - gap * (len(places) - 1 - i))
    for place, (_, name, colour) in zip(places, ends, strict=True):
        axes.annotate(
            name,
            (x, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9,
            annotation_clip=False,
        )
