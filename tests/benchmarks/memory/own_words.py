"""Answers to what people wrote in their own words, one JSON line per arm, axis and group of questions.

    python -m tests.benchmarks.memory.own_words --model ARTIFACT/model --baseline ARTIFACT/model \
        --tokenizer ARTIFACT/tokenizer.json --preset tiny --training-seed 0 dialogues.jsonl

The dialogues are not part of this repository. A line holds the SHA-256 of their file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from jobs.evaluation.own_words.playing import Place, play_own_words
from jobs.evaluation.own_words.reader import OwnWordsDialogue, read_own_words
from jobs.evaluation.own_words.tables import summarise, tally
from jobs.stage.model_folder import load_model, require_tokenizer
from rxt_model.size import active_parameters, parameters
from tests.benchmarks.memory.quoting import RIVALS, UserTurns, quote
from tests.benchmarks.memory.speaking import artifact
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    tokenizer, own = Tokenizer.load(arguments.tokenizer), read_own_words(arguments.dialogues)
    common = {
        "case": "own_words",
        **environment("torch"),
        "threads": arguments.threads,
        "preset": arguments.preset,
        "training_seed": arguments.training_seed,
        "dialogues": len(own.dialogues),
        "sha256": own.sha256,
    }
    lines = []
    for uri in filter(None, (arguments.model, arguments.baseline)):
        model = load_model(uri)
        require_tokenizer(model.config.tokenizer_digest, uri, tokenizer)
        played = play_own_words(model, tokenizer, own.dialogues, arguments.batch_size)
        about = common | {
            **artifact(uri.rstrip("/").rpartition("/")[0]),
            "parameters": parameters(model),
            "active_parameters": active_parameters(model),
            "turns": played.turns,
            "turns_cut": len(played.cut),
        }
        for arm, axes in summarise(own, [played])["arms"].items():
            lines += _lines(about | {"arm": arm}, axes)
    quotations = quotations_from(own.dialogues)
    for rival in RIVALS:
        lines += _lines(common | {"arm": rival}, tally(own.dialogues, quotations[rival]))
    append(arguments.results, lines)
    for line in lines:
        if line["by"] in ("all", "tier"):
            print(f"{line['arm']:13} {line['group']:8} {100 * line['accuracy']:5.1f} %  n {line['n']}")


def quotations_from(dialogues: Sequence[OwnWordsDialogue]) -> dict[str, dict[Place, str]]:
    """Return the answers of the rivals that are no models, by rival and place."""
    turns = [
        UserTurns(
            one.language,
            [turn.user for turn in one.turns],
            frozenset(n for n, turn in enumerate(one.turns) if turn.probe),
        )
        for one in dialogues
    ]
    answers: dict[str, dict[Place, str]] = {rival: {} for rival in RIVALS}
    for rival, number, turn, answer in quote(turns):
        answers[rival][dialogues[number].id, turn] = answer
    return answers


def _lines(about: dict[str, Any], axes: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per group of each axis."""
    return [
        about | {"by": axis, "group": group} | cell for axis, cells in axes.items() for group, cell in cells.items()
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogues", help="file of dialogues, as for `rxt own-words`")
    parser.add_argument("--model", required=True, help="model folder of an RxT, any fsspec URL")
    parser.add_argument("--baseline", help="model folder of the stateless decoder (default: no rival)")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--preset", required=True, help="the preset that trained the models")
    parser.add_argument("--training-seed", type=int, required=True, help="seed the models were trained with")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "own_words.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
