"""What each part of the recipe gives: a grid of runs that share what they have in common, each without one part.

    python -m tests.benchmarks.memory.ablations WORKSPACE [--row NAME ...] [--seed 0 1 2] [--set KEY=VALUE ...]

Every row and seed is a run of the pipeline up to `smat` in the folder WORKSPACE, so corpus, shards and earlier stages
are made once, and a grid that was stopped goes on where it was. All rows answer the same conversations, free-running:
those of the template generator and those of the broad one, with sentences, attributes and values that training never
saw. One JSON line per row and seed is appended to results/ablations.jsonl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from jobs.evaluation import perplexity
from jobs.evaluation.conversations import EncodedConversation
from jobs.evaluation.rates import Outcome, rate
from jobs.evaluation.recall import ask
from jobs.evaluation.speakers import ReactiveSpeaker
from jobs.stage.model_folder import load_model
from rxt_model.model import ReactiveTransformer
from rxt_model.size import active_parameters
from tests.benchmarks.memory.speaking import encode
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES
from tokenization.shards.reader import ShardReader

TRAINED = ("pretrain", "sft", "memory_pretrain", "smat")  # sections with a seed
CONVERSATIONS = 100  # per language and test
PLAN: dict[str, Any] = {"turns": (3, 8), "facts": (1, 4), "distract": 0.1, "update": 0.2, "unknown": 0.2}
TESTS = {
    "template": DialogueSpec(**PLAN),
    "plain": DialogueSpec(**PLAN, broad=1.0, plain=1.0),
    "broad": DialogueSpec(**PLAN, broad=1.0),
    "eight facts": DialogueSpec(**PLAN | {"turns": (16, 18), "facts": (8, 8), "update": 0.0}),
    "distance 16": DialogueSpec(**PLAN | {"turns": (20, 22), "facts": (4, 4), "update": 0.0, "distances": (16,)}),
}
MODEL = "pretrain.model."
BLENDED = (  # a write whose slots are no single tokens
    f"{MODEL}copying=false",
    f"{MODEL}memory.ageing=0",
    f"{MODEL}memory.slots=128",
    f"{MODEL}memory.trained_slots=0",
    "smat.reading_every=0",
)
ROWS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "no neighbours in the encoder": (f"{MODEL}encoder_neighbours=[]",),
    "no neighbours in the decoder": (f"{MODEL}decoder_neighbours=[]",),
    "no copying head": (f"{MODEL}copying=false", f"{MODEL}memory.ageing=0"),
    "no start that copies": (f"{MODEL}copy_start=false",),
    "no ageing": (f"{MODEL}memory.ageing=0",),
    "64 slots": (f"{MODEL}memory.slots=64", f"{MODEL}memory.trained_slots=0"),
    "128 slots": (f"{MODEL}memory.slots=128",),
    "competitive write": (*BLENDED, f'{MODEL}memory.variant="competitive"'),
    "gated write (published)": (*BLENDED, f'{MODEL}memory.variant="gated"'),
    "importance from the start": ("memory_pretrain.importance_from=0",),
    "no raw states in smat": ("smat.reading_every=0",),
    "horizon 2": ("smat.horizon=2",),
    "all turns decoded": ("memory_pretrain.other_turns=1", "smat.other_turns=1"),
    "batches of any length": ("memory_pretrain.alike=1", "smat.alike=1"),
    "no text": ("memory_pretrain.text_batch_size=0", "smat.text_batch_size=0"),
    "no sft": ("sft.steps=1",),
    "template sentences alone": ("conversations.dialogues.broad=0", "conversations.longer.broad=0"),
    "broad sentences alone": ("conversations.dialogues.broad=1", "conversations.longer.broad=1"),
    "no plain conversations": ("conversations.dialogues.plain=0", "conversations.longer.plain=0"),
    "plain conversations alone": ("conversations.dialogues.plain=1", "conversations.longer.plain=1"),
}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    for seed in arguments.seed:
        for row in arguments.row or ROWS:
            changes = [*ROWS[row], *arguments.set, *(f"{section}.seed={seed}" for section in TRAINED)]
            stages = run(arguments.workspace, arguments.preset, changes)
            line = {
                "benchmark": "ablations",
                **environment("torch"),
                "preset": arguments.preset,
                "row": row,
                "seed": seed,
            }
            line |= {"changes": [*ROWS[row], *arguments.set]} | measured(stages)
            append(arguments.results, [line])
            print(
                row, seed, {name: round(100 * cell["accuracy"], 1) for name, cell in line["told"].items()}, flush=True
            )


def run(workspace: Path, preset: str, changes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Run the pipeline up to `smat`, and return the stages by name. Raises CalledProcessError if it fails."""
    workspace.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("rxt")), "run", preset, "--until", "smat", "--json"]
    settings = [part for change in changes for part in ("--set", change)]
    done = subprocess.run([*command, *settings], cwd=workspace, stdout=subprocess.PIPE, text=True, check=True)
    return {stage["stage"]: stage for stage in json.loads(done.stdout)["stages"]}


def measured(stages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Ask the model of `smat` all questions, and score it on held-out text."""
    model = load_model(f"{stages['smat']['uri']}/model").eval()
    assert isinstance(model, ReactiveTransformer)
    tokenizer = Tokenizer.load(f"{stages['tokenizer']['uri']}/tokenizer.json")
    told, others = {}, {}
    for name, spec in TESTS.items():
        found, _ = ask(
            ReactiveSpeaker(model), tokenizer, asked(spec, tokenizer, model.config.length), 64, controls=False
        )
        told[name] = rate([outcome for outcome in found if not _unknown(outcome)])
        if unknown := [outcome for outcome in found if _unknown(outcome)]:
            others[name] = rate(unknown)
    text = perplexity.load_rows(ShardReader(stages["text-shards"]["uri"], "test"), 200, 0)
    scorer = perplexity.reactive_scorer(model, 0)
    return {
        "told": told,
        "never_told": others,
        "perplexity": {name: perplexity.measure(scorer, rows, 64)["perplexity"] for name, rows in text.items()},
        "active_parameters": active_parameters(model),
        "seconds": {name: stages[name]["seconds"] for name in ("sft", "memory-pretrain", "smat")},
    }


def asked(spec: DialogueSpec, tokenizer: Tokenizer, length: int) -> list[EncodedConversation]:
    """Return the conversations of a test, encoded."""
    return [
        encode(tokenizer, generate(spec, language, "test", 1, index), length)
        for language in LANGUAGES
        for index in range(CONVERSATIONS)
    ]


def _unknown(outcome: Outcome) -> bool:
    return outcome.question.probe.kind == "unknown"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, help="folder of the runs")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--row", nargs="*", choices=ROWS, help="rows to run (default: all)")
    parser.add_argument("--seed", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of all rows")
    parser.add_argument("--results", type=Path, default=RESULTS / "ablations.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
