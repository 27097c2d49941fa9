"""Write README.md of an export: the model, its size, how it was made, how well it remembers, and its licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import fsspec

from jobs.stage.context import Artifact
from jobs.stage.markdown import table
from rxt_model.model import ReactiveTransformer
from rxt_model.size import active_parameters, parameters

INTRODUCTION = """\
A Reactive Transformer (RxT, arXiv 2510.03561): a chat model that reads one interaction at a time and keeps what it was
told in a short-term memory of fixed size. It speaks English and Polish. Trained from raw text by the pipeline in whose
`export` folder this file stands; small presets show the machinery and are no good talkers."""

USE = """\
```python
from rxt_model.files.checkpoint import from_pretrained
from rxt_model.generate import answer
from rxt_model.state import ConversationState
from tokenization.records import Interaction
from tokenization.conversations.template import decode_answer, encode_query
from tokenization.bpe.tokenizer import Tokenizer

model, tokenizer = from_pretrained("."), Tokenizer.load("tokenizer.json")
state = ConversationState.new(model)
for text in ("My cat is called Luna.", "What is my cat called?"):
    query = encode_query(tokenizer, Interaction(text, ""), model.config.length)
    ids = answer(model, state.memory, [query], max_tokens=[model.config.length - len(query)])[0]
    print(decode_answer(tokenizer, ids))
    state = state.written(model, query + ids)
```"""

LEGAL = """\
The code of the pipeline is under Apache-2.0. The Reactive Transformer architecture is declared patent-pending
(P.453260) by its authors, whose model licence (RAML v1.0) states that new RxT models may only be made with the authors'
frameworks or licensed ones; this project was written independently from the published papers, cards and configurations.
Whoever releases or uses such a model commercially must clear this first. No published weights are contained.

The training text comes from third parties under their own licences, some of them share-alike: sources, versions and
licences stand in `ATTRIBUTION.md` of the corpus artifact named above. Settle them before publishing weights."""


def write_card(name: str, model: ReactiveTransformer, stages: list[Mapping[str, Any]], report: str) -> str:
    """The text of the card. `stages` comes from `lineage`; `report` is the evaluation's report.md."""
    evaluation = report.replace("\n## ", "\n### ").replace("# Evaluation\n", "## Evaluation\n", 1)
    parts = [
        f"# {name}",
        INTRODUCTION,
        "## Use",
        USE,
        "## Size",
        _sizes(model),
        "## How it came about",
        _stages(stages),
        evaluation.strip(),
        "## Licence",
        LEGAL,
    ]
    return "\n\n".join(parts) + "\n"


def lineage(artifact: Artifact) -> list[Mapping[str, Any]]:
    """The manifests of `artifact` and of everything that it was made from, upstream first."""
    store = artifact.uri.removesuffix(f"/{artifact.stage}/{artifact.artifact_id}")
    found: dict[str, Mapping[str, Any]] = {}

    def visit(manifest: Mapping[str, Any]) -> None:
        for source in manifest["inputs"].values():
            if source["artifact_id"] not in found:
                with fsspec.open(f"{store}/{source['stage']}/{source['artifact_id']}/manifest.json") as file:
                    visit(json.load(file))
        found[manifest["artifact_id"]] = manifest

    visit(artifact.manifest)
    return list(found.values())


def _sizes(model: ReactiveTransformer) -> str:
    c = model.config
    layers = len(model.decoder.initial) + len(model.decoder.stateful) + len(model.decoder.final)
    embedding = parameters(model.embedding)
    rows = [
        ["all, the shared embedding counted once", f"{parameters(model):,}"],
        ["active per token", f"{active_parameters(model):,}"],
        ["decoder, with embedding", f"{parameters(model.decoder) + embedding:,}"],
        ["encoder, with embedding", f"{parameters(model.encoder) + embedding:,}"],
        ["memory attention", f"{parameters(model.memory_attention):,}"],
    ]
    if model.mlm_head is not None:
        rows.append(["masked-token head (training only)", f"{parameters(model.mlm_head):,}"])
    values = c.stateful_layers * c.memory.slots * c.slot_dim
    shape = (
        f"Width {c.dim}, {layers} decoder layers of which {c.stateful_layers} read memory, {c.moe.experts} experts of "
        f"which {c.moe.top_k} are active\nand {c.moe.shared_experts} shared, vocabulary {c.vocab_size:,}, interactions "
        f"of at most {c.length} tokens. Memory: {c.stateful_layers} layers of\n{c.memory.slots} slots "
        f"({c.memory.variant} write), {values:,} values or {4 * values / 1024:,.0f} KiB per conversation in fp32."
    )
    return f"{shape}\n\n{table(['parameters', 'exact count'], rows)}\n\nTokenizer sha256: `{c.tokenizer_digest}`"


def _stages(stages: list[Mapping[str, Any]]) -> str:
    rows = []
    for manifest in stages:
        config = manifest["payload"]["config"]
        steps = config.get("steps", config.get("iterations", "-"))
        rows.append([manifest["stage"], manifest["artifact_id"], str(steps), f"{manifest['seconds']:.0f}"])
        rows[-1].append(manifest["result"])
    return table(["stage", "artifact", "steps", "seconds", "result"], rows)
