"""Refuse test questions that share a value or a sentence with training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from jobs.evaluation.conversations import EncodedConversation, told_at
from jobs.stage.context import Rerun, StageError
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.dialogues.values import words
from tokenization.records import BROAD
from tokenization.shards.reader import ShardReader


def check_held_out(
    tokenizer: Tokenizer, conversations: Sequence[EncodedConversation], training: ShardReader, stage: str
) -> None:
    """Compare what is asked with the training split of the same shards.

    A value must not be the answer to a question of training: of the broad generator, to none; of templates, to none of
    the same slot. In broad conversations, neither must the whole turns that tell and ask. Raises StageError, which
    names the first conversation that shares something.
    """
    trained = [(slot, words(form)) for batch in training.batches() for slot, forms in _probes(batch) for form in forms]
    values, of_slots = {form for _, form in trained}, set(trained)
    sentences = {query for batch in training.batches() for query in _queries(batch)}
    for one in conversations:
        for turn, probe in sorted(one.probes.items()):
            broad = probe.generator == BROAD
            known = probe.gold if probe.kind != "unknown" else ()
            shared = [
                form for form in known if (words(form) in values if broad else (probe.slot, words(form)) in of_slots)
            ]
            told = {turn} | ({told_at(probe)} if known else set())
            said = [one.queries[t] for t in sorted(told) if broad and _bytes(one.queries[t]) in sentences]
            if shared or said:
                what = f"the value {shared[0]!r}" if shared else f"the sentence {tokenizer.decode(said[0])!r}"
                raise StageError(
                    f"the test conversation {one.id}, turn {turn}: {what} is in the training split, too, so a right "
                    "answer would show no memory",
                    Rerun(stage),
                )


def _probes(batch: pa.RecordBatch) -> Iterator[tuple[str, list[str]]]:
    """Slot and gold forms of every question of a batch that has an answer."""
    probes = batch.column("probes").flatten()
    yield from zip(probes.field("slot").to_pylist(), probes.field("gold").to_pylist(), strict=True)


def _queries(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The ids of every query of a batch, up to the answer."""
    interactions = batch.column("interactions").flatten()
    ids = interactions.field("input_ids")
    tokens, edges = ids.values.to_numpy(), ids.offsets.to_numpy()
    starts = interactions.field("answer_start").to_numpy()
    for (begin, _), length in zip(pairwise(edges), starts, strict=True):
        yield tokens[begin : begin + length].tobytes()


def _bytes(ids: Sequence[int]) -> bytes:
    return np.array(ids, dtype=np.int32).tobytes()
