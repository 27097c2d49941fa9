"""Write the evaluation for people: Markdown tables of at most 110 columns that also look right in a terminal."""

from __future__ import annotations

from typing import Any

from jobs.evaluation.hybrid import join_table
from jobs.evaluation.own_words.tables import write_tables
from jobs.evaluation.rates import LEAST
from jobs.evaluation.slots import write_examples
from jobs.stage.markdown import LANGUAGE_NAMES, table

ARMS = {
    "rxt": "RxT, live memory",
    "full_history": "baseline, full history (rival)",
    "window": "baseline, as many tokens as slots",
    "no_history": "baseline, no history (floor)",
    "last": "RxT, last turn alone (control)",
    "unplanted": "RxT, fact never written (control)",
    "zeroed": "RxT, memory zeroed (control)",
    "shuffled": "RxT, another's memory (control)",
    "donor": "  judged by what the other was told",
}
SHORT = {
    "rxt": "RxT",
    "full_history": "history",
    "window": "window",
    "no_history": "no history",
    "zeroed": "zeroed",
}
GROUPS = {"broad": "held out", "templates": "in template"}
KINDS = {
    "recall": "told once",
    "two-facts": "two facts",
    "update": "changed",
    "unknown": "never told",
    "told-later": "told later",
    "somebody-else": "of another",
}
TOKENS = {"first": "first token", "second": "second", "later": "later", "value": "whole value"}


def write_report(evaluation: dict[str, Any]) -> str:
    """The text of report.md."""
    memory = evaluation["memory"]
    arms = memory["arms"]
    return "\n".join(
        [
            "# Evaluation",
            "",
            f"## Does it remember? {arms['rxt']['all']['distance_1_to_4']['n']} questions about what was told 1 to 4 "
            "turns before",
            "",
            f"{memory['conversations']} conversations of the test split, greedy answers. Free-running: each model's "
            "own answers enter\nits memory or history. No conversation of training tells these values. Held out: "
            "neither their sentences nor\nwhat they are about. In template: sentences of training.",
            "",
            _headline(arms),
            "",
            "Chance: a guess, uniform among the listed values of that kind, and 0 where there is no such list.\n"
            "Intervals: Wilson, 95 %. The next tables give per cent correct. Groups of fewer than "
            f"{LEAST} questions are pooled.",
            "",
            "## By language",
            "",
            _cells(arms, "by_language", "language", LANGUAGE_NAMES),
            "",
            "## By distance: turns since the fact was told",
            "",
            _cells(arms, "by_distance", "distance"),
            "",
            "## By facts told in the conversation",
            "",
            _cells(arms, "by_facts", "facts", slots=memory["slots"]),
            "",
            f"Per slot: facts recalled for each of the {memory['slots']} slots of RxT (facts told x recall / slots).",
            "",
            "## By kind of question; not told, told later, told of another person: correct is to say so",
            "",
            _cells(arms, "by_kind", "kind", KINDS),
            "",
            *join_table(arms),
            "## Refusals and old values",
            "",
            _errors(arms),
            "",
            "## Which token of a value is wrong? The right answer is given up to that token",
            "",
            _tokens(memory["value_tokens"]),
            "",
            "Here memory has the reference answers of earlier turns, which can repeat a value.\n"
            "Where an answer quotes what was told, the words of the quote before the value are given, too.\n"
            "So the first token shows whether the fact is found only in answers that begin with the value.",
            "",
            *_forgetting(arms["rxt"]),
            *write_examples(memory["examples"]),
            *_own_words(evaluation),
            "## Held-out text",
            "",
            _text(evaluation["text"]),
            "",
            _text_by_stage(evaluation["text_by_stage"]),
            "",
            "Perplexity of RxT after each stage. A uniform guess has a perplexity of "
            f"{evaluation['models']['rxt']['vocabulary']:,}, the size of the vocabulary.",
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


def rounded(cell: dict[str, float]) -> str:
    """Accuracy and interval of a cell in whole per cent."""
    return f"{100 * cell['accuracy']:.0f} ({100 * cell['low']:.0f}-{100 * cell['high']:.0f})"


def _headline(arms: dict[str, Any]) -> str:
    """A row per arm, and what guessing would score on the same questions; three columns per group of questions."""
    shown = [group for group in GROUPS if "distance_1_to_4" in arms["rxt"].get(group, {})]
    header = ["who answers", *(text for group in shown for text in (GROUPS[group], "95 %", "n"))]
    rows = []
    for arm, label in ARMS.items():
        cells = [arms.get(arm, {}).get(group, {}).get("distance_1_to_4") for group in shown]
        if any(cells):
            rows.append([label])
            for cell in cells:
                rows[-1] += [percent(cell["accuracy"]), interval(cell), str(cell["n"])] if cell else ["-", "-", "-"]
    for guess, label in (("chance", "a guess (chance)"), ("majority", "the most frequent value (majority)")):
        shares = [arms["rxt"][group]["distance_1_to_4"][guess] for group in shown]
        rows.append([label, *(text for share in shares for text in (percent(share), "", ""))])
    return table(header, rows)


def _cells(arms: dict[str, Any], axis: str, title: str, names: dict[str, str] | None = None, slots: int = 0) -> str:
    """A table with one row per group of questions and value of the axis, and one column per arm, in per cent with
    intervals. With `slots`, the last column says how many facts RxT recalls per slot."""
    rows = []
    for group, label in GROUPS.items():
        found = arms["rxt"].get(group, {}).get(axis, {})
        for key in names or found:
            if key not in found:
                continue
            cells = [arms[arm][group][axis][key] for arm in SHORT]
            rows.append([f"{label}, {names[key] if names else key}"])
            rows[-1] += [*map(rounded, cells)]
            rows[-1] += [str(found[key]["n"])]
            rows[-1] += [f"{found[key]['mean'] * found[key]['accuracy'] / slots:.3f}"] if slots else []
    return table([title, *SHORT.values(), "n", *(["per slot"] if slots else [])], rows)


def _errors(arms: dict[str, Any]) -> str:
    """How often the main arms refuse, rightly and wrongly, and give old values."""
    rows = []
    for group, label in GROUPS.items():
        for arm in ("rxt", "full_history"):
            kinds = arms[arm].get(group, {}).get("by_kind", {})
            if not kinds:
                continue
            told = [kinds[kind] for kind in ("recall", "update") if kind in kinds]
            n = sum(cell["n"] for cell in told)
            refused = sum(cell["n"] * cell["abstained"] for cell in told)
            never, changed = kinds.get("unknown"), kinds.get("update")
            rows.append(
                [f"{label}, {SHORT[arm]}"]
                + ([percent(never["accuracy"]), str(never["n"])] if never else ["-", "0"])
                + ([percent(refused / n), str(n)] if n else ["-", "0"])
                + ([percent(changed["stale"]), str(changed["n"])] if changed else ["-", "0"])
            )
    return table(["", "never told: refused", "n", "told: refused", "n", "changed: old value", "n"], rows)


def _tokens(found: dict[str, Any]) -> str:
    rows = []
    for group, label in GROUPS.items():
        for arm, figures in found.items():
            if group in figures:
                cells = [figures[group].get(name) for name in TOKENS]
                shown = [rounded(cell) if cell else "-" for cell in cells]
                rows.append([f"{label}, {SHORT[arm]}", *shown, str(figures[group]["value"]["n"])])
    return table(["", *TOKENS.values(), "values"], rows)


def _forgetting(own: dict[str, Any]) -> list[str]:
    """The forgetting matrices of RxT, one per group of questions."""
    parts = ["## What is forgotten: turn in which it was told (down) by turn in which it was asked (across)", ""]
    for group, label in GROUPS.items():
        cells = {(cell["told"], cell["asked"]): cell for cell in own.get(group, {}).get("forgetting", ())}
        if not cells:
            continue
        told, asked = (list(dict.fromkeys(pair[i] for pair in sorted(cells, key=_numbers))) for i in (0, 1))
        asked.sort(key=_first)
        rows = [
            [first]
            + [f"{100 * cells[first, a]['accuracy']:.0f} (n {cells[first, a]['n']})" if (first, a) in cells else ""
               for a in asked]
            for first in told
        ]  # fmt: skip
        parts += [table([f"{label}, told in", *asked], rows), ""]
    return [*parts, "RxT, per cent correct.", ""]


def _numbers(pair: tuple[str, str]) -> tuple[int, int]:
    return _first(pair[0]), _first(pair[1])


def _first(name: str) -> int:
    """The first number of a group, to sort by."""
    return int(name.partition("-")[0])


def _text(text: dict[str, Any]) -> str:
    rows = []
    for language, own in text["rxt"].items():
        other = text["baseline"][language]
        rows.append(
            [LANGUAGE_NAMES[language], f"{own['tokens']:,}", f"{own['perplexity']:.1f}", percent(own["token_accuracy"])]
            + [f"{other['perplexity']:.1f}", percent(other["token_accuracy"])]
            + [percent(own["masked_accuracy"]) if "masked_accuracy" in own else "-"]
        )
    header = ["language", "tokens", "RxT perplexity", "next token", "baseline perplexity", "next token"]
    return table([*header, "RxT masked token"], rows)


def _text_by_stage(stages: list[dict[str, Any]]) -> str:
    languages = list(stages[-1]["text"])
    rows = [
        [one["stage"], *(f"{one['text'][language]['perplexity']:,.1f}" for language in languages)] for one in stages
    ]
    return table(["after stage", *(LANGUAGE_NAMES[language] for language in languages)], rows)


def _latency(records: list[dict[str, Any]]) -> str:
    rows = [
        [str(r["turn"]), str(r["history_tokens"])]
        + [f"{1e3 * r[k]:.1f} ms" for k in ("rxt_seconds", "baseline_seconds", "write_seconds")]
        + [f"{r[k] / 1024:,.0f} KiB" for k in ("rxt_bytes", "baseline_bytes")]
        for r in records
    ]
    header = ["turn", "history tokens", "RxT first token", "baseline first token", "RxT write"]
    return table([*header, "RxT state", "baseline KV"], rows)
