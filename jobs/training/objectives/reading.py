"""The loss of a decoder that reads the raw encoder states of all earlier interactions, without compression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.configs.training import OptimisationConfig
from jobs.training.batching.batches import DECODED, NOT_ASKED, TOLD, Batch
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import StepContext, global_count, metric, token_metrics
from jobs.training.objectives.importance import importance_loss, watched_reads
from jobs.training.objectives.matching import matching_loss
from jobs.training.objectives.naming import naming_loss
from rxt_model.copying.marks import with_age
from rxt_model.losses import following
from rxt_model.memory.thoughts import remembered
from rxt_model.model import ReactiveTransformer


def reading_loss(
    model: ReactiveTransformer, batch: Batch, context: StepContext, config: OptimisationConfig, *, importance: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return this rank's loss and its metrics on conversations: input_ids, loss_mask [B, N, T], and optionally
    `decoded` [B, N]. With `importance` the memory write also learns which states the decoder reads."""
    ids = batch["input_ids"]
    conversations, turns, length = ids.shape
    real = ids != model.config.tokens.pad
    written, written_real = remembered(ids, real, model.config)
    start = model.initial_memories(context.generators(batch, "memory"), model.config.memory.slots_in_training)
    read = start.repeat_interleave(turns, 1) if model.encoder.reads_memory else None  # nothing is written here
    states = (
        model.encode(written.flatten(0, 1), written_real.flatten(0, 1), memory=read)
        .unflatten(1, (conversations, turns))
        .flatten(2, 3)
    )

    # move the real tokens of each conversation to the front, and drop padding, which is most of it
    kept, order = _first(written_real.flatten(1))
    states = states.gather(2, order[None, :, :, None].expand(states.shape[0], -1, -1, states.shape[3]))
    if model.config.copying:
        states = with_age(states, turns - 1 - order // length)
    held = written.flatten(1).gather(1, order)

    # take equally many turns of each conversation, as they share its states; missing turns become padding
    wanted, turn = _first(batch.get(DECODED, torch.ones(conversations, turns, dtype=torch.bool, device=ids.device)))
    taken = turn[:, :, None].expand(-1, -1, length)
    flat, flat_real, supervised = (
        part.flatten(0, 1)
        for part in (
            ids.gather(1, taken),
            real.gather(1, taken) & wanted[:, :, None],
            batch["loss_mask"].gather(1, taken)[:, :, 1:] & wanted[:, :, None],
        )
    )

    # turn t reads the tokens of earlier turns and the start memory; so the first turn has something to read
    start = start.to(states.dtype)
    earlier = kept[:, None] & ((order // length)[:, None] < turn[:, :, None])
    readable = F.pad(earlier, (start.shape[2], 0), value=True)

    with watched_reads(model.decoder, importance) as reads:
        memory = torch.cat((start, states), 2)
        output = model.decode(
            flat,
            memory,
            mask=flat_real,
            memory_mask=readable.flatten(0, 1),
            memory_ids=F.pad(held, (start.shape[2], 0), value=-1),
            selected=supervised,
        )
    lm = following(model.decoder.head, output, flat, supervised, config.head_z_weight)
    of_row = torch.arange(conversations, device=ids.device)[:, None].expand_as(held)
    naming, named = naming_loss(model, states[-1][kept], held[kept], of_row[kept], batch, context)
    routing, metrics = routing_loss(output.routing, config)
    loss = lm.loss / global_count(lm.count) + naming + routing
    if output.matched is not None and TOLD in batch:
        told = batch[TOLD].gather(1, turn).where(wanted, NOT_ASKED).flatten()
        row = (told > NOT_ASKED) & supervised.any(1)
        scores = output.matched[row, supervised[row].int().argmax(1)][:, start.shape[2] :]
        turn_of = (order // length).repeat_interleave(wanted.shape[1], 0)[row]
        matching, matched = matching_loss(scores, turn_of, told[row], turns)
        loss, metrics = loss + matching, metrics | matched
    if importance:
        there = flat_real.any(1).unflatten(0, wanted.shape)
        counted = (earlier & there[:, :, None]).any(1)
        taught, found = importance_loss(
            model.memory_attention, states, reads, readable, supervised, counted, output.pointers
        )
        loss, metrics = loss + taught, metrics | found
    return loss, {**token_metrics(lm), **named, **metrics, "train/tokens": metric(real.sum(), torch.ones(()))}


def _first(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Move the chosen places of chosen [B, N] to the front of each row, in order, and keep as many places K as the row
    with most has, at least one. Return which of them are chosen [B, K], and the places [B, K]."""
    found, order = chosen.sort(dim=1, descending=True, stable=True)
    most = max(1, int(found.sum(1).max()))
    return found[:, :most], order[:, :most]
