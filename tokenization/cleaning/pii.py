"""Find what identifies a person and mask it: e-mail addresses, phone numbers, account numbers (IBAN), and PESEL, the
number of a person in Poland. The masks are named as in Presidio.

IBAN and PESEL have check digits, so a number of another kind is hardly ever taken for one. Phone numbers have none:
they count if they begin with a country code, are grouped as is usual in Poland or North America, or follow a word such
as `tel.`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, get_args

Pii = Literal["email", "phone", "iban", "pesel"]
PII: tuple[Pii, ...] = get_args(Pii)
MASKS: dict[Pii, str] = {
    "email": "<EMAIL_ADDRESS>",
    "phone": "<PHONE_NUMBER>",
    "iban": "<IBAN_CODE>",
    "pesel": "<PL_PESEL>",
}

_EMAIL = re.compile(r"(?<![\w.+-])[^\W_](?:[\w.+-]{0,62}\w)?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,6}[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"\b(?:[A-Z]{2}[ -]?)?\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b")
_PESEL = re.compile(r"(?<![\w/-])\d{11}(?![\w/-])(?![.,]\d)")
_PHONE = re.compile(
    r"""(?<![\w/$€£-])(?<!\d[.,])(?:
    (?:\+|00)[1-9]\d{0,2}(?:[ .-]?\(\d{1,4}\))?(?:[ .-]?\d{2,4}){2,6}  # with the code of a country
    | \(\d{2}\)[ ]?\d{3}[ -]?\d{2}[ -]?\d{2} | \d{2}[ -]\d{3}[ -]\d{2}[ -]\d{2}  # Poland, with the code of an area
    | [4-8]\d{2}(?:[ -]\d{3}[ -]|\.\d{3}\.)\d{3}(?<![ .-]000[ .-]000)  # Poland, mobile
    | (?:\(\d{3}\)[ ]?|\d{3}[-.])\d{3}[-.]\d{4}  # North America
    )(?![\w/-])(?![.,]\d)(?![ ]?(?:zł|PLN|EUR|USD|€|%|mln|tys|km))""",
    re.VERBOSE,
)
_PHONE_AFTER_A_WORD = re.compile(
    r"\b(?:tel|telefon\w*|kom|komórk\w*|fax|faks|phone|mobile|call|zadzwoń|whatsapp)\b[.:]*\s{0,2}(?:nr\.?\s?)?"
    r"(?P<number>\(?\d[\d ()-]{5,14}\d)(?![\w/-])(?![.,]\d)",
    re.IGNORECASE,
)
_PHONE_DIGITS = range(8, 16)
_LONG = re.compile(r"\d[\d .()-]{5}|\d{2}[ -]?[A-Z0-9]{4}")  # whatever is a number of these kinds has this
_PESEL_WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
_IBAN_LENGTH, _POLISH_DIGITS = range(15, 35), 26  # the digits of a Polish one are often written without "PL"

Span = tuple[int, int, Pii]


def masked(text: str, mask: Collection[Pii]) -> tuple[str, dict[Pii, int]]:
    """Return the text with what is in `mask` replaced, and how many of each kind it had, masked or not."""
    counts: dict[Pii, int] = dict.fromkeys(PII, 0)
    if "@" not in text and not _LONG.search(text):
        return text, counts
    parts, rest = [], 0
    for start, end, kind in _apart(_places(text)):
        counts[kind] += 1
        if kind in mask:
            parts += text[rest:start], MASKS[kind]
            rest = end
    return "".join([*parts, text[rest:]]), counts


def _apart(places: Iterable[Span]) -> list[Span]:
    """Leave out each place that overlaps an earlier one, and put the others in the order of the text."""
    found: list[Span] = []
    for place in places:
        start, end, _ = place
        after = bisect_left(found, place)
        if (not after or found[after - 1][1] <= start) and (after == len(found) or end <= found[after][0]):
            found.insert(after, place)
    return found


def _places(text: str) -> Iterator[Span]:
    """Yield where something stands and what it is. Of places that overlap, the first one counts."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield *match.span(), "email"
    if not _LONG.search(text):
        return
    for match in _IBAN.finditer(text):
        if end := _end_of_iban(match[0]):
            yield match.start(), match.start() + end, "iban"
    for match in _PESEL.finditer(text):
        if is_pesel(match[0]):
            yield *match.span(), "pesel"
    for match in _PHONE.finditer(text):
        if sum(map(str.isdigit, match[0])) in _PHONE_DIGITS:
            yield *match.span(), "phone"
    for match in _PHONE_AFTER_A_WORD.finditer(text):
        yield *match.span("number"), "phone"


def is_pesel(digits: str) -> bool:
    """Return whether 11 digits are a PESEL: a date of birth, of which the month tells the century, with the right check
    digit."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    right = sum(weight * int(digit) for weight, digit in zip(_PESEL_WEIGHTS, digits, strict=True)) % 10 == 0
    return right and 1 <= month <= 12 and 1 <= day <= 31


def is_iban(code: str) -> bool:
    """Return whether a code is an IBAN by its length and check digits (ISO 13616). Blanks and hyphens do not count, and
    26 digits are taken for a Polish one."""
    code = re.sub("[ -]", "", code)
    if len(code) == _POLISH_DIGITS and code.isdigit():
        code = f"PL{code}"
    if len(code) not in _IBAN_LENGTH or not code[:2].isalpha():
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def _end_of_iban(text: str) -> int:
    """Return the length of the IBAN that the text begins with, or 0. A word in capitals may follow it."""
    while not is_iban(text):
        text = text[: max(text.rfind(" "), text.rfind("-"), 0)]
        if not text:
            return 0
    return len(text)
