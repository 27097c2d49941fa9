"""Make up English and Polish sentences by a small grammar, as many as wanted, the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

GRAMMAR = {
    "en": (
        ["the old fisherman", "my sister", "the quiet teacher", "a young baker", "the captain", "our neighbour"],
        ["found", "carried", "painted", "sold", "forgot", "repaired"],
        ["a wooden boat", "the blue lamp", "an empty basket", "the kitchen clock", "a letter", "two warm coats"],
        ["by the river", "in the morning", "before the storm", "at the market", "behind the mill", "for the children"],
    ),
    "pl": (
        ["stary rybak", "mój sąsiad", "cichy nauczyciel", "młody piekarz", "nasz kapitan", "dobry człowiek"],
        ["znalazł", "przyniósł", "pomalował", "sprzedał", "zgubił", "naprawił"],
        ["drewnianą łódź", "niebieską lampę", "pusty koszyk", "zegar z kuchni", "długi list", "dwa ciepłe płaszcze"],
        ["nad rzeką", "o świcie", "przed burzą", "na targu", "za młynem", "dla dzieci"],
    ),
}


def sentences(language: str, count: int, seed: int = 0) -> list[str]:
    random = Random(f"{language} {seed}")
    made = (" ".join(random.choice(words) for words in GRAMMAR[language]) for _ in range(count))
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in made]


def write_texts(folder: Path, documents: int = 300) -> None:
    """Write english.jsonl and polish.jsonl, with four sentences per document."""
    for language, name in (("en", "english"), ("pl", "polish")):
        made = sentences(language, 4 * documents)
        rows = [{"text": " ".join(made[i : i + 4])} for i in range(0, len(made), 4)]
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
