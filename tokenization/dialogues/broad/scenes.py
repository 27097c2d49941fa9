"""Read scenes: bits of life that a user tells in a few turns, and questions about them, as people word both.

They stand beside the phrasebook, in `scenes_*.toml` per language, written by hand. A letter in braces is a value, of
which each scene lists several. A question has an answer that quotes a clause of a turn, or it is one of `untold`, which
nothing in the scene answers. About half of the scenes are for tests, and few for validation.

Many questions have no word of the turn that answers them, and some that nothing answers share one with a turn. A small
model cannot learn from these whether it was told a fact, so they are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tokenization.dialogues.broad.book import FOLDER, read_toml, require
from tokenization.dialogues.broad.material import shows_other_gender
from tokenization.dialogues.broad.value_splits import split_of_value
from tokenization.dialogues.values import words
from tokenization.hashing import stable_hash
from tokenization.records import Language, Split

LEAST_VALUES = 2  # of a letter that belong to training; a scene with fewer is left out
STEM = 5  # letters of a word that its forms share
COMMON = 0.02  # share of the scenes that have a common word in their turns, at least
_MUTE = frozenset("i me my no nie you".split())  # values of these words alone stand in answers by chance
_LETTER = re.compile(r"\{([a-h])\}")
_ASK = {"say", "value", "quote"}


@dataclass(frozen=True)
class Asked:
    """Wordings of a question, the letter of the value that answers it, and the clause to quote, which turn `told` of
    the scene has."""

    say: tuple[str, ...]
    value: str
    quote: str
    told: int


@dataclass(frozen=True)
class Scene:
    """`turns` of the user with letters in braces, the `values` of each letter, questions with an answer, and questions
    without."""

    turns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    asked: tuple[Asked, ...]
    untold: tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """All sentences of the scene."""
        return (*self.turns, *(text for one in self.asked for text in one.say), *self.untold)


@cache
def scenes(language: Language, split: Split, gender: str = "") -> tuple[Scene, ...]:
    """Return the scenes of a split that a user of this gender ("m", "f"; "" if the language does not show it) can
    tell. Values that belong to another split than training are left out. Raises PhrasebookError."""
    common = _common(language)
    hinted = (
        _hinted(scene, common)
        for scene in load_scenes(language)
        if _split(scene) == split and not any(shows_other_gender(text, gender) for text in scene.texts)
    )
    return tuple(scene for scene in hinted if scene.asked)


@cache
def load_scenes(language: Language) -> tuple[Scene, ...]:
    """Load the scenes of a language, with the values of training and the questions that a clause answers. Raises
    PhrasebookError."""
    return read_scenes(FOLDER / language)


def read_scenes(folder: Path) -> tuple[Scene, ...]:
    """Read and check the scenes in a folder. Raises PhrasebookError."""
    found = [
        _scene(f"{path.name}: scene {number}", entry)
        for path in sorted(folder.glob("scenes_*.toml"))
        for number, entry in enumerate(read_toml(path)["scene"], 1)
    ]
    return tuple(scene for scene in found if all(len(values) >= LEAST_VALUES for values in scene.values.values()))


@cache
def _common(language: Language) -> frozenset[str]:
    """Return the stems that many scenes have in their turns."""
    found = load_scenes(language)
    counts = Counter(stem for scene in found for stem in set().union(*map(_stems, scene.turns)))
    return frozenset(stem for stem, count in counts.items() if count > COMMON * len(found))


def _hinted(scene: Scene, common: frozenset[str]) -> Scene:
    """Keep the wordings of questions that share a word with what answers them, and those without an answer that share
    none with any turn. Common words do not count."""
    turns = [_stems(turn) - common for turn in scene.turns]
    asked = (replace(one, say=tuple(text for text in one.say if _stems(text) & turns[one.told])) for one in scene.asked)
    untold = tuple(text for text in scene.untold if not _stems(text) & set().union(*turns))
    return replace(scene, asked=tuple(one for one in asked if one.say), untold=untold)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in words(_LETTER.sub(" ", text))}


def _split(scene: Scene) -> Split:
    share = stable_hash(f"broad/scene/{scene.turns[0]}") % 20
    return "validation" if share == 0 else "test" if share < 11 else "train"


def _scene(where: str, entry: Mapping[str, Any]) -> Scene:
    turns = tuple(entry.get("turns", ()))
    require(bool(turns), where, "no turns")
    letters = {letter for turn in turns for letter in _LETTER.findall(turn)}
    values = {name: tuple(entry[name]) for name in entry if name not in ("turns", "ask", "untold")}
    require(letters == set(values), where, f"the turns have the letters {sorted(letters)}, not {sorted(values)}")
    asked = [_asked(where, one, turns, values) for one in entry.get("ask", ())]
    require(bool(asked) and bool(entry.get("untold")), where, "no ask, or nothing untold")
    trained = {
        name: tuple(one for one in listed if split_of_value((one,)) == "train" and not _MUTE.issuperset(words(one)))
        for name, listed in values.items()
    }
    clauses = tuple(one for one in asked if words(_LETTER.sub(" ", one.quote)))
    return Scene(turns, trained, clauses, tuple(entry["untold"]))


def _asked(where: str, entry: Mapping[str, Any], turns: tuple[str, ...], values: Mapping[str, Any]) -> Asked:
    require(set(entry) == _ASK and bool(entry["say"]), where, f"an ask has {sorted(entry)}, not {sorted(_ASK)}")
    value, quote = entry["value"], entry["quote"]
    require(value in values and f"{{{value}}}" in quote, where, f"the quote {quote!r} has not the value {value!r}")
    told = [number for number, turn in enumerate(turns) if quote in turn]
    require(bool(told), where, f"no turn has the quote {quote!r}")
    return Asked(tuple(entry["say"]), value, quote, told[-1])
