"""Read dialogues that people wrote for evaluation, one JSON object a line. Nothing of them comes from a generator."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import fsspec
from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from jobs.configs.base import Config
from jobs.evaluation.own_words.judge import normalise
from jobs.stage.context import StageError
from tokenization.records import Language

Text = Annotated[str, Field(pattern=r"\w")]
Forms = tuple[Text, ...]  # the forms of one value


class OwnWordsProbe(Config):
    """What a right answer to a question holds: one of the forms `gold`, and one of each further list in `also`. Without
    `gold`, nothing was told, and a refusal is right. `forbidden` holds the values of a mix-up, or of before an update.
    `facts` were told when the question is asked, the one it asks for `distance` turns before (0: never)."""

    kind: Literal["recall", "update", "unknown", "other_person", "two_facts", "count_or_compare", "instruction"]
    gold: Forms
    also: tuple[Annotated[Forms, Field(min_length=1)], ...] = ()
    forbidden: Forms
    facts: NonNegativeInt
    distance: NonNegativeInt

    @model_validator(mode="after")
    def _no_form_is_right_and_forbidden(self) -> OwnWordsProbe:
        right = {normalise(form): form for forms in (self.gold, *self.also) for form in forms}
        if both := [form for form in self.forbidden if normalise(form) in right]:
            raise ValueError(f"{both[0]!r} is right and forbidden")
        if self.also and not self.gold:
            raise ValueError("also asks for further values, but gold has none")
        return self


class OwnWordsTurn(Config):
    """What the user says, and the probe if it is a question about memory. The model itself gives the answer."""

    user: Text
    probe: OwnWordsProbe | None = None


class OwnWordsDialogue(Config):
    """A dialogue in one language. `tier` says how it is worded, and `attributes` whether the template generator knows
    the kinds of its facts."""

    id: Text
    language: Language
    tier: Literal["plain", "free", "hard"]
    attributes: Literal["known", "new"]
    turns: Annotated[tuple[OwnWordsTurn, ...], Field(min_length=1)]


_NEXT = "rxt own-words FILE     a JSON object a line, as docs/results.md tells"


class OwnWords(Config):
    """The dialogues of a file, in its order, and the SHA-256 of its bytes."""

    dialogues: tuple[OwnWordsDialogue, ...]
    sha256: str


def read_own_words(url: str) -> OwnWords:
    """Read the file at a path or fsspec URL. Raises StageError, which names file, line and field, for a file that
    cannot be read, a line in another format, an empty turn, an id that occurs twice, and a file without a question."""
    try:
        with fsspec.open(url, "rb") as file:
            content = file.read()
    except Exception as error:  # every filesystem has exceptions of its own
        raise StageError(f"{url or 'no file'}: cannot be read: {error}", _NEXT) from error
    lines: dict[str, int] = {}
    dialogues = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            dialogue = OwnWordsDialogue.model_validate_json(line, strict=True)
        except ValidationError as error:
            raise StageError(f"{url}, line {number}: {_told(error)}", _NEXT) from error
        if dialogue.id in lines:
            told = f"{url}, line {number}: id {dialogue.id!r} stands in line {lines[dialogue.id]}, too"
            raise StageError(told, _NEXT)
        lines[dialogue.id] = number
        dialogues.append(dialogue)
    if not any(turn.probe for dialogue in dialogues for turn in dialogue.turns):
        raise StageError(f"{url}: {len(dialogues)} dialogues and no question about memory (`probe`)", _NEXT)
    return OwnWords(dialogues=tuple(dialogues), sha256=hashlib.sha256(content).hexdigest())


def _told(error: ValidationError) -> str:
    """The first fault: its field, its value, and what is wrong. Turns and forms are counted from 0."""
    fault = error.errors(include_url=False)[0]
    field = ".".join(map(str, fault["loc"]))
    if fault["type"] in ("missing", "json_invalid"):
        return f"{field}: {fault['msg']}".removeprefix(": ")
    if fault["type"] == "string_pattern_mismatch":
        return f"{field} = {fault['input']!r}: has no word"
    shown = repr(fault["input"])
    named = f"{field} = " if field else ""
    return f"{named}{shown if len(shown) <= 80 else shown[:80] + '…'}: {fault['msg']}"
