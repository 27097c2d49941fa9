"""What benchmarks of memory have in common: a model that answers, what a line says of it, and encoded conversations."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import torch

from jobs.evaluation.conversations import EncodedConversation, list_questions
from jobs.evaluation.rates import Outcome
from jobs.evaluation.recall import ask
from jobs.evaluation.speakers import ReactiveSpeaker, StatelessSpeaker
from jobs.stage.model_folder import load_model, require_tokenizer
from rxt_model.baseline import StatelessDecoder
from rxt_model.size import active_parameters, parameters
from tests.benchmarks.memory.quoting import RIVALS, UserTurns, quote
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_interaction, encode_interactions
from tokenization.dialogues.score import score
from tokenization.records import Conversation


def load_speaker(
    uri: str, tokenizer: Tokenizer, seed: int
) -> tuple[ReactiveSpeaker | StatelessSpeaker, dict[str, Any]]:
    """Load the model in a folder `ARTIFACT/model`. Return it as a speaker, and the keys of a line about it. `seed`
    draws initial memories. Raises the errors of `load_model`, and one if the model has another tokenizer."""
    model = load_model(uri)
    require_tokenizer(model.config.tokenizer_digest, uri, tokenizer)
    stateless = isinstance(model, StatelessDecoder)
    speaker = StatelessSpeaker(model) if stateless else ReactiveSpeaker(model, seed)
    sizes = {"parameters": parameters(model), "active_parameters": active_parameters(model)}
    return speaker, artifact(uri.rstrip("/").rpartition("/")[0]) | sizes


def artifact(folder: str) -> dict[str, str]:
    """Return stage and id of an artifact, and the commit that made it (empty if the folder has no manifest)."""
    fs, path = fsspec.url_to_fs(f"{folder}/manifest.json")
    manifest = json.loads(fs.cat(path)) if fs.exists(path) else {"provenance": {"commit": ""}}
    return {"artifact": "/".join(folder.split("/")[-2:]), "artifact_commit": manifest["provenance"]["commit"]}


def encode(tokenizer: Tokenizer, conversation: Conversation, length: int) -> EncodedConversation:
    """Encode a conversation in interactions of at most `length` tokens."""
    turns = list(encode_interactions(tokenizer, conversation.interactions, length))
    return EncodedConversation(
        id=conversation.id,
        language=conversation.language,
        queries=tuple(turn.input_ids[: turn.answer_start] for turn in turns),
        answers=tuple(turn.input_ids[turn.answer_start :] for turn in turns),
        probes={probe.turn: probe for probe in conversation.probes},
    )


def measure(
    case: str,
    description: str | None,
    count: int,
    told: Callable[[int], list[Conversation]],
    figures: Callable[[list[Outcome]], dict[str, dict[str, float]]],
) -> None:
    """Run a benchmark that asks the models of one training about made conversations, with greedy answers: parse its
    arguments, and append and print a line per arm. `told` makes so many conversations of each language, by default
    `count`. `figures` returns the rates of an arm's outcomes by name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder of an RxT, any fsspec URL")
    parser.add_argument("--baseline", help="model folder of the stateless decoder (default: no rival)")
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--training-seed", type=int, required=True, help="seed the models were trained with")
    parser.add_argument("--conversations", type=int, default=count, help="of each language")
    parser.add_argument("--results", type=Path, default=RESULTS / f"{case}.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    conversations = told(arguments.conversations)
    common = {
        "case": case,
        **environment("torch"),
        "training_seed": arguments.training_seed,
        "conversations": len(conversations),
    }
    uris = filter(None, (arguments.model, arguments.baseline))
    lines = []
    for about, outcomes in _of_arms(uris, Tokenizer.load(arguments.tokenizer), conversations):
        rates = figures(outcomes)
        lines.append(common | about | rates)
        print(f"{about['arm']:13}", *(f"{name} {100 * cell['accuracy']:5.1f} %" for name, cell in rates.items()))
    append(arguments.results, lines)


def _of_arms(
    uris: Iterable[str], tokenizer: Tokenizer, conversations: Sequence[Conversation]
) -> Iterator[tuple[dict[str, Any], list[Outcome]]]:
    """Yield what a line says of an arm, and its outcomes: the arms of the models in folders `uris`, then the rivals
    that are no models. Models of one training read interactions of equal length."""
    encoded: list[EncodedConversation] = []
    for uri in uris:
        speaker, about = load_speaker(uri, tokenizer, 0)
        encoded = [encode(tokenizer, conversation, speaker.model.config.length) for conversation in conversations]
        outcomes, _ = ask(speaker, tokenizer, encoded, 64, teacher_forced=False, controls=True)
        for arm in speaker.arms:
            yield about | {"arm": arm}, [outcome for outcome in outcomes if outcome.arm == arm]
    quoted = quotations(tokenizer, encoded)
    for arm in RIVALS:
        yield {"arm": arm}, [outcome for outcome in quoted if outcome.arm == arm]


def quotations(tokenizer: Tokenizer, conversations: Sequence[EncodedConversation]) -> list[Outcome]:
    """Return how the rivals that are no models (`memory.quoting`) answer all questions."""
    said = [
        UserTurns(
            one.language, [decode_interaction(tokenizer, query).query for query in one.queries], frozenset(one.probes)
        )
        for one in conversations
    ]
    questions = {(question.conversation, question.turn): question for question in list_questions(conversations)}
    outcomes = []
    for rival, number, turn, answer in quote(said):
        question = questions[number, turn]
        outcomes.append(Outcome(question, rival, answer, score(answer, question.probe, question.language)))
    return outcomes
