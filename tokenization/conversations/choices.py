"""Read the choices beside a question, as exams and benchmarks write them, and the answer that names one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenization.conversations.rows import RowError, Struct, is_number, listed, text_of

LABELS = tuple("ABCDEFGHIJ")
COLUMNS = ("choices", "options")
FIELDS = frozenset({*LABELS, "label", "key", "text", "value"})  # in structs of choices
_NAMED = re.compile(r"\(?(\w)[).:]*")  # an answer that is a letter, or a digit
_NUMBER = re.compile(r"\d")
_LABELLED = r"(?:^|\W){}[).:]"


def choices_of(row: Struct) -> dict[str, str]:
    """Return the texts to choose from by their labels, in order; nothing if the row has none.

    They are a list of texts, or of structs of a label and a text; a struct of a text for each letter, or of lists
    `text` and `label`; or one of these as text. Raises RowError for what no text may hold.
    """
    for name in COLUMNS:
        labels, texts = _found(row.get(name))
        if (
            2 <= len(texts) <= len(labels)
            and None not in labels
            and all(isinstance(text, str) or is_number(text) for text in texts)
        ):
            said = [text_of({name: str(text)}, name, "") for text in texts]
            return _unlabelled(dict(zip(map(str, labels[: len(said)]), said, strict=True)))
    return {}


def _unlabelled(choices: Mapping[str, str]) -> dict[str, str]:
    """The choices without the labels that all of them begin with."""
    begins = {label: re.match(rf"\(?{re.escape(label)}[).:]\s*", text) for label, text in choices.items()}
    return {label: text[found.end() :] if (found := begins[label]) and all(begins.values()) else text
            for label, text in choices.items()}  # fmt: skip


def _found(value: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Labels and texts, of which there may be none."""
    if isinstance(value, str):
        try:
            value = listed(value)
        except ValueError:
            return (), ()
    if isinstance(value, Mapping) and isinstance(value.get("text"), list | tuple):
        return value.get("label") or LABELS, value["text"]
    if isinstance(value, Mapping):
        named = {name: text for name, text in value.items() if name in LABELS and text is not None}
        return list(named), list(named.values())
    if not isinstance(value, list | tuple):
        return (), ()
    if value and all(isinstance(each, Mapping) for each in value):
        named = {each.get("label") or each.get("key"): each.get("text") or each.get("value") for each in value}
        return list(named), list(named.values())
    return LABELS, value


def shown(question: str, choices: Mapping[str, str]) -> Iterable[str]:
    """Yield a line for each choice, as `A) Apple`; nothing if the question shows them itself."""
    if not all(re.search(_LABELLED.format(re.escape(label)), question) for label in choices):
        yield from (f"{label}) {text}" for label, text in choices.items())


def chosen(answer: object, choices: Mapping[str, str]) -> str | None:
    """Return the answer as `A) Apple` if it is a number, counted from 0, and choices have letters; a choice; or a
    label. Return None for any other. Text that is a number is one of those only if no choice holds a number: else it
    may be a choice, rounded. Raises RowError for a number or a letter that no choice has."""
    if isinstance(answer, bool):
        answer = str(answer)
    lettered = all(label in LABELS for label in choices)
    if isinstance(answer, int | float) and lettered:
        number = int(answer) if answer == answer else -1
        if not (number == answer and 0 <= number < len(choices)):
            raise RowError("an answer that is none of the choices", repr(answer))
        return _line(list(choices)[number], choices)
    if not isinstance(answer, str | int):
        return None
    bare = str(answer).strip()
    label = next((each for each, text in choices.items() if text.strip().casefold() == bare.casefold()), "")
    if not label and (named := _NAMED.fullmatch(bare)):
        label = named[1].upper()
    if label not in choices and bare.isdecimal() and lettered and not any(map(_NUMBER.search, choices.values())):
        label = LABELS[int(bare)] if int(bare) < len(choices) else label
    if label not in choices and label in LABELS and lettered and len(label) == 1 and label > max(choices):
        raise RowError("an answer that is none of the choices", repr(bare))
    return _line(label, choices) if label in choices else None


def _line(label: str, choices: Mapping[str, str]) -> str:
    return f"{label}) {choices[label]}"
