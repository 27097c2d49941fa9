"""Make batches of conversations, and choose the turns that the decoder is trained on.

In most turns the answer only acknowledges a fact, and these soon teach nothing more. Leaving most of them out saves
time for questions. The encoder still reads every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jobs.configs.training import BaselineConfig, ConversationTrainingConfig
from jobs.stage.context import Artifact
from jobs.stage.inputs import open_index
from jobs.training.batching.batches import NEVER_TOLD, NOT_ASKED, Batch, Lengths, conversation_batch, history_batch
from jobs.training.batching.reader import Collate
from tokenization.hashing import stable_seed
from tokenization.records import ShardRow


def conversation_rows(
    shards: Artifact, turns: Callable[[int], int | None], config: ConversationTrainingConfig
) -> Collate:
    """Return the collate function of conversations. It takes at most `turns(step)` interactions of each."""
    length = open_index(shards).length

    def collate(rows: list[ShardRow], lengths: Lengths, step: int) -> Batch:
        most = turns(step)
        return conversation_batch(
            rows, length, most, lengths, decoded_turns(rows, config, step, most), told_turns(rows, most)
        )

    return collate


def history_rows(shards: Artifact, config: BaselineConfig) -> Collate:
    """Return the collate function of whole conversations for a model without memory."""
    length = open_index(shards).length
    return lambda rows, lengths, step: history_batch(
        rows, length, lengths, decoded_turns(rows, config, step), told_turns(rows)
    )


def decoded_turns(
    rows: Sequence[ShardRow], config: ConversationTrainingConfig | BaselineConfig, step: int, most: int | None = None
) -> list[np.ndarray] | None:
    """Say for the first `most` turns of each conversation whether they are decoded. None means that all are.

    Turns with a memory question are decoded. Turns that told what such a question asks for are not (of two facts, the
    earlier). Of the other turns, a share `other_turns` is: small talk, and statements that nobody asks about. These are
    drawn anew in every step, and the draw does not depend on the rank. Without memory questions, all turns of a
    conversation are decoded. If no turn was chosen, the last one is decoded.
    """
    if config.other_turns == 1:
        return None
    return [_decoded(row, len(row["interactions"][:most]), config, step) for row in rows]


def _decoded(row: ShardRow, turns: int, config: ConversationTrainingConfig | BaselineConfig, step: int) -> np.ndarray:
    if not row["probes"]:
        return np.ones(turns, dtype=bool)
    random = np.random.default_rng(stable_seed(config.seed, step, row["conversation_id"]))
    chosen = random.random(turns) < config.other_turns
    chosen[[turn for turn in _told(row) if turn < turns]] = False
    chosen[[probe["turn"] for probe in row["probes"] if probe["turn"] < turns]] = True
    chosen[-1] |= not chosen.any()
    return chosen


def told_turns(rows: Sequence[ShardRow], most: int | None = None) -> list[np.ndarray]:
    """Say for the first `most` turns of each conversation which turn told what they ask for: a number from 0,
    NEVER_TOLD, or NOT_ASKED. A question about two facts, which two turns told, counts as NOT_ASKED."""
    found = []
    for row in rows:
        turns = np.full(len(row["interactions"][:most]), NOT_ASKED)
        for probe in row["probes"]:
            turn = probe["turn"]
            if turn < len(turns) and probe["kind"] == "unknown":
                turns[turn] = NEVER_TOLD
            elif turn < len(turns) and not probe["tag"]:
                turns[turn] = turn - probe["distance"]
        found.append(turns)
    return found


def _told(row: ShardRow) -> list[int]:
    """Return the turns that told what the questions of this conversation ask for."""
    return [probe["turn"] - probe["distance"] for probe in row["probes"] if probe["kind"] != "unknown"]
