"""Small shards, models and a made-up evaluation for the tests of recall, evaluation and export."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jobs.configs.execution import Execution
from jobs.evaluation.rates import Outcome, Question, tabulate
from jobs.evaluation.report import write_report
from jobs.evaluation.value_tokens import PLACES
from jobs.stage.context import Artifact, StageContext
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.config import Architecture, AttentionConfig, MemoryConfig, MoEConfig
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.model import ReactiveTransformer
from tests.support.recorded import outputs, recorded
from tokenization.bpe.special_tokens import EOS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import encode_interactions
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES, Probe, Split
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.schema import Kind
from tokenization.shards.writer import write_shard

LENGTH = 64
torch.set_num_threads(1)
ARCHITECTURE = Architecture(
    dim=32,
    heads=4,
    stateful_layers=2,
    initial_layers=1,
    final_layers=1,
    decoder_attention=AttentionConfig(2, 1, gate="elementwise"),
    cross_attention=AttentionConfig(2, 1),
    encoder_attention=AttentionConfig(2, 2, gate="elementwise"),
    dense_dim=64,
    encoder_dim=64,
    moe=MoEConfig(experts=4, top_k=2, expert_dim=16, shared_experts=2, shared_dim=16),
    memory=MemoryConfig(slots=8, variant="competitive"),
    length=LENGTH,
)


SPEC = DialogueSpec(turns=(4, 7), facts=(1, 3))


def make_conversations(count: int, split: Split = "test", spec: DialogueSpec = SPEC) -> list:
    return [generate(spec, language, split, 0, i) for i in range(count) for language in LANGUAGES]


def make_tokenizer() -> Tokenizer:
    texts = [
        text
        for conversation in make_conversations(60, "train")
        for i in conversation.interactions
        for text in (i.query, i.answer)
    ]
    return Tokenizer.train(texts, 500)


def write_shards(
    uri: str,
    kind: Kind,
    tokenizer: Tokenizer,
    rows: Mapping[Split, Iterable[Mapping[str, Any]]],
    length: int = LENGTH,
) -> str:
    """Write a shard with the rows of each split, and their index. Return `uri`."""
    records = [write_shard(f"{uri}/{split}-00000.arrow", kind, of_split, split) for split, of_split in rows.items()]
    write_index(uri, ShardIndex(kind, length, tokenizer.digest, tokenizer.vocab_size, tuple(records)))
    return uri


def make_shards(
    folder: Path, tokenizer: Tokenizer, conversations: int = 24, text_rows: int = 11, spec: DialogueSpec = SPEC
) -> dict[str, str]:
    """Return URIs of conversation and text shards with a test split, and of the tokenizer's folder."""
    drawn = make_conversations(conversations, spec=spec)
    rows = []
    for conversation in drawn:
        encoded = encode_interactions(tokenizer, conversation.interactions, LENGTH)
        language = LANGUAGES.index(conversation.language)
        rows.append(
            {
                "conversation_id": conversation.id,
                "interactions": [vars(e) | {"language": language} for e in encoded],
                "probes": [vars(p) for p in conversation.probes],
            }
        )
    texts = [" ".join(i.query for i in conversation.interactions) for conversation in drawn]
    packed = []
    for i in range(text_rows):
        first, second = tokenizer.encode(texts[2 * i])[:20], tokenizer.encode(texts[2 * i + 1])[: 10 + 2 * i]
        packed.append({"input_ids": first + second, "document_starts": [0, len(first)], "language": i % 2})
    write_shards(str(folder / "conversations"), "conversations", tokenizer, {"test": rows})
    write_shards(str(folder / "text"), "text", tokenizer, {"test": packed})
    (folder / "tokenizer").mkdir()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return {name: str(folder / name) for name in ("conversations", "text", "tokenizer")}


def make_models(tokenizer: Tokenizer) -> tuple[ReactiveTransformer, StatelessDecoder]:
    """Make untrained models in evaluation mode. Some of their answers end soon, the others fill the length."""
    torch.manual_seed(0)
    config = ARCHITECTURE.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)
    models = ReactiveTransformer(config).eval(), StatelessDecoder(matching_config(config)).eval()
    for model in models:
        model.decoder.head.bias.data[EOS] += 1.7
    return models


def save_models(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """Return artifact URIs of both models."""
    for name, model in zip(("rxt", "baseline"), make_models(tokenizer), strict=True):
        save_pretrained(model, folder / name / "model")
    return {name: str(folder / name) for name in ("rxt", "baseline")}


def make_outcomes(questions: int = 400) -> dict[str, list[Outcome]]:
    """Make up verdicts of every arm, much like those of a trained model."""
    rng = random.Random(0)
    skill = {"rxt": 0.95, "full_history": 0.7, "window": 0.5}
    skill |= dict.fromkeys(("zeroed", "shuffled", "last", "unplanted", "no_history"), 0.02)
    outcomes: dict[str, list[Outcome]] = {arm: [] for arm in skill}
    for number in range(questions):
        kind: Any = rng.choices(("recall", "update", "unknown"), (8, 2, 1))[0]
        distance = 0 if kind == "unknown" else rng.randint(1, 6)
        slot = rng.choice(("pet", "broad/animal"))
        probe = Probe(7 - number % 2, slot, kind, ("cat",), (), distance, rng.randint(1, 4))
        language = LANGUAGES[number % 2]
        question = Question(number // 2, probe.turn, language, probe, rng.random() < 0.9, 0.01, rng.random() < 0.05)
        for arm, chance in skill.items():
            right = rng.random() < chance - 0.02 * distance
            verdict = "correct" if right else rng.choice(("stale", "wrong", "abstained"))
            outcomes[arm].append(Outcome(question, arm, "Your pet is a cat.", verdict))
    return outcomes


def make_evaluation() -> dict[str, Any]:
    """Make up what the stage writes."""
    arms = {arm: tabulate(outcomes) for arm, outcomes in make_outcomes().items()}
    token = {"n": 200, "correct": 180, "accuracy": 0.9, "low": 0.85, "high": 0.93}
    tokens = {group: dict.fromkeys((*PLACES, "value"), token) for group in ("all", "broad", "templates")}
    text = {"rows": 10, "tokens": 123_456, "nats_per_token": 3.4, "perplexity": 29.96, "token_accuracy": 0.34}
    records = [
        {
            "turn": turn,
            "history_tokens": 24 * (turn - 1),
            "rxt_seconds": 0.004,
            "write_seconds": 0.006,
            "baseline_seconds": 0.004 + 0.0008 * turn,
            "rxt_bytes": 49_152,
            "baseline_bytes": 9_216 * turn,
        }
        for turn in (1, 2, 4, 8, 16, 32, 64)
    ]
    return {
        "schema": 1,
        "config": {},
        "environment": {"device": "x86_64", "threads": 1, "torch": "2.13.0"},
        "models": {
            name: {"parameters": 1_180_000, "active": 900_000, "vocabulary": 2_560} for name in ("rxt", "baseline")
        },
        "memory": {
            "writes": "free-running",
            "conversations": 200,
            "slots": 64,
            "arms": arms,
            "value_tokens": {"rxt": tokens, "full_history": tokens},
            "examples": [
                {
                    "conversation": "broad-en-test-0",
                    "language": "en",
                    "turns": [{"query": "It cost $9 or ```.", "answer": "Noted.", "held": ["$9", "cost"]}],
                    "others": [],
                    "question": "What did it cost?",
                    "gold": "$9",
                    "answer": "$9.",
                    "slots": ["cost", "$", "9", ""],
                    "tokens": [
                        {"text": " $", "slots": [0.01, 0.9, 0.0, 0.0], "interaction": 0.02},
                        {"text": "9", "slots": [0.0, 0.0, 1.0, 0.0], "interaction": 0.0},
                    ],
                }
            ],
        },
        "text": {
            "rxt": {language: text | {"masked_accuracy": 0.22, "masked_tokens": 999} for language in LANGUAGES},
            "baseline": {language: text | {"perplexity": 27.1} for language in LANGUAGES},
        },
        "text_by_stage": [
            {"stage": stage, "text": {language: text | {"perplexity": height} for language in LANGUAGES}}
            for stage, height in (("pretrain", 1234.5), ("smat", 29.96))
        ],
        "latency": records,
    }


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.points, self.messages, self.files, self.done = [], [], [], []

    def metrics(self, step, values):
        self.points.append((step, dict(values)))

    def progress(self, done, total, note=""):
        self.done.append((done, total, note))

    def message(self, text, remedy=""):
        self.messages.append(text)

    def file(self, path, folder=""):
        assert Path(path).stat().st_size > 0
        self.files.append((Path(path).name, folder))


def make_world(folder: Path) -> dict[str, Artifact]:
    """Make a store with both models, shards, a tokenizer and a report, as stages would have left them."""
    tokenizer = make_tokenizer()
    uris = make_shards(folder, tokenizer, conversations=32, spec=replace(SPEC, broad=0.5)) | save_models(
        folder, tokenizer
    )
    store = folder / "store"

    def artifact(stage: str, key: str, source: Artifact | None = None) -> Artifact:
        uri = store / stage / f"0123456789ab-{key}"
        if key in uris:
            shutil.copytree(uris[key], uri)
        uri.mkdir(parents=True, exist_ok=True)
        inputs = {"model": {"stage": source.stage, "artifact_id": source.artifact_id}} if source else {}
        manifest = {
            "stage": stage,
            "artifact_id": uri.name,
            "inputs": inputs,
            "payload": {"config": {"steps": 7}},
            "seconds": 12.3,
            "result": f"{stage} result",
            "outputs": outputs(str(uri)),
        }
        (uri / "manifest.json").write_text(json.dumps(manifest))
        return Artifact(stage, uri.name, str(uri), manifest)

    smat = artifact("smat", "none")
    report = artifact("evaluate", "report")
    Path(report.uri, "report.md").write_text(write_report(make_evaluation()))
    return {
        "model": artifact("mrl", "rxt", smat),
        "baseline": artifact("baseline", "baseline"),
        "text": artifact("text-shards", "text"),
        "shards": artifact("conversation-shards", "conversations"),
        "tokenizer": artifact("tokenizer", "tokenizer"),
        "evaluation": report,
    }


def evaluation_context(inputs: dict[str, Artifact], output: Path | str, **changes) -> StageContext:
    return StageContext("stage", "0123456789ab-1", str(output), inputs, Execution(), Notes(), **changes)


def foreign_tokenizer(folder: Path) -> Artifact:
    Tokenizer.train(["something else entirely"] * 9, 300).save(str(folder / "tokenizer.json"))
    return recorded("tokenizer", "0123456789ab-9", str(folder))


def digest_of(artifact: Artifact) -> str:
    return Tokenizer.load(f"{artifact.uri}/tokenizer.json").digest
