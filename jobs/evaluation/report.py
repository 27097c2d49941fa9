"""Write the evaluation for people: Markdown tables of at most 110 columns that also look right in a terminal."""

from __future__ import annotations

from typing import Any

from jobs.evaluation.own_words.tables import write_tables
from jobs.stage.markdown import table

ARMS = {
    "rxt": "RxT, live memory",
    "zeroed": "RxT, memory zeroed (control)",
    "shuffled": "RxT, memory of another conversation (control)",
    "no_history": "baseline without history (floor)",
    "full_history": "baseline with full history (rival)",
}
SHORT = {
    "rxt": "RxT",
    "zeroed": "zeroed",
    "shuffled": "shuffled",
    "no_history": "no history",
    "full_history": "full history",
}
FORCED = {
    "rxt": "RxT, reference answers written (diagnostic)",
    "full_history": "full history, reference answers written",
}
LANGUAGES = {"en": "English", "pl": "Polish"}
KINDS = {"recall": "told once", "update": "told, then changed", "unknown": "never told"}


def write_report(evaluation: dict[str, Any]) -> str:
    """The text of report.md."""
    memory = evaluation["memory"]
    arms = memory["arms"]
    n = arms["rxt"]["distance_1_to_4"]["n"]
    return "\n".join(
        [
            "# Evaluation",
            "",
            f"## Does it remember? {n} questions about held-out values, told 1 to 4 interactions before",
            "",
            f"{memory['conversations']} conversations of the test split, greedy answers. Free-running: each model's "
            "own answers enter\nits memory or history; the last two lines write the reference answers instead.",
            "",
            _headline(arms, memory["teacher_forced"]),
            "",
            "Chance: a uniform guess among the slot's values. Majority: always the slot's most frequent answer.\n"
            "Intervals: Wilson, 95 %. The next four tables give percent correct with intervals.",
            "",
            "## By distance: interactions since the fact was told",
            "",
            _cells(arms, "by_distance", "distance"),
            "",
            "## By facts held in the conversation, all distances",
            "",
            _cells(arms, "by_facts", "facts"),
            "",
            "## By language, all distances",
            "",
            _cells(arms, "by_language", "language", LANGUAGES),
            "",
            "## By kind of question, all distances; never told: correct is to say so",
            "",
            _cells(arms, "by_kind", "kind", KINDS),
            "",
            _errors(arms["rxt"]["by_kind"]),
            "",
            *_own_words(evaluation),
            "## Held-out text",
            "",
            _text(evaluation["text"]),
            "",
            "## What a long conversation costs",
            "",
            _latency(evaluation["latency"]),
            "",
            f"Medians, one conversation, {evaluation['environment']['device']}, "
            f"{evaluation['environment']['threads']} thread(s), fp32.\n"
            "RxT writes its memory after the answer; the baseline reads its history again at every turn.",
            "",
        ]
    )


def _own_words(evaluation: dict[str, Any]) -> list[str]:
    if "own_words" not in evaluation:
        return []
    found = evaluation["own_words"]
    return [
        f"## In people's own words: {found['dialogues']} dialogues that no generator made",
        "",
        write_tables(found),
        "",
    ]


def percent(fraction: float) -> str:
    """A fraction as per cent, with one decimal."""
    return f"{100 * fraction:.1f} %"


def interval(cell: dict[str, float]) -> str:
    """The 95 % interval of a cell, in per cent."""
    return f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}"


def _headline(arms: dict[str, Any], forced: dict[str, Any]) -> str:
    named = [(label, arms[arm]) for arm, label in ARMS.items()]
    named += [(FORCED[arm], figures) for arm, figures in forced.items()]
    rows = []
    for label, figures in named:
        cell = figures["distance_1_to_4"]
        rows.append(
            [label, percent(cell["accuracy"]), interval(cell)]
            + [str(cell["n"]), percent(cell["chance"]), percent(cell["majority"])]
        )
    return table(["who answers", "recall", "95 %", "n", "chance", "majority"], rows)


def _cells(arms: dict[str, Any], axis: str, title: str, names: dict[str, str] | None = None) -> str:
    """A table with one row per value of the axis and one column per arm, in percent with intervals."""
    rows = []
    found = arms["rxt"][axis]
    for key, name in (names or dict(zip(found, found, strict=True))).items():
        if key not in found:
            continue
        cell = found[key]
        cells = [arms[arm][axis][key] for arm in SHORT]
        shown = [f"{100 * c['accuracy']:.0f} ({100 * c['low']:.0f}-{100 * c['high']:.0f})" for c in cells]
        rows.append([name, *shown, str(cell["n"]), f"{100 * cell['chance']:.1f}", f"{100 * cell['majority']:.0f}"])
    return table([title, *SHORT.values(), "n", "chance", "maj."], rows)


def _errors(kinds: dict[str, Any]) -> str:
    """A paragraph about the errors of RxT."""
    parts = []
    if "update" in kinds:
        parts.append(f"RxT gives the old value of a changed fact in {percent(kinds['update']['stale'])} of cases")
    if "recall" in kinds:
        parts.append(f"denies having been told a fact in {percent(kinds['recall']['abstained'])}")
    return "; ".join(parts) + "."


def _text(text: dict[str, Any]) -> str:
    rows = []
    for language, own in text["rxt"].items():
        other = text["baseline"][language]
        rows.append(
            [LANGUAGES[language], f"{own['tokens']:,}", f"{own['perplexity']:.1f}", percent(own["token_accuracy"])]
            + [f"{other['perplexity']:.1f}", percent(other["token_accuracy"])]
            + [percent(own["masked_accuracy"]) if "masked_accuracy" in own else "-"]
        )
    header = ["language", "tokens", "RxT perplexity", "next token", "baseline perplexity", "next token"]
    return table([*header, "RxT masked token"], rows)


def _latency(records: list[dict[str, Any]]) -> str:
    rows = [
        [str(r["turn"]), str(r["history_tokens"])]
        + [f"{1e3 * r[k]:.1f} ms" for k in ("rxt_seconds", "baseline_seconds", "write_seconds")]
        + [f"{r[k] / 1024:,.0f} KiB" for k in ("rxt_bytes", "baseline_bytes")]
        for r in records
    ]
    header = ["turn", "history tokens", "RxT first token", "baseline first token", "RxT write"]
    return table([*header, "RxT state", "baseline KV"], rows)
