"""Synthetic shards of all kinds, a stage context over them, and a reporter that remembers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from jobs.configs.execution import Execution, TrainExecution
from jobs.configs.training import PretrainConfig
from jobs.stage.context import StageContext
from tests.support.evaluation_data import ARCHITECTURE
from tests.support.recorded import recorded
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.schema import Kind
from tokenization.shards.writer import write_shard

DIGEST, VOCABULARY, LENGTH = "d" * 64, 300, 32


class Memory:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.points, self.messages, self.notes = [], [], []

    def metrics(self, step, values):
        self.points.append((step, dict(values)))

    def progress(self, done, total, note=""):
        self.notes.append((done, total, note))

    def message(self, text, remedy=""):
        self.messages.append(text)

    def file(self, path, folder=""):
        raise AssertionError("training shows no files")


def make_training_shards(folder, digest=DIGEST, rows=48):
    """Return URIs of text, interaction and conversation shards with predictable contents."""
    random = np.random.default_rng(0)

    def interaction():
        ids = [2, 5, *random.integers(11, 30, random.integers(2, 10)), 6, *random.integers(11, 30, 4), 3]
        ids = [int(i) for i in ids]
        start = ids.index(6)
        return {
            "input_ids": ids,
            "loss_mask": [i >= start for i in range(len(ids))],
            "answer_start": start,
            "language": 0,
        }

    def text():
        first, second = (random.integers(11, 30, random.integers(4, 16)).tolist() for _ in range(2))
        return {"input_ids": first + second, "document_starts": [0, len(first)], "language": 1}

    def conversation():
        turns = [interaction() for _ in range(random.integers(2, 5))]
        return {"conversation_id": str(random.integers(1 << 30)), "interactions": turns, "probes": []}

    def choices():
        row = conversation()
        for turn in row["interactions"]:
            start, ids = turn["answer_start"], turn["input_ids"]
            other = [*ids[: start + 1], *random.integers(11, 30, random.integers(1, 6)).tolist(), 3]
            turn |= {"rejected": other, "rejected_mask": [place >= start for place in range(len(other))]}
        return row

    kinds: dict[Kind, Callable[[], dict]] = {
        "text": text,
        "interactions": interaction,
        "conversations": conversation,
        "preferences": choices,
    }
    uris = {}
    for kind, row in kinds.items():
        uris[kind] = f"{folder}/{kind}"
        records = [
            write_shard(f"{uris[kind]}/{split}-00000.arrow", kind, [row() for _ in range(count)], split)
            for split, count in (("train", rows), ("validation", rows // 3))
        ]
        write_index(uris[kind], ShardIndex(kind, LENGTH, digest, VOCABULARY, tuple(records)))
    return uris


def undealt(parts):
    """Put together a batch whose rows are dealt to ranks 0, 1, ... and back again."""

    def whole(tensors):
        left = [list(tensor) for tensor in tensors]
        ranks = itertools.cycle([*range(len(left)), *reversed(range(len(left)))])
        return torch.stack([left[rank].pop(0) for rank in itertools.islice(ranks, sum(map(len, left)))])

    return {name: whole([part[name] for part in parts]) for name in parts[0]}


def same(one, other):
    """Return whether two batches are equal to the bit."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def artifacts(uris):
    """Make upstream artifacts, each of a stage with the name of the input."""
    return {name: recorded(name, "0-1", str(uri)) for name, uri in uris.items()}


def training_context(stage, output, inputs, reporter=None, should_stop=lambda: False, **execution):
    settings: dict[str, Any] = dict(checkpoint_every_steps=4, log_every_steps=2) | execution
    return StageContext(
        stage=stage,
        artifact_id=str(output).rsplit("/", 1)[-1],
        output_uri=str(output),
        inputs=artifacts(inputs),
        execution=Execution(train=TrainExecution(**settings)),
        reporter=reporter or Memory(),
        should_stop=should_stop,
    )


def pretrain_config(steps=12, **changes):
    return PretrainConfig(model=ARCHITECTURE, steps=steps, batch_size=8, **changes)
