"""Small dialogues in people's own words, for the tests that read, play and judge them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def probe(kind: str = "recall", gold: tuple[str, ...] = ("54",), **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "gold": list(gold), "forbidden": [], "facts": 1, "distance": 2} | changes


def dialogue(id: str = "one", turns: tuple[str, ...] = ("My ring size is 54.", "It is late."), **changes: Any) -> dict:
    """A dialogue that ends with a question."""
    asked = {"user": "What is my ring size?", "probe": changes.pop("probe", probe())}
    return {
        "id": id,
        "language": "en",
        "tier": "plain",
        "attributes": "new",
        "turns": [*({"user": text} for text in turns), asked],
    } | changes


def write_dialogues(path: Path, *dialogues: dict) -> str:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in dialogues), encoding="utf-8")
    return str(path)
