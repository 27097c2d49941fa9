"""Conversations as batches, and which of their turns the decoder is trained on.

Most turns acknowledge what was told, and soon teach nothing more; leaving most of them out makes room for questions.
The encoder reads every turn all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jobs.configs.training import BaselineConfig, ConversationTrainingConfig
from jobs.stage.context import Artifact
from jobs.stage.inputs import open_index
from jobs.training.batching.batches import Batch, Lengths, conversation_batch, history_batch
from jobs.training.batching.reader import Collate
from tokenization.hashing import stable_seed
from tokenization.records import ShardRow


def conversation_rows(
    shards: Artifact, turns: Callable[[int], int | None], config: ConversationTrainingConfig
) -> Collate:
    """The collate function of conversations, of which at most `turns(step)` interactions are taken."""
    length = open_index(shards).length

    def collate(rows: list[ShardRow], lengths: Lengths, step: int) -> Batch:
        most = turns(step)
        return conversation_batch(rows, length, most, lengths, decoded_turns(rows, config, step, most))

    return collate


def history_rows(shards: Artifact, config: BaselineConfig) -> Collate:
    """The collate function of whole conversations for a model without memory."""
    length = open_index(shards).length
    return lambda rows, lengths, step: history_batch(rows, length, lengths, decoded_turns(rows, config, step))


def decoded_turns(
    rows: Sequence[ShardRow], config: ConversationTrainingConfig | BaselineConfig, step: int, most: int | None = None
) -> list[np.ndarray] | None:
    """Say of the first `most` turns of each conversation whether they are decoded; None: all turns are.

    Turns that ask are decoded, and a share `other_turns` of the others, drawn anew in every step, whichever rank reads
    the row. Of a conversation that was made without questions all turns are decoded, and of any at least the last.
    """
    if config.other_turns == 1:
        return None
    return [_decoded(row, len(row["interactions"][:most]), config, step) for row in rows]


def _decoded(row: ShardRow, turns: int, config: ConversationTrainingConfig | BaselineConfig, step: int) -> np.ndarray:
    if not row["probes"]:
        return np.ones(turns, dtype=bool)
    random = np.random.default_rng(stable_seed(config.seed, step, row["conversation_id"]))
    chosen = random.random(turns) < config.other_turns
    chosen[[probe["turn"] for probe in row["probes"] if probe["turn"] < turns]] = True
    chosen[-1] |= not chosen.any()
    return chosen
