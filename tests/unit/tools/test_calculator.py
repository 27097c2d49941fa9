"""The calculator against Python's own arithmetic on fractions, and what it refuses."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from random import Random

import pytest

from tokenization.tools.calculator import CalculatorError, calculate


def drawn(rng: Random, depth: int) -> str:
    """Draw an expression of whole numbers."""
    if not depth:
        return str(rng.randint(0, 99))
    form = rng.choice(("{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / {b}", "({a})", "-({a})", "({a})**{n}"))
    return form.format(a=drawn(rng, depth - 1), b=drawn(rng, depth - 1), n=rng.randint(-3, 3))


def test_values_are_those_of_python():
    rng, compared = Random(0), 0
    for _ in range(400):
        expression = drawn(rng, rng.randint(0, 4))
        wrapped = re.sub(r"(?<!\*\*)(?<!\*\*-)\b\d+", r"Fraction(\g<0>)", expression)
        try:
            expected = eval(wrapped, {"Fraction": Fraction})
        except ZeroDivisionError:
            with pytest.raises(CalculatorError, match="division by zero"):
                calculate(expression)
            continue
        if expected and not 1e-30 < abs(expected) < 1e30:
            continue
        found = Fraction(calculate(expression))
        assert found == expected or abs(found - expected) < abs(expected) / 10**11, expression
        compared += found == expected
    assert compared > 100


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("128 + 46", "174"),
        ("2.5 * 4", "10"),
        ("2,5 * 4,1", "10,25"),
        ("0.1 + 0.2", "0.3"),
        ("12.50", "12.5"),
        ("7 / 4", "1.75"),
        ("7,0 / 4", "1,75"),
        ("1 / 3", "0.333333333333"),
        ("2 / 3 * 3", "2"),
        ("-2 ** 2", "-4"),
        ("2 ** 3 ** 2", "512"),
        ("2 ** -2", "0.25"),
        ("(-1) ** 999999999", "-1"),
        ("0 ** 0", "1"),
        ("6 : 3 × 2 · 5 − 1", "19"),
        ("2 ^ 10 ÷ 4", "256"),
        (" ( 1+2 )*3 ", "9"),
        ("9 ** 9", "387420489"),
        ("10 ** 39", "1" + 39 * "0"),
        ("5 - 9", "-4"),
        (",5 + .5", "1"),
    ],
)
def test_results_are_written_as_people_write_them(expression, value):
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("9 ** 9 ** 9", "too large"),
        ("9 ** 99999", "too large"),
        ("(9 ** 9) ** (9 ** 9)", "too large"),
        ("10 ** 40", "too large"),
        ("0.1 ** 99", "too small"),
        ("7 / 0", "division by zero"),
        ("7 / (2 - 2)", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("2 ** 0.5", "an exponent must be a whole number"),
        ("", "the expression is empty"),
        ("1 +", "a number is missing before the end"),
        ("(1 + 2", "a parenthesis is not closed"),
        ("1 + 2)", "')' is not expected there"),
        ("1 2", "two numbers without a sign between them at '2'"),
        ("1,000.5", "two numbers without a sign"),
        ("__import__('os')", '"__import__(\'" is not arithmetic'),
        ("1e9", "'e9' is not arithmetic"),
        ("(" * 40 + "1" + ")" * 40, "more than 30 signs"),
        ("-" * 40 + "1", "more than 30 signs"),
        ("2**" * 40 + "1", "more than 30 signs"),
        ("1+" * 200 + "1", "401 characters, at most 200"),
    ],
)
def test_what_cannot_be_worked_out_says_why_at_once(expression, reason):
    began = time.process_time()
    with pytest.raises(CalculatorError, match=re.escape(reason)):
        calculate(expression)
    assert time.process_time() - began < 0.5
