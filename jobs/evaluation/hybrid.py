"""Fast answers beside thinking ones, on questions that join two facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.evaluation.conversations import EncodedConversation
from jobs.stage.markdown import table
from tokenization.bpe.special_tokens import THINK

LABELS = {
    "fast": "RxT, fast",
    "thinking": "RxT, thinking",
    "rxt": "RxT, as it chooses",
    "zeroed": "RxT, as it chooses, memory zeroed (control)",
    "full_history": "baseline, full history (rival)",
}


def has_thoughts(conversations: Sequence[EncodedConversation]) -> bool:
    """Whether any reference answer thinks first. Then the model was trained to."""
    return any(answer[:1] == [THINK] for conversation in conversations for answer in conversation.answers)


def join_cells(arms: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The rates of questions that join two facts, by arm. Empty if no arm had to think, or nothing was joined."""
    if "thinking" not in arms:
        return {}
    found = {arm: arms.get(arm, {}).get("all", {}).get("by_kind", {}).get("join") for arm in LABELS}
    return {arm: cell for arm, cell in found.items() if cell}


def join_figures(arms: dict[str, Any]) -> dict[str, float]:
    """These rates as flat metrics."""
    return {f"memory/joins_{arm}": cell["accuracy"] for arm, cell in join_cells(arms).items()}


def join_table(arms: dict[str, Any]) -> list[str]:
    """The section of the report, or nothing."""
    rows = [
        [
            LABELS[arm],
            f"{100 * cell['accuracy']:.1f}",
            f"{100 * cell['low']:.0f}-{100 * cell['high']:.0f}",
            str(cell["n"]),
        ]
        for arm, cell in join_cells(arms).items()
    ]
    if not rows:
        return []
    return ["## Questions that join two facts, by mode", "", table(["who answers", "per cent", "95 %", "n"], rows), ""]
