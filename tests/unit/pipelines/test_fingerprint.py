"""Fingerprints: the same digest everywhere, another for what differs, and a readable difference."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
from pydantic import BaseModel

from pipelines.fingerprint import canonical_json, diff, fingerprint, flatten, plain
from pipelines.presets import PRESETS
from rxt_model.config import FragmentsConfig, MemoryConfig
from tests.support.processes import SECONDS


class Inner(BaseModel):
    rate: float
    names: tuple[str, ...]


def test_known_digest():
    expected = hashlib.sha256(b'{"a":[1,2.5,null,true],"\\u017c":{"names":["x"],"rate":0.001}}').hexdigest()
    assert fingerprint({"ż": Inner(rate=1e-3, names=("x",)), "a": [1, 2.5, None, True]}) == expected


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_same_digest_in_other_processes_and_hash_seeds(seed):
    code = (
        "from pipelines.presets import PRESETS; from pipelines.fingerprint import fingerprint; "
        "print(fingerprint(PRESETS['tiny']()), fingerprint({k: 1 for k in {'a', 'b', 'c', 'd', 'e'}}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    here = f"{fingerprint(PRESETS['tiny']())} {fingerprint(dict.fromkeys('edcba', 1))}"
    assert out.stdout.strip() == here


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"x", float("nan"), float("inf"), {1: 2}, print, {"a": {"b": {3}}}]
)
def test_unstable_values_are_refused(value):
    with pytest.raises(TypeError):
        fingerprint(value)


def test_values_that_differ_have_different_digests():
    values = [0, 0.0, False, None, "", "0", [], {}, [0], {"0": 0}, [[0]], [0, 0], "None"]
    assert len({canonical_json(value) for value in values}) == len(values)


def test_a_field_that_came_later_counts_once_it_is_set():
    @dataclass(frozen=True)
    class Older:
        share: float = 0.5

    @dataclass(frozen=True)
    class Newer(Older):
        later: float = 0.0

        left_out = frozenset({"later"})

    assert plain(Newer(), whole=False) == plain(Older()) == {"share": 0.5}
    assert plain(Newer()) == {"share": 0.5, "later": 0.0}
    assert plain(Newer(later=0.1), whole=False) == {"share": 0.5, "later": 0.1}
    # of the commit before `tools`, `thinking`, `delta` and the later keys of `memory`, with the memory of that commit
    tiny = PRESETS["tiny"]()
    memory = replace(tiny.pretrain.model.memory, slots=128, trained_slots=0, ageing=0.0)
    older = tiny.pretrain.model_copy(update={"model": replace(tiny.pretrain.model, memory=memory)})
    shards, pretrain = (plain(section, whole=False) for section in (tiny.conversations, older))
    assert fingerprint(shards) == "77cabc36fe6b78664d68220b62e385128c6f16e93e01dc2c93815db6aae47e2a"
    assert fingerprint(pretrain) == "15df067839ff02d439463c103ae0f7a6195dc3b92a9c7c39dbb84779ec6fcd6a"


def test_diff_names_key_and_both_values():
    old = {"config": {"optimizer": {"lr": 0.001, "clip": 1.0}, "phases": [1, 2]}, "inputs": {"model": "cfd0-1"}}
    new = {
        "config": {"optimizer": {"lr": 0.0005, "clip": 1.0}, "phases": [1], "seed": 3},
        "inputs": {"model": "cfd0-2"},
    }
    assert diff(old, new) == [
        "config.optimizer.lr: 0.001 -> 0.0005",
        "config.seed: (absent) -> 3",
        "inputs.model: cfd0-1 -> cfd0-2",
        "config.phases.1: 2 -> (absent)",
    ]
    assert diff(old, old) == []


def test_diff_sees_a_change_of_type_and_shortens_digests():
    assert diff({"a": 1, "b": "0" * 64}, {"a": True, "b": "f" * 64}) == ["a: 1 -> true", f"b: {'0' * 12} -> {'f' * 12}"]


def test_flatten_keeps_empty_containers():
    assert dict(flatten({"a": {"b": []}, "c": [{"d": 1}]})) == {"a.b": [], "c.0.d": 1}


def test_a_field_that_came_later_changes_an_identity_only_where_it_is_used():
    memory = MemoryConfig(slots=8, variant="selective")
    assert "fragments" not in plain(memory, whole=False) and plain(memory, whole=False)["init_std"] == 0.02
    used = replace(memory, fragments=FragmentsConfig(loaded=3))
    assert plain(used, whole=False)["fragments"]["loaded"] == 3
