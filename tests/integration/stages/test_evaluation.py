"""The stage `evaluate` as the runner calls it, on untrained models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.configs.evaluation import EvaluateConfig
from jobs.stage.context import Interrupted, Look, StageError
from jobs.stage.model_folder import load_model
from rxt_model.files.checkpoint import save_pretrained
from tests.support.evaluation_data import digest_of, evaluation_context, foreign_tokenizer, make_world
from tests.support.own_words.dialogues import dialogue, write_dialogues
from tests.support.recorded import recorded

ARMS = {"rxt", "zeroed", "shuffled", "last", "unplanted", "full_history", "window", "no_history"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def evaluated(world, ray_session, tmp_path_factory):
    from jobs.evaluation.stage import evaluate

    own = write_dialogues(tmp_path_factory.mktemp("own") / "own.jsonl", dialogue("a"), dialogue("b", ("word " * 99,)))
    inputs = world | {"after-smat": world["model"]}
    ctx = evaluation_context(inputs, tmp_path_factory.mktemp("evaluated"))
    figures = evaluate(ctx, EvaluateConfig(questions=20, text_rows=5, latency_turns=4, batch_size=8, own_words=own))
    return ctx, figures


def test_evaluate_leaves_everything_a_reader_needs(evaluated):
    ctx, _ = evaluated
    left = {path.relative_to(ctx.output_uri).as_posix() for path in Path(ctx.output_uri).rglob("*") if path.is_file()}
    plots = {f"plots/{name}.png" for name in (
        "recall_by_distance", "recall_by_facts", "recall_by_kind", "forgetting", "perplexity", "perplexity_by_stage",
        "latency_by_turn",
    )}  # fmt: skip
    own = {f"own_words/{arm}.jsonl" for arm in ("rxt", "emptied", "full_history", "window", "no_history")}
    assert left == {"evaluation.json", "report.md", "samples.jsonl"} | plots | own
    shown = {f"{folder}/{name}".lstrip("/") for name, folder in ctx.reporter.files}
    assert shown == left


def test_evaluation_json_has_every_arm_with_interval_chance_and_n(evaluated):
    ctx, _ = evaluated
    evaluation = json.loads(Path(ctx.output_uri, "evaluation.json").read_text())
    memory = evaluation["memory"]
    assert memory["writes"] == "free-running"
    assert set(memory["arms"]) == ARMS | {"donor"}
    cell_keys = {"n", "correct", "accuracy", "low", "high", "stale", "abstained", "chance", "majority"}
    for figures in (group for groups in memory["arms"].values() for group in groups.values()):
        cells = [figures["distance_1_to_4"]]
        for axis in ("by_distance", "by_facts", "by_language", "by_kind", "by_order"):
            assert figures[axis]
            cells += figures[axis].values()
        assert all(set(cell) - {"mean"} == cell_keys for cell in cells)
    for group, least in (("all", 30), ("broad", 15), ("templates", 20)):
        asked = {memory["arms"][arm][group]["distance_1_to_4"]["n"] for arm in ARMS}
        assert len(asked) == 1 and min(asked) >= least
    for model in ("rxt", "full_history"):
        for figures in memory["value_tokens"][model].values():
            assert figures["first"]["n"] == figures["value"]["n"] >= figures["value"]["correct"]
    assert set(evaluation["text"]["rxt"]) == set(evaluation["text"]["baseline"]) == {"en", "pl"}
    first, last = evaluation["text_by_stage"]
    assert first["text"] == last["text"] == evaluation["text"]["rxt"] and first["stage"] == ctx.inputs["model"].stage
    assert [record["turn"] for record in evaluation["latency"]] == [1, 2, 4]


def test_the_figures_of_the_stage_are_flat_and_named(evaluated):
    ctx, figures = evaluated
    for name in (
        "memory/recall_distance_1_to_4", "memory/recall_en", "memory/recall_zeroed", "memory/recall_shuffled",
        "memory/value_token_first", "memory/chance", "baseline/recall_no_history", "baseline/recall_full_history",
        "memory/recall_distance_1_to_4_held_out", "baseline/recall_window_in_template", "memory/facts_per_slot",
        "eval/perplexity_en", "eval/perplexity_pl", "baseline/perplexity_en", "eval/masked_accuracy_pl",
    ):  # fmt: skip
        assert isinstance(figures[name], float), name
    assert figures["result"].startswith("recall ") and "zeroed" in figures["result"]
    assert all("latency/rxt_ms" in values for _, values in ctx.reporter.points)


def test_dialogues_in_peoples_own_words_are_played_with_both_models(evaluated):
    ctx, figures = evaluated
    for name in ("correct", "correct_plain", "correct_en", "correct_recall", "correct_emptied", "correct_full_history"):
        assert isinstance(figures[f"own_words/{name}"], float), name
    assert (figures["own_words/questions"], figures["own_words/cut_turns"]) == (2, 1)
    assert any("1 turns are longer than the model reads" in text for text in ctx.reporter.messages)
    assert "## In people's own words: 2 dialogues" in Path(ctx.output_uri, "report.md").read_text()
    lines = Path(ctx.output_uri, "own_words/rxt.jsonl").read_text().splitlines()
    assert [json.loads(line)["turn"] for line in lines] == [0, 1, 2, 0, 1]


def test_dialogues_that_cannot_be_read_are_told_before_anything_is_measured(world, tmp_path):
    from jobs.evaluation.stage import evaluate

    with pytest.raises(StageError, match="none.jsonl: cannot be read"):
        evaluate(evaluation_context(world, tmp_path / "out"), EvaluateConfig(own_words=str(tmp_path / "none.jsonl")))


def test_samples_are_transcripts_with_verdicts(evaluated):
    ctx, _ = evaluated
    lines = [json.loads(line) for line in Path(ctx.output_uri, "samples.jsonl").read_text().splitlines()]
    assert {line["language"] for line in lines} == {"en", "pl"}
    asked = [turn for line in lines for turn in line["turns"] if "probe" in turn]
    assert asked and all(set(turn["arms"]) - {"donor"} == ARMS for turn in asked)
    assert all(turn["arms"]["rxt"]["answer"] == turn["rxt"] for turn in asked)
    assert all(turn["reference"] for line in lines for turn in line["turns"])


def test_evaluate_refuses_a_tokenizer_that_does_not_fit(world, tmp_path):
    from jobs.evaluation.stage import evaluate

    other = foreign_tokenizer(tmp_path)
    with pytest.raises(StageError) as error:
        evaluate(evaluation_context(world | {"tokenizer": other}, tmp_path / "out"), EvaluateConfig(questions=4))
    assert digest_of(other) in str(error.value) and digest_of(world["tokenizer"]) in str(error.value)


def test_evaluate_stops_when_asked(world, ray_session, tmp_path):
    from jobs.evaluation.stage import evaluate

    ctx = evaluation_context(world, tmp_path / "out", should_stop=lambda: True)
    with pytest.raises(Interrupted):
        evaluate(ctx, EvaluateConfig(questions=200, text_rows=5))
    assert not (tmp_path / "out").exists()


def test_a_refusal_inside_a_task_reaches_the_user_as_it_was(world, ray_session, tmp_path):
    """The task that loads a baseline finds that it has another vocabulary."""
    from jobs.evaluation.stage import evaluate

    model = load_model(f"{world['baseline'].uri}/model")
    model.config = replace(model.config, tokenizer_digest="f" * 64)
    save_pretrained(model, tmp_path / "foreign" / "model")
    foreign = recorded("baseline", "0123456789ab-9", str(tmp_path / "foreign"))
    with pytest.raises(StageError, match="the baseline was made with ffff") as error:
        evaluate(
            evaluation_context(world | {"baseline": foreign}, tmp_path / "out"),
            EvaluateConfig(questions=4, text_rows=2),
        )
    assert type(error.value) is StageError and error.value.remedy == Look()
