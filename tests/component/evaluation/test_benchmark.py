"""Benchmarks as a user starts them."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys

from pipelines.code_digest import ROOT
from tests.support.evaluation_data import make_shards, make_tokenizer, save_models
from tests.support.processes import SECONDS

BENCHMARKS = ROOT / "tests" / "benchmarks"


def test_lines_are_appended_per_arm_mode_and_group_of_questions(tmp_path, monkeypatch):
    tokenizer = make_tokenizer()
    uris = make_shards(tmp_path, tokenizer, conversations=12) | save_models(tmp_path, tokenizer)
    results = tmp_path / "recall.jsonl"
    command = ["recall", "--model", f"{uris['rxt']}/model", "--baseline", f"{uris['baseline']}/model"]
    command += ["--shards", uris["conversations"], "--tokenizer", f"{uris['tokenizer']}/tokenizer.json"]
    command += ["--training-seed", "3", "--questions", "6", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", command)
    results.write_text('{"case": "earlier"}\n')
    runpy.run_module("tests.benchmarks.memory.recall", run_name="__main__")
    earlier, *lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert earlier == {"case": "earlier"}
    headline = [(line["arm"], line["writes"]) for line in lines if line["group"] == "1-4"]
    assert len(headline) == len(set(headline)) == 13
    assert {("nearest_turn", "user turns"), ("last_turn", "user turns"), ("all_turns", "user turns")} <= set(headline)
    groups = {"distance", "facts", "language", "kind", "generator", "headline"}
    assert {line["by"] for line in lines if line["arm"] == "rxt"} == groups
    assert all(line["low"] <= line["accuracy"] <= line["high"] and line["n"] > 0 for line in lines)
    documented = (BENCHMARKS / "README.md").read_text()
    assert all(f"`{key}`" in documented for line in lines for key in line)


def of_made_conversations(name, folder, monkeypatch, count):
    """The lines of a benchmark that asks about made conversations."""
    tokenizer = make_tokenizer()
    uris = make_shards(folder, tokenizer, conversations=12) | save_models(folder, tokenizer)
    results = folder / f"{name}.jsonl"
    command = [name, "--model", f"{uris['rxt']}/model", "--baseline", f"{uris['baseline']}/model"]
    command += ["--tokenizer", f"{uris['tokenizer']}/tokenizer.json", "--training-seed", "3"]
    monkeypatch.setattr(sys, "argv", [*command, "--conversations", str(count), "--results", str(results)])
    runpy.run_module(f"tests.benchmarks.memory.{name}", run_name="__main__")
    return [json.loads(line) for line in results.read_text().splitlines()]


def test_questions_about_scenes_are_counted_apart_for_each_arm(tmp_path, monkeypatch):
    lines = of_made_conversations("scenes", tmp_path, monkeypatch, 2)
    assert [line["arm"] for line in lines[:1]] == ["rxt"] and {"zeroed", "full_history"} <= {x["arm"] for x in lines}
    assert all(line["conversations"] == 4 and line["told"]["n"] > 3 for line in lines)
    assert {line["told"]["n"] for line in lines if line["arm"] != "unplanted"} == {lines[0]["told"]["n"]}


def test_of_two_facts_told_in_one_turn_only_the_one_that_is_asked_for_is_right(tmp_path, monkeypatch):
    """Who quotes the whole turn has the value, and mostly the other one as well."""
    lines = {line["arm"]: line for line in of_made_conversations("pairs", tmp_path, monkeypatch, 6)}
    quoting = lines["all_turns"]
    assert 4 < quoting["conversations"] == quoting["value"]["n"] <= 12
    assert quoting["value"]["accuracy"] > 0.8 and quoting["alone"]["accuracy"] < 0.5
    assert {"rxt", "zeroed", "full_history"} <= set(lines)


def test_first_tokens_are_timed_and_weighed_for_both_models(tmp_path, monkeypatch):
    results = tmp_path / "time.jsonl"
    sizes = ["--turns", "2", "--query", "6", "--answer", "6", "--repeats", "1", "--peer-repeats", "1"]
    command = [sys.executable, "-m", "tests.benchmarks.model.time_to_first_token", *sizes, "--results", results]
    subprocess.run(command, check=True, cwd=ROOT, timeout=SECONDS)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["model"], line["turn"], line["prompt_tokens"]) for line in lines] == [
        ("rxt", 1, 6), ("rxt", 2, 6), ("stateless", 1, 6), ("stateless", 2, 18),
    ]  # fmt: skip
    first, second, alone, history = lines
    assert first["bytes"] == second["bytes"] == 2 * 6 * 256 * 128 * 4 + (6 * 6 * 2 * 64 + 7500) * 4
    assert history["cache_bytes"] == 3 * alone["cache_bytes"] == 18 * 6 * 2 * 64 * 4
    assert abs(alone["active_parameters"] / first["active_parameters"] - 1) < 0.05
    documented = (BENCHMARKS / "README.md").read_text()
    assert all(f"`{key}`" in documented for line in lines for key in line)


def test_a_benchmark_of_the_cpu_begins_again_without_what_changes_the_allocator():
    code = """
import os, sys
from tests.benchmarks.model.allocator import as_by_default
print(as_by_default(), sys.argv, "MALLOC_A" in os.environ)
"""
    command, changed = [sys.executable, "-c", code, "x"], os.environ | {"MALLOC_A": "1"}
    done = subprocess.run(command, env=changed, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert done.stdout == "default ['-c', 'x'] False\n"
