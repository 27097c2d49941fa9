"""The tool `calculator`: exact arithmetic on what a user or a model wrote, with bounds on its size.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = ("+" | "-") signed | power
    power   = atom ["**" signed]
    atom    = number | "(" sum ")"

A number has a decimal point or a decimal comma, and nothing between its thousands. `×`, `·`, `÷`, `:`, `−` and `^` are
other spellings. Numbers are fractions, so 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction

LONGEST = 200  # characters of an expression
DEEPEST = 30  # signs, powers and parentheses inside each other
MOST_BITS = 2_000  # of a numerator or a denominator
MOST_DIGITS = 40  # of a whole number that is shown
ROUNDED_TO = 12  # significant digits of a number that does not end
LEAST = Fraction(1, 10**MOST_DIGITS)

_TOKEN = re.compile(r"\s*(?:(\d+(?:[.,]\d+)?|[.,]\d+)|(\*\*|[-+*/()^×·÷:−]))")
_SPELLINGS = {"^": "**", "×": "*", "·": "*", "÷": "/", ":": "/", "−": "-"}


class CalculatorError(ValueError):
    """What cannot be worked out. The message says why."""


def calculate(expression: str) -> str:
    """Return the value of an expression: exact if it ends, else rounded to ROUNDED_TO digits. It has a decimal comma if
    the expression has one and no point. Raises CalculatorError for what is no expression, a division by zero, and what
    is too large."""
    if len(expression) > LONGEST:
        raise CalculatorError(f"the expression has {len(expression)} characters, at most {LONGEST} are read")
    value = _Parser(_tokens(expression)).whole()
    comma = "," in expression and "." not in expression
    return _shown(value).replace(".", "," if comma else ".")


def _tokens(expression: str) -> list[str | Fraction]:
    found: list[str | Fraction] = []
    at, end = 0, len(expression.rstrip())
    while at < end:
        match = _TOKEN.match(expression, at)
        if match is None:
            raise CalculatorError(f"{expression[at:].lstrip()[:12]!r} is not arithmetic")
        number, sign = match.groups()
        if number and found and isinstance(found[-1], Fraction):
            raise CalculatorError(f"two numbers without a sign between them at {expression[at:].strip()[:12]!r}")
        found.append(Fraction(number.replace(",", ".")) if number else _SPELLINGS.get(sign, sign))
        at = match.end()
    if not found:
        raise CalculatorError("the expression is empty")
    return found


class _Parser:
    """Reads tokens from left to right, and computes as it reads."""

    def __init__(self, tokens: list[str | Fraction]) -> None:
        self.tokens = tokens
        self.at = self.depth = 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self.at < len(self.tokens):
            raise CalculatorError(f"{_name(self.tokens[self.at])} is not expected there")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while sign := self._take("+", "-"):
            other = self._product()
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while sign := self._take("*", "/"):
            other = self._signed()
            if sign == "/" and not other:
                raise CalculatorError("division by zero")
            value = _bounded(value * other if sign == "*" else value / other)
        return value

    def _signed(self) -> Fraction:
        self.depth += 1
        if self.depth > DEEPEST:
            raise CalculatorError(f"more than {DEEPEST} signs, powers and parentheses inside each other")
        if sign := self._take("+", "-"):
            value = self._signed() if sign == "+" else -self._signed()
        else:
            value = self._power()
        self.depth -= 1
        return value

    def _power(self) -> Fraction:
        base = self._atom()
        return _raised(base, self._signed()) if self._take("**") else base

    def _atom(self) -> Fraction:
        if self._take("("):
            value = self._sum()
            if not self._take(")"):
                raise CalculatorError("a parenthesis is not closed")
            return value
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if not isinstance(token, Fraction):
            raise CalculatorError(f"a number is missing before {_name(token)}")
        self.at += 1
        return _bounded(token)

    def _take(self, *signs: str) -> str:
        """Return the next token and go on if it is one of these signs, else return nothing."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if not isinstance(token, str) or token not in signs:
            return ""
        self.at += 1
        return token


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise CalculatorError("an exponent must be a whole number")
    if not base and exponent < 0:
        raise CalculatorError("division by zero")
    if abs(base) in (0, 1):  # the exponent counts only as 0, odd or even
        return base ** (2 - exponent.numerator % 2 if exponent else 0)
    if abs(exponent.numerator) * (_bits(base) - 1) > MOST_BITS:  # before it is computed
        raise CalculatorError("too large")
    return _bounded(base**exponent.numerator)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _bounded(value: Fraction) -> Fraction:
    if _bits(value) > MOST_BITS:
        raise CalculatorError("too large")
    return value


def _shown(value: Fraction) -> str:
    if abs(value) >= 10**MOST_DIGITS:
        raise CalculatorError("too large")
    if value and abs(value) < LEAST:
        raise CalculatorError("too small")
    exact = Context(prec=2 * MOST_DIGITS).divide(Decimal(value.numerator), Decimal(value.denominator))
    digits = len(exact.normalize().as_tuple().digits)
    ends = Fraction(exact) == value and (value.denominator == 1 or digits <= MOST_DIGITS)
    shown = f"{exact if ends else Context(prec=ROUNDED_TO).plus(exact):f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _name(token: str | Fraction | None) -> str:
    return "the end" if token is None else repr(token) if isinstance(token, str) else f"the number {_shown(token)}"
