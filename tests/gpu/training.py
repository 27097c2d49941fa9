"""Training in bf16 through the loop of the stages: the loss falls, no step is skipped, and kernels run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from jobs.configs.execution import TrainExecution
from jobs.configs.training import OptimizerConfig, PretrainConfig
from jobs.training.loop import Cadence, train
from jobs.training.rank import prepare
from rxt_model.config import Architecture, AttentionConfig, MoEConfig
from tests.support.training_data import ARCHITECTURE, DIGEST, artifacts
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.writer import write_shard

VOCABULARY = 4_096
HEADS = AttentionConfig(query_heads=8, kv_heads=4, gate="elementwise")
LARGER = Architecture(
    dim=256,
    heads=8,
    stateful_layers=6,
    initial_layers=1,
    final_layers=1,
    decoder_attention=HEADS,
    cross_attention=AttentionConfig(query_heads=8, kv_heads=4),
    encoder_attention=HEADS,
    dense_dim=512,
    encoder_dim=512,
    moe=MoEConfig(experts=32, top_k=4, expert_dim=128, shared_experts=2, shared_dim=128),
    memory=replace(ARCHITECTURE.memory, slots=256),
    length=512,
)
# the model, rows of a batch, tokens of a row, steps
SIZES = {"cuda": (LARGER, 32, 512, 200), "cpu": (ARCHITECTURE, 4, 32, 12)}


def check(device: torch.device, folder: Path) -> Iterator[dict]:
    model, rows, length, steps = SIZES[device.type]
    config = PretrainConfig(
        model=model,
        steps=steps,
        batch_size=rows,
        precision="bfloat16",
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=steps // 10),
    )
    inputs = artifacts({"shards": make_text(folder, rows * 8, length)})
    part = prepare("jobs.training.pretrain:recipe", config, TrainExecution(workers=1), inputs, device)
    told: list[dict[str, float]] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train(
            part.objective,
            part.optimizer,
            part.batch_at,
            config,
            Cadence(steps // 4, steps),
            log=lambda _, values: told.append(dict(values)),
        )
    slow = [str(one.message) for one in warned if "algorithm for CPUs" in str(one.message)]
    yield {
        "what": f"{steps} steps of {rows} x {length} tokens",
        "ok": told[-1]["train/loss"] < told[0]["train/loss"] and not told[-1]["train/skipped_steps"] and not slow,
        "loss": [round(values["train/loss"], 4) for values in told],
        "parameters": sum(weight.numel() for weight in part.objective.model.parameters()),
        "tokens_per_second": round(told[-1]["train/tokens_per_second"]),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
        "warnings": slow,
    }


def make_text(folder: Path, rows: int, length: int) -> str:
    """Write rows of text in which each token follows from the one before, but for a tenth of noise. Returns their
    URI."""
    random = np.random.default_rng(0)

    def row() -> dict:
        ids = 20 + (random.integers(0, 500) + 7 * np.arange(length)) % 500
        noisy = random.random(length) < 0.1
        ids[noisy] = random.integers(20, VOCABULARY, int(noisy.sum()))
        return {"input_ids": ids.tolist(), "document_starts": [0], "language": 0}

    uri = f"{folder}/text"
    record = write_shard(f"{uri}/train-00000.arrow", "text", [row() for _ in range(rows)], "train")
    write_index(uri, ShardIndex("text", length, DIGEST, VOCABULARY, (record,)))
    return uri
