"""Stage `evaluate` measures RxT and the baseline on held-out data in parallel Ray tasks, and then their latency."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from jobs.configs.evaluation import EvaluateConfig
from jobs.evaluation import latency, perplexity, plots
from jobs.evaluation.conversations import EncodedConversation, load_conversations
from jobs.evaluation.hybrid import has_thoughts, join_figures
from jobs.evaluation.own_words.playing import Played, play_own_words
from jobs.evaluation.own_words.reader import OwnWords, read_own_words
from jobs.evaluation.own_words.tables import answer_lines, flat_figures, summarise
from jobs.evaluation.rates import HEADLINE, Outcome, tabulate
from jobs.evaluation.recall import ask
from jobs.evaluation.report import write_report
from jobs.evaluation.shared import check_held_out
from jobs.evaluation.slots import slot_examples
from jobs.evaluation.speakers import Follower, ReactiveSpeaker, StatelessSpeaker
from jobs.evaluation.value_tokens import check_values, value_token_rates
from jobs.stage.context import Artifact, Change, Interrupted, StageContext, StageError
from jobs.stage.inputs import open_index, open_reader, open_tokenizer
from jobs.stage.model_folder import require_tokenizer, upload
from jobs.stage.model_input import check_model, open_model, open_reactive
from jobs.stage.resources import Device, choose_device
from jobs.stage.tasks import run_tasks
from rxt_model.baseline import StatelessDecoder
from rxt_model.model import ReactiveTransformer
from rxt_model.size import active_parameters, parameters
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer

SAMPLES = 24
"""The number of conversations in samples.jsonl."""
LATENCY_INTERACTIONS = 16


class EvaluationInputs(NamedTuple):
    """The models to measure, the data to measure them on, the number of threads per task, the device, and the models
    that the stages before wrote, in order."""

    model: Artifact
    baseline: Artifact
    text: Artifact
    conversations: Artifact
    tokenizer: Artifact
    threads: int
    device: Device = "cpu"
    earlier: tuple[Artifact, ...] = ()


class Measured(NamedTuple):
    """The measurements of one model: `outcomes` of all arms, the main arm's answers `said` by (conversation, turn),
    the rates of the `tokens` of values, and `examples` of what slots hold."""

    outcomes: list[Outcome]
    said: dict[tuple[int, int], str]
    tokens: dict[str, Any]
    text: dict[str, Any]
    size: dict[str, int]
    slots: int
    examples: list[dict[str, Any]]


def evaluate(ctx: StageContext, config: EvaluateConfig) -> dict[str, float | str]:
    """Write evaluation.json, report.md, samples.jsonl, plots/ and own_words/ARM.jsonl; return the headline figures.
    Raises StageError for unusable inputs, and Interrupted if the user asked to stop."""
    own = read_own_words(config.own_words) if config.own_words else None
    inputs = EvaluationInputs(
        model=ctx.inputs["model"],
        baseline=ctx.inputs["baseline"],
        text=ctx.inputs["text"],
        conversations=ctx.inputs["shards"],
        tokenizer=ctx.inputs["tokenizer"],
        threads=ctx.execution.train.threads,
        earlier=tuple(artifact for name, artifact in ctx.inputs.items() if name.startswith("after-")),
    )
    for model in (inputs.model, inputs.baseline, *inputs.earlier):
        check_model(model)
    tokenizer = open_tokenizer(inputs.tokenizer)
    reader = open_reader(inputs.conversations, "test")
    require_tokenizer(reader.tokenizer_digest, "the conversation shards", tokenizer)
    conversations, cut = _conversations(inputs, tokenizer, config)
    _require_questions(ctx, conversations, config.questions)
    if any(record.split == "train" for record in open_index(inputs.conversations).files):
        check_held_out(tokenizer, conversations, open_reader(inputs.conversations, "train"), inputs.conversations.stage)
    if cut:
        ctx.reporter.message(f"{cut} questions are left out: their reference answers are cut before the value ends")

    inputs = inputs._replace(device=choose_device(ctx, config))  # starts Ray, so what is damaged is told before
    run = partial(_run, ctx, gpus=int(inputs.device == "cuda"))
    rxt, baseline = run(measure, [(inputs, name, config) for name in ("model", "baseline")], "recall, text")
    calls = [(inputs, name, config, own) for name in ("model", "baseline")] if own else []
    played: list[Played] = run(measure_own_words, calls, "own words") if calls else []
    before = run(measure_text, [(inputs, number, config) for number in range(len(inputs.earlier))], "text by stage")
    ((records, device_name),) = run(measure_latency, [(inputs, config)], "latency")
    evaluation = {
        "schema": 1,
        "config": config.model_dump(),
        "environment": {
            "device": device_name,
            "threads": inputs.threads,
            "torch": torch.__version__,
        },
        "models": {"rxt": rxt.size, "baseline": baseline.size},
        "memory": {
            "writes": "free-running",
            "conversations": len(conversations),
            "slots": rxt.slots,
            "arms": _arms(rxt.outcomes) | _arms(baseline.outcomes),
            "value_tokens": {"rxt": rxt.tokens, "full_history": baseline.tokens},
            "examples": rxt.examples,
        },
        "text": {"rxt": rxt.text, "baseline": baseline.text},
        "text_by_stage": [
            {"stage": artifact.stage, "text": text}
            for artifact, text in zip((*inputs.earlier, inputs.model), (*before, rxt.text), strict=True)
        ],
        "latency": records,
    }
    if own:
        evaluation["own_words"] = summarise(own, played)
        if cut := max(evaluation["own_words"]["cut"].values()):
            ctx.reporter.message(f"{config.own_words}: {cut} turns are longer than the model reads, which were cut")
    with TemporaryDirectory(prefix="rxt-evaluate-") as folder:
        _write(ctx, Path(folder), evaluation, samples(conversations, tokenizer, rxt, baseline))
        if own:
            _write_answers(ctx, Path(folder, "own_words"), own, played)
        upload(Path(folder), ctx.output_uri)
    return metrics(evaluation)


def measure(inputs: EvaluationInputs, name: str, config: EvaluateConfig) -> Measured:
    """Measure recall and text figures of the model `name`, "model" or "baseline"."""
    torch.set_num_threads(inputs.threads)
    tokenizer = open_tokenizer(inputs.tokenizer)
    open_one = open_reactive if name == "model" else open_model  # a model without memory is refused
    model = open_one(getattr(inputs, name), inputs.device)
    require_tokenizer(model.config.tokenizer_digest, f"the {name}", tokenizer)
    conversations, _ = _conversations(inputs, tokenizer, config)
    if isinstance(model, StatelessDecoder):
        speaker: Follower = StatelessSpeaker(model)
    else:
        speaker = ReactiveSpeaker(model, config.seed, hybrid=has_thoughts(conversations))
    outcomes, said = ask(speaker, tokenizer, conversations, config.batch_size)
    tokens = value_token_rates(speaker, tokenizer, conversations, config.batch_size)
    text = _text(model, inputs, config)
    size = {
        "parameters": parameters(model),
        "active": active_parameters(model),
        "vocabulary": model.config.vocab_size,
    }
    examples = slot_examples(speaker, tokenizer, conversations) if isinstance(speaker, ReactiveSpeaker) else []
    return Measured(outcomes, said, tokens, text, size, model.config.memory.slots, examples)


def measure_text(inputs: EvaluationInputs, number: int, config: EvaluateConfig) -> dict[str, Any]:
    """Measure text figures of the model of an earlier stage."""
    torch.set_num_threads(inputs.threads)
    model = open_reactive(inputs.earlier[number], inputs.device)
    require_tokenizer(model.config.tokenizer_digest, inputs.earlier[number].uri, open_tokenizer(inputs.tokenizer))
    return _text(model, inputs, config)


def _text(
    model: ReactiveTransformer | StatelessDecoder, inputs: EvaluationInputs, config: EvaluateConfig
) -> dict[str, Any]:
    stateless = isinstance(model, StatelessDecoder)
    scorer = perplexity.stateless_scorer(model) if stateless else perplexity.reactive_scorer(model, config.seed)
    rows = perplexity.load_rows(open_reader(inputs.text, "test"), config.text_rows, config.seed)
    return {
        language: perplexity.measure(scorer, found, config.batch_size, inputs.device)
        for language, found in rows.items()
        if found
    }


def measure_own_words(inputs: EvaluationInputs, name: str, config: EvaluateConfig, own: OwnWords) -> Played:
    """Play the dialogues in people's own words with the model `name`, "model" or "baseline"."""
    torch.set_num_threads(inputs.threads)
    tokenizer = open_tokenizer(inputs.tokenizer)
    return play_own_words(open_model(getattr(inputs, name), inputs.device), tokenizer, own.dialogues, config.batch_size)


def measure_latency(inputs: EvaluationInputs, config: EvaluateConfig) -> tuple[list[dict[str, Any]], str]:
    """Time to the first token of both models, turn by turn, and the name of the device."""
    torch.set_num_threads(inputs.threads)
    conversations = load_conversations(open_reader(inputs.conversations, "test"), config.questions, config.seed)
    interactions = [
        one for conversation in conversations for one in zip(conversation.queries, conversation.answers, strict=True)
    ]
    baseline = open_model(inputs.baseline, inputs.device)
    assert isinstance(baseline, StatelessDecoder), "stage `baseline` always makes a stateless decoder"
    records = latency.measure(
        open_reactive(inputs.model, inputs.device),
        baseline,
        interactions[:LATENCY_INTERACTIONS],
        config.latency_turns,
    )
    return records, latency.device_name(inputs.device)


def metrics(evaluation: dict[str, Any]) -> dict[str, float | str]:
    """The figures of a finished evaluation as flat metrics, with the short `result` for the status table."""
    memory = evaluation["memory"]
    arms = memory["arms"]
    names = {
        "rxt": "memory/recall_distance_1_to_4",
        "zeroed": "memory/recall_zeroed",
        "shuffled": "memory/recall_shuffled",
        "last": "memory/recall_last_turn_alone",
        "unplanted": "memory/recall_never_written",
        "no_history": "baseline/recall_no_history",
        "window": "baseline/recall_window",
        "full_history": "baseline/recall_full_history",
    }
    flat: dict[str, float | str] = {}
    for group, suffix in (("all", ""), ("broad", "_held_out"), ("templates", "_in_template")):
        for arm, name in names.items():
            if cell := arms[arm].get(group, {}).get("distance_1_to_4"):
                flat[name + suffix] = cell["accuracy"]
        for name, cell in memory["value_tokens"]["rxt"].get(group, {}).items():
            flat[f"memory/value_token_{name}{suffix}"] = cell["accuracy"]
        for kind, cell in arms["rxt"].get(group, {}).get("by_kind", {}).items():
            flat[f"memory/correct_{kind}{suffix}"] = cell["accuracy"]
    own = arms["rxt"]["all"]
    flat |= {f"memory/recall_distance_{distance}": c["accuracy"] for distance, c in own["by_distance"].items()}
    flat |= {f"memory/recall_facts_{facts}": c["accuracy"] for facts, c in own["by_facts"].items()}
    flat |= {f"memory/recall_{language}": c["accuracy"] for language, c in own["by_language"].items()}
    flat |= {f"memory/recall_asked_{order}": c["accuracy"] for order, c in own["by_order"].items()}
    flat |= join_figures(arms)
    flat["memory/facts_per_slot"] = max(c["mean"] * c["accuracy"] for c in own["by_facts"].values()) / memory["slots"]
    flat["memory/questions"] = own["distance_1_to_4"]["n"]
    flat["memory/chance"] = own["distance_1_to_4"]["chance"]
    flat["memory/majority"] = own["distance_1_to_4"]["majority"]
    if cell := arms.get("donor", {}).get("all", {}).get("distance_1_to_4"):
        flat["memory/follows_donor"] = cell["accuracy"]
    for model, group in (("rxt", "eval"), ("baseline", "baseline")):
        for language, figures in evaluation["text"][model].items():
            for figure in ("perplexity", "token_accuracy", "masked_accuracy"):
                if figure in figures:
                    flat[f"{group}/{figure}_{language}"] = figures[figure]
    if "own_words" in evaluation:
        flat |= flat_figures(evaluation["own_words"])
    last = evaluation["latency"][-1]
    flat[f"latency/rxt_ms_turn_{last['turn']}"] = 1e3 * last["rxt_seconds"]
    flat[f"latency/baseline_ms_turn_{last['turn']}"] = 1e3 * last["baseline_seconds"]
    recall, zeroed = flat["memory/recall_distance_1_to_4"], flat["memory/recall_zeroed"]
    flat["result"] = f"recall {100 * recall:.0f} % (zeroed {100 * zeroed:.0f} %)"
    return flat


def samples(
    conversations: Sequence[EncodedConversation], tokenizer: Tokenizer, rxt: Measured, baseline: Measured
) -> list[dict[str, Any]]:
    """The first conversations with both models' answers, and the verdicts on questions about memory."""
    asked: dict[tuple[int, int], dict[str, dict[str, str]]] = {}
    for outcome in rxt.outcomes + baseline.outcomes:
        place = outcome.question.conversation, outcome.question.turn
        asked.setdefault(place, {})[outcome.arm] = {"answer": outcome.answer, "verdict": outcome.verdict}
    shown = []
    for number, conversation in enumerate(conversations[:SAMPLES]):
        turns = []
        for turn, (query, answer) in enumerate(zip(conversation.queries, conversation.answers, strict=True)):
            record = {
                "query": tokenizer.decode(query),
                "reference": decode_answer(tokenizer, answer),
                "rxt": rxt.said[number, turn],
                "baseline": baseline.said[number, turn],
            }
            if turn in conversation.probes:
                record |= {"probe": asdict(conversation.probes[turn]), "arms": asked[number, turn]}
            turns.append(record)
        shown.append({"conversation": conversation.id, "language": conversation.language, "turns": turns})
    return shown


def _run(
    ctx: StageContext, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], note: str, *, gpus: int
) -> list[Any]:
    """Run `function(*arguments)` for all `calls`, each in a Ray task of its own with `gpus` GPUs. Returns the results
    in order."""
    found: dict[int, Any] = {}
    ctx.reporter.progress(0, len(calls), note)
    try:
        tasks = run_tasks(ctx, function, enumerate(calls), "the evaluation", at_once=len(calls), gpus=gpus)
        for number, result in tasks:
            found[number] = result
            ctx.reporter.progress(len(found), len(calls), note)
    except Interrupted as stop:
        raise Interrupted("an unfinished evaluation is not kept; the same command starts it again") from stop
    return [found[number] for number in range(len(calls))]


def _conversations(
    inputs: EvaluationInputs, tokenizer: Tokenizer, config: EvaluateConfig
) -> tuple[list[EncodedConversation], int]:
    """The conversations to play, and how many of their questions are left out because their answers are cut."""
    reader = open_reader(inputs.conversations, "test")
    found = load_conversations(reader, config.questions, config.seed)
    return check_values(tokenizer, found, reader.length, inputs.conversations.stage)


def _arms(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    arms: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        arms.setdefault(outcome.arm, []).append(outcome)
    return {arm: tabulate(found) for arm, found in arms.items()}


def _require_questions(ctx: StageContext, conversations: Sequence[EncodedConversation], wanted: int) -> None:
    found = Counter(p.generator for c in conversations for p in c.probes.values() if p.distance in HEADLINE)
    if not found:
        raise StageError(
            f"{ctx.inputs['shards'].uri}: no question at distance 1 to 4 in the test split",
            Change("conversations.test", 400),
        )
    for generator, n in found.items():
        if n < wanted:
            ctx.reporter.message(
                f"the test split has only {n} of {wanted} questions of the generator {generator}: raise "
                "conversations.test"
            )


def _write_answers(ctx: StageContext, folder: Path, own: OwnWords, played: Sequence[Played]) -> None:
    folder.mkdir()
    for one in played:
        for arm, answers in one.answers.items():
            path = folder / f"{arm}.jsonl"
            path.write_text("".join(f"{line}\n" for line in answer_lines(own, answers, one.cut)), encoding="utf-8")
            ctx.reporter.file(str(path), "own_words")


def _write(ctx: StageContext, folder: Path, evaluation: dict[str, Any], shown: list[dict[str, Any]]) -> None:
    report = folder / "report.md"
    report.write_text(write_report(evaluation), encoding="utf-8")
    (folder / "evaluation.json").write_text(json.dumps(evaluation, indent=1), encoding="utf-8")
    lines = [json.dumps(sample, ensure_ascii=False) for sample in shown]
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("evaluation.json", "report.md", "samples.jsonl"):
        ctx.reporter.file(str(folder / name))
    for path in plots.draw(evaluation, folder / "plots"):
        ctx.reporter.file(str(path), "plots")
    for record in evaluation["latency"]:
        ctx.reporter.metrics(
            record["turn"],
            {"latency/rxt_ms": 1e3 * record["rxt_seconds"], "latency/baseline_ms": 1e3 * record["baseline_seconds"]},
        )
