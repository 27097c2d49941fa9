"""Count the judgements of answers in people's own words by group, and write them for people and programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.evaluation.own_words.judge import Judgement, judge
from jobs.evaluation.own_words.playing import Place, Played
from jobs.evaluation.own_words.reader import OwnWords, OwnWordsDialogue, OwnWordsProbe
from jobs.evaluation.rates import wilson
from jobs.stage.markdown import table

AXES = ("all", "tier", "language", "kind", "attributes", "facts", "distance")
ERRORS: tuple[Judgement, ...] = ("stale", "mixed", "abstained", "wrong")
NAMES = {
    "rxt": "RxT",
    "emptied": "emptied",
    "full_history": "history",
    "window": "window",
    "no_history": "no history",
}


def groups(dialogue: OwnWordsDialogue, probe: OwnWordsProbe) -> Iterator[tuple[str, str]]:
    """The axis and the name of each group that a question belongs to."""
    yield "all", "all"
    yield "tier", dialogue.tier
    yield "language", dialogue.language
    yield "kind", probe.kind
    yield "attributes", dialogue.attributes
    yield "facts", _range(probe.facts, first="0-2")
    yield "distance", _range(probe.distance, first="1-2") if probe.distance else "none"


def tally(dialogues: Sequence[OwnWordsDialogue], answers: Mapping[Place, str]) -> dict[str, Any]:
    """The figures of one arm by axis and group: n, correct, accuracy with its 95 % interval, and the count of every
    kind of error. A question without an answer is wrong."""
    counts: dict[str, dict[str, Counter[Judgement]]] = {axis: {} for axis in AXES}
    for dialogue in dialogues:
        for number, turn in enumerate(dialogue.turns):
            if turn.probe:
                found = judge(answers.get((dialogue.id, number), ""), turn.probe)
                for axis, name in groups(dialogue, turn.probe):
                    counts[axis].setdefault(name, Counter())[found] += 1
    return {axis: {name: _cell(counts[axis][name]) for name in sorted(counts[axis])} for axis in AXES}


def summarise(own: OwnWords, played: Sequence[Played]) -> dict[str, Any]:
    """The figures of all arms. `cut` counts, by arm, the turns of which the model read only the beginning."""
    arms = {arm: (answers, one) for one in played for arm, answers in one.answers.items()}
    return {
        "sha256": own.sha256,
        "dialogues": len(own.dialogues),
        "turns": played[0].turns,
        "cut": {arm: len(one.cut) for arm, (_, one) in arms.items()},
        "arms": {arm: tally(own.dialogues, answers) for arm, (answers, _) in arms.items()},
    }


def answer_lines(own: OwnWords, answers: Mapping[Place, str], cut: Mapping[Place, tuple[int, int]]) -> list[str]:
    """One JSON object for each answer that was given: id, turn, user and answer; for a question also its judgement and
    gold; for a turn that was cut `read`, the tokens that the model read, and of how many."""
    lines = []
    for dialogue in own.dialogues:
        for number, turn in enumerate(dialogue.turns):
            place = dialogue.id, number
            if place not in answers:
                continue
            line: dict[str, Any] = {"id": dialogue.id, "turn": number, "user": turn.user, "answer": answers[place]}
            if turn.probe:
                line |= {"verdict": judge(answers[place], turn.probe), "gold": turn.probe.gold}
            if place in cut:
                line |= {"read": cut[place]}
            lines.append(json.dumps(line, ensure_ascii=False))
    return lines


def flat_figures(summary: dict[str, Any]) -> dict[str, float]:
    """The summary as flat metrics. The first arm, the model's own, has no name in them."""
    own, *others = summary["arms"].items()
    flat = {
        "own_words/questions": float(own[1]["all"]["all"]["n"]),
        "own_words/cut_turns": float(summary["cut"][own[0]]),
    }
    for axis in ("tier", "language", "kind"):
        flat |= {f"own_words/correct_{name}": cell["accuracy"] for name, cell in own[1][axis].items()}
    whole = own[1]["all"]["all"]
    flat["own_words/correct"] = whole["accuracy"]
    flat |= {f"own_words/{error}": whole[error] / whole["n"] for error in ERRORS}
    flat |= {f"own_words/correct_{arm}": found["all"]["all"]["accuracy"] for arm, found in others}
    return flat


def write_tables(summary: dict[str, Any]) -> str:
    """The figures as Markdown: a table of the first arm beside the others, and what was cut."""
    arms = summary["arms"]
    main, *others = arms
    rows = []
    for axis in AXES:
        for name, cell in arms[main][axis].items():
            rows.append(
                [f"{axis} {name}" if axis in ("facts", "distance") else name, _percent(cell["accuracy"])]
                + [f"{100 * cell['low']:.0f} to {100 * cell['high']:.0f}", str(cell["n"])]
                + [_percent(arms[arm][axis][name]["accuracy"]) for arm in others]
                + [str(cell[error]) for error in ERRORS[:-1]]
            )
    header = ["questions", NAMES[main], "95 %", "n", *(NAMES[arm] for arm in others), *ERRORS[:-1]]
    turns, cut = summary["turns"], summary["cut"][main]
    return "\n".join(
        [
            table(header, rows),
            "",
            f"{summary['dialogues']} dialogues, {turns} turns, greedy answers. Per cent correct; the last columns "
            f"count errors of {NAMES[main]}.",
            f"{cut} of {turns} turns are longer than the model reads: it saw only their beginning."
            if cut
            else "The model read every turn whole.",
        ]
    )


def _cell(counts: Counter[Judgement]) -> dict[str, float]:
    n, correct = counts.total(), counts["correct"]
    low, high = wilson(correct, n)
    cell = {"n": n, "correct": correct, "accuracy": correct / n, "low": low, "high": high}
    return cell | {error: counts[error] for error in ERRORS}


def _range(number: int, first: str) -> str:
    return first if number <= 2 else "3-5" if number <= 5 else "6+"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
