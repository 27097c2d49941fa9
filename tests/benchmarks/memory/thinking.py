"""Fast and thinking answers to questions that join two told facts: a model trains on such conversations, then is asked.

    python -m tests.benchmarks.memory.thinking --model ARTIFACT/model --tokenizer ARTIFACT/tokenizer.json --seed 0

Training goes on from the model for `--steps` steps of `memory-pretrain` on one CPU thread. Every second conversation is
one of the preset `tiny`. In the others, somebody tells who has which role and where these people live, and asks where
the person with a role lives. Half of these answers think first. Then the model is asked such questions of the test
split, whose people and places training never has, in conversations with three joins or more: fast, thinking, as it
chooses (`auto`), and as it chooses with an empty memory (`zeroed`). Its answers of its own choice are written.
One JSON line per arm.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.configs.training import MemoryPretrainConfig, OptimizerConfig
from jobs.evaluation.rates import Outcome, rate
from jobs.evaluation.recall import ask
from jobs.evaluation.speakers import ReactiveSpeaker
from jobs.stage.model_folder import load_model, require_tokenizer
from jobs.training.batching.batches import ROW, Batch, conversation_batch
from jobs.training.batching.conversations import decoded_turns, told_turns
from jobs.training.loop import Cadence, train
from jobs.training.objectives.memory_pretrain import Reading
from jobs.training.optimizers.stage import StageOptimizer
from pipelines.presets.tiny import tiny
from rxt_model.model import ReactiveTransformer
from rxt_model.size import parameters
from tests.benchmarks.memory.speaking import artifact, encode
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import encode_interactions
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, Conversation, ShardRow

JOINS = DialogueSpec(turns=(6, 15), facts=(2, 5), joins=0.9, distract=0.0, update=0.1, unknown=0.1, thinking=0.5)
ASKED = DialogueSpec(turns=(9, 15), facts=(3, 5), joins=1.0, distract=0.0, update=0.0, unknown=0.0, thinking=0.5)
LEAST = 3  # joins in a conversation that is asked, so that a place alone is no answer
BATCH, ALIKE = 16, 32
ARMS = {"rxt": "auto", "fast": "fast", "thinking": "thinking", "zeroed": "zeroed"}


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    tokenizer, model = Tokenizer.load(arguments.tokenizer), load_model(arguments.model)
    require_tokenizer(model.config.tokenizer_digest, arguments.model, tokenizer)
    assert isinstance(model, ReactiveTransformer)
    schedule = arguments.schedule or arguments.steps
    values = practise(model, tokenizer, arguments.steps, schedule, arguments.seed)
    outcomes = asked(model.eval(), tokenizer, arguments.conversations)
    common = {
        "case": "thinking",
        **environment("torch"),
        **artifact(arguments.model.rstrip("/").rpartition("/")[0]),
        "parameters": parameters(model),
        "training_seed": arguments.seed,
        "steps": arguments.steps,
        "schedule": schedule,
        "loss": values["train/loss"],
    }
    lines = [common | {"arm": arm} | rate(found) for arm, found in outcomes.items()]
    append(arguments.results, lines)
    for line in lines:
        print(f"{line['arm']:9} {100 * line['accuracy']:5.1f} % of {line['n']}")


def practise(
    model: ReactiveTransformer, tokenizer: Tokenizer, steps: int, schedule: int, seed: int
) -> dict[str, float]:
    """Train the model for `steps` of the `schedule` steps of its rate, and return the last values of its metrics."""
    config = MemoryPretrainConfig(
        steps=steps,
        batch_size=BATCH,
        optimizer=OptimizerConfig(lr=2e-3, matrices="muon", warmup_steps=20, decay=0.6),
        other_turns=0.3,
        seed=seed,
    )
    objective = Reading(model, config)
    optimizer = StageOptimizer(objective, config.optimizer, schedule)
    cadence = Cadence(10, steps)
    return train(
        objective, optimizer, batches(tokenizer, model.config.length, config), config, cadence, log=tell
    ).values


def batches(tokenizer: Tokenizer, length: int, config: MemoryPretrainConfig) -> Callable[[int], Batch]:
    """Return a function from a step to its batch. `ALIKE` steps exchange rows, so that those of a batch are alike."""
    preset = tiny().conversations
    assert preset is not None

    @lru_cache(maxsize=1)
    def group(number: int) -> list[list[ShardRow]]:
        told = []
        for index in range(number * ALIKE * BATCH, (number + 1) * ALIKE * BATCH):
            spec, language = (JOINS, preset.dialogues)[index % 2], LANGUAGES[index // 2 % 2]
            told.append(row(tokenizer, generate(spec, language, "train", 1_000 + config.seed, index), length))
        told.sort(key=lambda one: (len(one["interactions"]), max(len(i["input_ids"]) for i in one["interactions"])))
        order = np.random.default_rng([config.seed, number]).permutation(ALIKE)
        return [told[place * BATCH : (place + 1) * BATCH] for place in order]

    def batch_at(step: int) -> Batch:
        rows = group(step // ALIKE)[step % ALIKE]
        batch = conversation_batch(rows, length, decoded=decoded_turns(rows, config, step), told=told_turns(rows))
        return batch | {ROW: torch.arange(BATCH)}

    return batch_at


def row(tokenizer: Tokenizer, conversation: Conversation, length: int) -> ShardRow:
    """Encode a conversation as a row of shards."""
    turns = encode_interactions(tokenizer, conversation.interactions, length)
    return {
        "conversation_id": conversation.id,
        "interactions": [asdict(turn) for turn in turns],
        "probes": [asdict(probe) for probe in conversation.probes],
    }


def asked(model: ReactiveTransformer, tokenizer: Tokenizer, count: int) -> dict[str, list[Outcome]]:
    """Ask `count` conversations of each language, and return what became of their joins, by arm."""
    told = [conversation for language in LANGUAGES for conversation in with_joins(language, count)]
    speaker = ReactiveSpeaker(model, hybrid=True)
    speaker.arms = tuple(ARMS)
    encoded = [encode(tokenizer, conversation, model.config.length) for conversation in told]
    outcomes, _ = ask(speaker, tokenizer, encoded, 64)
    joins = [outcome for outcome in outcomes if outcome.question.probe.tag == "join"]
    return {name: [outcome for outcome in joins if outcome.arm == arm] for arm, name in ARMS.items()}


def with_joins(language: Any, count: int) -> Sequence[Conversation]:
    """Return the first `count` conversations of the test split with LEAST joins or more."""
    found: list[Conversation] = []
    index = 0
    while len(found) < count:
        conversation = generate(ASKED, language, "test", 2, index)
        if sum(probe.tag == "join" for probe in conversation.probes) >= LEAST:
            found.append(conversation)
        index += 1
    return found


def tell(step: int, values: Any) -> None:
    print(f"step {step}: loss {values['train/loss']:.3f}, accuracy {values['train/accuracy']:.3f}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder of an RxT, any fsspec URL")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--seed", type=int, default=0, help="of the training here")
    parser.add_argument("--steps", type=int, default=240, help="of the training here")
    parser.add_argument("--schedule", type=int, help="steps in which the rate falls (default: as --steps)")
    parser.add_argument("--conversations", type=int, default=50, help="that are asked, of each language")
    parser.add_argument("--results", type=Path, default=RESULTS / "thinking.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
