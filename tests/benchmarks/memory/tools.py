"""What a trained model learns of tools in a few more steps: one JSON line per arm.

    python -m tests.benchmarks.memory.tools --model ARTIFACT/model --tokenizer ARTIFACT/tokenizer.json

The model trains on as the stage `smat` does, on short generated conversations with calls. Then it is asked sums that
training did not have, each in a new conversation: `with the tool`; `without`, the same model where no call may begin;
and `before`, the model that was given. It also plays generated conversations of the test split without calls: how many
turns end in one all the same, and how many questions about facts are answered right, before and after.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from jobs.configs.training import OptimizerConfig, SmatConfig, SmatPhase
from jobs.stage.model_folder import load_model, require_tokenizer
from jobs.training.batching.reader import WHOLE
from jobs.training.loop import Cadence, train
from jobs.training.optimizers.stage import StageOptimizer
from jobs.training.recipe import build
from rxt_model.generate import GREEDY, Sampling, answer
from rxt_model.model import ReactiveTransformer
from rxt_model.state import remember
from tests.benchmarks.memory.speaking import artifact
from tests.benchmarks.record import RESULTS, append, environment
from tests.support.evaluation_data import write_shards
from tests.support.recorded import recorded
from tokenization.bpe.special_tokens import TOOL_CALL
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer, decode_call, encode_interactions, encode_query
from tokenization.dialogues.score import score
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.tools.sums import Sum, draw_sum, sum_of_small_talk
from tokenization.dialogues.wording import generate
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, Conversation, Interaction, Language
from tokenization.tools.calculator import CalculatorError, calculate
from tokenization.tools.calls import CALCULATOR, CallError, read_calls

TAUGHT = DialogueSpec(turns=(2, 5), facts=(1, 2), distract=0.1, again=0.3, broad=0.6, plain=0.5, tools=0.4)
PLAYED = DialogueSpec(turns=(4, 7), facts=(2, 3), distract=0.3, broad=0.5, plain=0.5, unknown=0.1)
BATCH = 50


@dataclass(frozen=True)
class WithoutCalls(Sampling):
    """The likeliest token, but for the one that begins a call."""

    def draw(self, logits: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        logits = logits.clone()
        logits[:, TOOL_CALL] = -torch.inf
        return super().draw(logits, generators)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.load(arguments.tokenizer)
    before = opened(arguments.model, tokenizer)
    common = {"case": "tools", **environment("torch"), **artifact(arguments.model.rstrip("/").rpartition("/")[0])}
    common |= {"steps": arguments.steps, "batch": arguments.batch, "seed": arguments.seed}
    after = taught(arguments, tokenizer)
    sums = [(language, one) for language in LANGUAGES for one in held_out(language, arguments.sums)]
    arms = {
        "before": asked(before, tokenizer, sums, GREEDY) | played(before, tokenizer, arguments.conversations),
        "without": asked(after, tokenizer, sums, WithoutCalls()),
        "with the tool": asked(after, tokenizer, sums, GREEDY) | played(after, tokenizer, arguments.conversations),
    }
    append(arguments.results, [common | {"arm": arm} | found for arm, found in arms.items()])
    for arm, found in arms.items():
        print(arm, found)


def opened(uri: str, tokenizer: Tokenizer) -> ReactiveTransformer:
    model = load_model(uri)
    require_tokenizer(model.config.tokenizer_digest, uri, tokenizer)
    assert isinstance(model, ReactiveTransformer)
    return model.eval()


def taught(arguments: argparse.Namespace, tokenizer: Tokenizer) -> ReactiveTransformer:
    """Return the model after some more steps, on conversations with calls."""
    steps, length = arguments.steps, opened(arguments.model, tokenizer).config.length
    config = SmatConfig(
        steps=steps,
        batch_size=arguments.batch,
        seed=arguments.seed,
        optimizer=OptimizerConfig(lr=1e-3, matrices="muon", warmup_steps=10, decay=0.5),
        phases=(SmatPhase(until=steps, turns=9, train=("decoder", "memory", "encoder")),),
    )
    with TemporaryDirectory() as folder:
        rows = (row(one, tokenizer, length) for one in conversations(TAUGHT, steps * arguments.batch // 4))
        uri = write_shards(f"{folder}/shards", "conversations", tokenizer, {"train": rows}, length)
        parent = str(Path(arguments.model).parent)
        inputs = {"model": recorded("smat", "0-1", parent), "shards": recorded("conversation-shards", "0-1", uri)}
        recipe = build("jobs.training.smat:recipe", config, inputs, WHOLE)
        optimizer = StageOptimizer(recipe.objective, config.optimizer, steps)
        train(recipe.objective, optimizer, recipe.batch_at, config, Cadence(10, steps), log=shown)
    model = recipe.objective.model
    assert isinstance(model, ReactiveTransformer)
    return model.eval()


def shown(step: int, values: object) -> None:
    assert isinstance(values, dict)
    print(step, {name: round(value, 3) for name, value in values.items() if name == "train/loss"}, flush=True)


def conversations(spec: DialogueSpec, count: int) -> Iterator[Conversation]:
    return (generate(spec, language, "train", 7, n) for n in range(count) for language in LANGUAGES)


def row(told: Conversation, tokenizer: Tokenizer, length: int) -> dict:
    turns = encode_interactions(tokenizer, told.interactions, length)
    language = {"language": LANGUAGES.index(told.language)}
    probes = [vars(probe) for probe in told.probes]
    return {"conversation_id": told.id, "interactions": [vars(turn) | language for turn in turns], "probes": probes}


def held_out(language: Language, count: int) -> Iterator[Sum]:
    rng = Random(stable_hash(f"benchmark/sums/{language}"))
    found: dict[str, Sum] = {}
    while len(found) < count:
        one = draw_sum(language, "test", rng)
        if not one.expression.endswith(" 0"):
            found.setdefault(one.expression, one)
    yield from found.values()


@torch.no_grad()
def asked(
    model: ReactiveTransformer, tokenizer: Tokenizer, sums: Sequence[tuple[Language, Sum]], sampling: Sampling
) -> dict[str, object]:
    """Ask every sum in a conversation of its own, and count."""
    counts = dict.fromkeys(("calls", "well_formed", "expression_right", "right"), 0)
    by_language = dict.fromkeys(LANGUAGES, 0)
    for start in range(0, len(sums), BATCH):
        part = sums[start : start + BATCH]
        memory = model.initial_memory(len(part), torch.Generator().manual_seed(start))
        turns = [Interaction(one.question, "") for _, one in part]
        memory, said = turn(model, tokenizer, memory, turns, sampling)
        results = [result_of(tokenizer, ids, one, counts) for ids, (_, one) in zip(said, part, strict=True)]
        rows = [number for number, result in enumerate(results) if result is not None]
        if rows:
            turns = [Interaction("", "", tool_result=results[number] or "") for number in rows]
            _, final = turn(model, tokenizer, memory[:, rows], turns, sampling)
            for number, ids in zip(rows, final, strict=True):
                said[number] = ids
        for ids, (language, one) in zip(said, part, strict=True):
            right = contains_number(decode_answer(tokenizer, ids), calculate(one.expression))
            by_language[language] += right
            counts["right"] += right
    return {"sums": len(sums), **counts, **{f"right_{language}": n for language, n in by_language.items()}}


def result_of(tokenizer: Tokenizer, ids: list[int], one: Sum, counts: dict[str, int]) -> str | None:
    """Run the call of an answer, if it has one."""
    text = decode_call(tokenizer, ids)
    if text is None:
        return None
    counts["calls"] += 1
    try:
        (call,) = read_calls(text)
        counts["well_formed"] += 1
        counts["expression_right"] += call.name == CALCULATOR and call.argument == one.expression
        return calculate(call.argument) if call.name == CALCULATOR else "nothing found"
    except (CallError, CalculatorError) as error:
        return f"error: {error}"


def contains_number(text: str, number: str) -> bool:
    """Say whether a text has this number, and not as a part of another."""
    return any(word.strip("?!:;").removesuffix(".") == number for word in text.split())


def turn(
    model: ReactiveTransformer, tokenizer: Tokenizer, memory: Tensor, turns: Sequence[Interaction], sampling: Sampling
) -> tuple[Tensor, list[list[int]]]:
    """Answer a turn of every conversation. Return the memory afterwards, and the ids of the answers."""
    length = model.config.length
    queries = [encode_query(tokenizer, one, length) for one in turns]
    said = answer(model, memory, queries, [length - len(query) for query in queries], sampling)
    return remember(model, memory, [a + b for a, b in zip(queries, said, strict=True)]), said


@torch.no_grad()
def played(model: ReactiveTransformer, tokenizer: Tokenizer, count: int) -> dict[str, object]:
    """Play conversations without sums, with the model's own answers."""
    told = [generate(PLAYED, language, "test", 0, n) for language in LANGUAGES for n in range(2 * count)]
    told = [one for one in told if not any(map(sum_of_small_talk, one.interactions))]
    told = [one for language in LANGUAGES for one in [one for one in told if one.language == language][:count]]
    counts = dict.fromkeys(("turns", "calls_not_needed", "questions", "remembered"), 0)
    memory = model.initial_memory(len(told), torch.Generator().manual_seed(0))
    probes = [{probe.turn: probe for probe in one.probes} for one in told]
    for number in range(max(len(one.interactions) for one in told)):
        rows = [n for n, one in enumerate(told) if number < len(one.interactions)]
        turns = [replace(told[n].interactions[number], answer="") for n in rows]
        memory[:, rows], said = turn(model, tokenizer, memory[:, rows], turns, GREEDY)
        for n, ids in zip(rows, said, strict=True):
            counts["turns"] += 1
            counts["calls_not_needed"] += TOOL_CALL in ids
            if probe := probes[n].get(number):
                counts["questions"] += 1
                counts["remembered"] += score(decode_answer(tokenizer, ids), probe, told[n].language) == "correct"
    return dict(counts)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder ARTIFACT/model of an RxT after smat")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=8, help="conversations a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sums", type=int, default=150, help="of each language")
    parser.add_argument("--conversations", type=int, default=40, help="of each language")
    parser.add_argument("--results", type=Path, default=RESULTS / "tools.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
