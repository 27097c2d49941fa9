"""The recall benchmark as a user starts it."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

from evaluation_data import make_shards, make_tokenizer, save_models

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "recall.py"


def test_lines_are_appended_per_arm_mode_and_distance(tmp_path, monkeypatch):
    tokenizer = make_tokenizer()
    uris = make_shards(tmp_path, tokenizer, conversations=12) | save_models(tmp_path, tokenizer)
    results = tmp_path / "recall.jsonl"
    command = [str(SCRIPT), "--model", f"{uris['rxt']}/model", "--baseline", f"{uris['baseline']}/model"]
    command += ["--shards", uris["conversations"], "--tokenizer", f"{uris['tokenizer']}/tokenizer.json"]
    command += ["--training-seed", "3", "--questions", "6", "--results", str(results)]
    monkeypatch.setattr(sys, "argv", command)
    results.write_text('{"case": "earlier"}\n')
    runpy.run_path(str(SCRIPT), run_name="__main__")
    earlier, *lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert earlier == {"case": "earlier"}
    headline = [(line["arm"], line["writes"]) for line in lines if line["distance"] == "1-4"]
    assert len(headline) == len(set(headline)) == 7
    assert all(line["low"] <= line["accuracy"] <= line["high"] and line["n"] > 0 for line in lines)
    documented = (SCRIPT.parent / "README.md").read_text()
    assert all(f"`{key}`" in documented for line in lines for key in line)
