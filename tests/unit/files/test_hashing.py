"""Hashes of texts are the same in every process and in every version: results of earlier runs depend on them."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import SECONDS
from tokenization.hashing import stable_hash, stable_seed


def test_they_are_what_they_have_always_been():
    assert stable_hash("") == 0xE4A6A0577479B2B4
    assert stable_hash("zażółć") == 0x4DBAEB499CD00369
    assert stable_seed(3, "memory", "c1") == 0x25AAF6BA490623C9


def test_they_are_the_same_in_another_process():
    code = "from tokenization.hashing import *; print(stable_hash('gęś'), stable_seed(3, 'memory', 'c1'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert found.stdout.split() == [str(stable_hash("gęś")), str(stable_seed(3, "memory", "c1"))]


def test_the_parts_of_a_seed_are_told_apart():
    assert len({stable_seed("ab", "c"), stable_seed("a", "bc"), stable_seed("c", "ab"), stable_seed("abc")}) == 4
    assert all(stable_seed(n) < 2**63 for n in range(100))
