"""Draw an evaluation's plots, with units on every axis, names beside the lines, and Okabe-Ito colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from jobs.stage.charts import COLOURS
from jobs.stage.markdown import LANGUAGE_NAMES

ARMS = {
    "rxt": ("RxT, live memory", "#0072B2", "o"),
    "full_history": ("baseline, full history", "#E69F00", "s"),
    "window": ("baseline, window", "#56B4E9", "P"),
    "no_history": ("baseline, no history", "#009E73", "^"),
    "shuffled": ("RxT, another's memory", "#CC79A7", "D"),
    "zeroed": ("RxT, memory zeroed", "#D55E00", "v"),
}
"""Name, colour and marker of every arm that is drawn. The arm expected to be best comes first."""
TITLES = {"broad": "held out: sentences, things and values never seen", "templates": "in template: values never seen"}
KINDS = {
    "recall": "told once",
    "two-facts": "two facts\nat once",
    "update": "told, then\nchanged",
    "unknown": "never told\n(refused)",
}
GREY = "#666666"


def draw(evaluation: dict[str, Any], folder: Path) -> list[Path]:
    """Write all plots of an evaluation as PNG files to `folder`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = evaluation["memory"]["arms"]
    figures = {
        "recall_by_distance": recall(arms, "by_distance", "Recall by distance", "turns since the fact was told"),
        "recall_by_facts": recall(arms, "by_facts", "Recall by number of facts", "facts told in the conversation"),
        "recall_by_kind": recall_by_kind(arms),
        "forgetting": forgetting(arms["rxt"]),
        "perplexity": perplexity(evaluation["text"]),
        "perplexity_by_stage": perplexity_by_stage(
            evaluation["text_by_stage"], evaluation["models"]["rxt"]["vocabulary"]
        ),
        "latency_by_turn": latency(evaluation["latency"]),
    }
    if examples := evaluation["memory"]["examples"]:
        figures["slots"] = slots(examples)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def recall(arms: dict[str, Any], axis: str, title: str, label: str) -> Figure:
    """Plot the accuracy of every arm along one axis with 95 % intervals and n: a panel per group of questions."""
    groups = [group for group in TITLES if group in arms["rxt"]]
    figure, panels = _panels(title, len(groups))
    for axes, group in zip(panels, groups, strict=True):
        cells = arms["rxt"][group][axis]
        ends = []
        for i, (arm, (name, colour, marker)) in enumerate(ARMS.items()):
            found = list(arms[arm][group][axis].values())
            # shift the arms sideways, so that their intervals do not cover each other
            places = [place + 0.06 * (i - 2.5) for place in range(len(found))]
            _points(axes, places, found, colour, marker, joined=True)
            ends.append((100 * found[-1]["accuracy"], name, colour))
        for place, cell in enumerate(cells.values()):
            axes.text(place, 107, f"n={cell['n']}", ha="center", fontsize=8, color=GREY)
        if axes is panels[-1]:
            _name_ends(axes, len(cells) - 0.7, ends)
        axes.set_title(TITLES[group], fontsize=10, pad=18)
        axes.set_xticks(range(len(cells)), list(cells))
        axes.set_xlim(-0.4, len(cells) - 0.6)
        _percent(axes, label)
    return figure


def recall_by_kind(arms: dict[str, Any]) -> Figure:
    """Plot the share of correct answers to each kind of question, for every arm: a panel per group of questions."""
    groups = [group for group in TITLES if group in arms["rxt"]]
    figure, panels = _panels("Correct answers by kind of question", len(groups))
    for axes, group in zip(panels, groups, strict=True):
        own = arms["rxt"][group]["by_kind"]
        kinds = [kind for kind in KINDS if kind in own]
        for i, (arm, (name, colour, marker)) in enumerate(ARMS.items()):
            cells = [arms[arm][group]["by_kind"][kind] for kind in kinds]
            _points(axes, [k + 0.12 * (i - 2.5) for k in range(len(kinds))], cells, colour, marker, joined=False,
                    name=name)  # fmt: skip
        axes.set_title(TITLES[group], fontsize=10)
        axes.set_xticks(range(len(kinds)), [f"{KINDS[kind]}\nn={own[kind]['n']}" for kind in kinds], fontsize=9)
        axes.set_xlim(-0.5, len(kinds) - 0.5)
        _percent(axes, "")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return figure


def forgetting(own: dict[str, Any]) -> Figure:
    """Draw the forgetting matrix of RxT for each group of questions, with n in every cell."""
    groups = [group for group in TITLES if own.get(group, {}).get("forgetting")]
    figure, panels = _panels("What RxT still knows: per cent correct", len(groups))
    scale = Normalize(0, 100)
    for axes, group in zip(panels, groups, strict=True):
        cells = own[group]["forgetting"]
        told, asked = (list({cell[key]: None for cell in cells}) for key in ("told", "asked"))
        asked.sort(key=lambda name: int(name.partition("-")[0]))
        shares = np.full((len(told), len(asked)), np.nan)
        for cell in cells:
            i, j = told.index(cell["told"]), asked.index(cell["asked"])
            shares[i, j] = 100 * cell["accuracy"]
            ink = "white" if cell["accuracy"] < 0.6 else "black"
            axes.text(j, i, f"{shares[i, j]:.0f}\nn={cell['n']}", ha="center", va="center", fontsize=8, color=ink)
        axes.imshow(shares, norm=scale, cmap="viridis", aspect="auto")
        axes.set_title(TITLES[group], fontsize=10)
        axes.set_xticks(range(len(asked)), asked)
        axes.set_yticks(range(len(told)), told)
        axes.set_xlabel("turn in which it was asked")
        axes.set_ylabel("turn in which it was told")
        axes.grid(visible=False)
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=list(panels), shrink=0.8)
    return figure


def slots(examples: list[dict[str, Any]]) -> Figure:
    """Draw, for each example, how much of every token of the answer was copied from which slot. Slots that were never
    written are left out."""
    height = sum(len(example["tokens"]) for example in examples)
    figure = Figure(figsize=(13, 2.6 * len(examples) + 0.24 * height), layout="constrained")
    figure.suptitle("What the slots hold (below) and which of them an answer (left) was copied from", fontsize=12)
    panels = figure.subplots(
        len(examples), 1, squeeze=False, height_ratios=[len(example["tokens"]) + 5 for example in examples]
    )[:, 0]
    scale = Normalize(0, 100)
    for axes, example in zip(panels, examples, strict=True):
        held = [place for place, word in enumerate(example["slots"]) if word]
        shares = 100 * np.array([[*token["slots"], token["interaction"]] for token in example["tokens"]])
        axes.imshow(shares[:, [*held, -1]], norm=scale, cmap="Blues", aspect="auto")
        words = [*(example["slots"][place].replace("$", r"\$") for place in held), "own turn"]
        axes.set_xticks(range(len(words)), words, rotation=90, fontsize=7)
        said = [token["text"].replace(" ", "\u2423").replace("$", r"\$") for token in example["tokens"]]
        axes.set_yticks(range(len(said)), said, fontsize=9)
        asked = f"{example['question']}  ->  {example['answer']}   (right: {example['gold']})"
        axes.set_title(asked.replace("$", r"\$"), fontsize=10, loc="left")
    figure.colorbar(ScalarMappable(scale, "Blues"), ax=list(panels), shrink=0.6, label="per cent of the token")
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
    axes.set_xticks(range(len(languages)), [LANGUAGE_NAMES[language] for language in languages])
    axes.set_xlim(-0.6, len(languages) - 0.4)
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    axes.set_ylabel("perplexity per token")
    return figure


def perplexity_by_stage(stages: list[dict[str, Any]], vocabulary: int) -> Figure:
    """Plot the perplexity of RxT after each stage, and that of a uniform guess, which is the size of the vocabulary."""
    figure, axes = _figure("Perplexity of RxT after each stage (lower is better)")
    for language, colour in COLOURS.items():
        found = [(place, one["text"][language]) for place, one in enumerate(stages) if language in one["text"]]
        heights = [figures["perplexity"] for _, figures in found]
        axes.plot([place for place, _ in found], heights, color=colour, marker="o", label=LANGUAGE_NAMES[language])
        for (place, _), height in zip(found, heights, strict=True):
            side = 8 if language == "en" else -14
            axes.annotate(
                f"{height:,.0f}", (place, height), (0, side), textcoords="offset points", ha="center", color=colour
            )
    axes.axhline(vocabulary, color=GREY, linestyle=":", label=f"uniform guess over {vocabulary:,} tokens")
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(range(len(stages)), [one["stage"] for one in stages])
    axes.set_xlim(-0.4, len(stages) - 0.6)
    axes.set_ylabel("perplexity per token")
    axes.legend(frameon=False)
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


def _panels(title: str, count: int) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, at least one."""
    figure = Figure(figsize=(3.5 + 5.0 * count, 4.8), layout="constrained")
    figure.suptitle(title, fontsize=12)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        _clean(axes)
    return figure, panels


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
