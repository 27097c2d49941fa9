"""A small model, an objective without random numbers that runs every part several times per step, and its training."""

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from jobs.configs.training import OptimizerConfig, TrainingConfig
from jobs.training.batching.batches import ROW
from jobs.training.batching.reader import Share
from jobs.training.checkpoints import Checkpointer
from jobs.training.loop import Cadence, train
from jobs.training.objectives.balance import routing_loss
from jobs.training.objectives.base import Objective, global_count, metric
from jobs.training.optimizers.stage import StageOptimizer
from rxt_model.config import AttentionConfig, MemoryConfig, ModelConfig, MoEConfig
from rxt_model.losses import cross_entropy
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.moe.selection_bias import add_selection_bias
from rxt_model.training.parallelize import parallelize

TURNS = 4

Shard = Literal["root", "block"]


def toy_config(**changes):
    heads = AttentionConfig(query_heads=2, kv_heads=1)
    values: dict[str, Any] = dict(
        dim=16,
        heads=2,
        stateful_layers=2,
        initial_layers=1,
        final_layers=1,
        decoder_attention=heads,
        cross_attention=heads,
        encoder_attention=heads,
        dense_dim=24,
        encoder_dim=24,
        moe=MoEConfig(experts=4, top_k=2, expert_dim=8, shared_experts=2, shared_dim=8),
        memory=MemoryConfig(slots=4, variant="competitive"),
        length=16,
        vocab_size=40,
    )
    return ModelConfig(**values | changes)


def toy_model(seed=0, **changes):
    return seeded(lambda: ReactiveTransformer(toy_config(**changes)), seed)


def toy_batch(step=0, conversations=4, turns=TURNS, length=12):
    """Make conversations whose token counts differ widely between rows, and so between ranks."""
    generator = torch.Generator().manual_seed(1000 + step)
    ids = torch.randint(11, 40, (conversations, turns, length), generator=generator)
    lengths = torch.randint(3, length + 1, (conversations, turns), generator=generator)
    lengths[: conversations // 2] = lengths[: conversations // 2].clamp(max=5)
    ids[torch.arange(length) >= lengths[..., None]] = 0
    return numbered({"input_ids": ids, "loss_mask": ids != 0})


def numbered(batch):
    """Give the rows of a whole batch their places, as `batch_reader` does."""
    return batch | {ROW: torch.arange(len(batch["input_ids"]))}


def start_memory(model, context, rows):
    """Return the memory [L, rows, S, d] that the rows of a whole batch start with."""
    whole = numbered({"input_ids": torch.zeros(rows, 1)})
    return model.initial_memories(context.generators(whole, "memory"))


def part_of(batch, rank, ranks):
    """Return the rows of one rank."""
    return {name: tensor[Share(rank, ranks).places(len(tensor))] for name, tensor in batch.items()}


class ToyObjective(Objective):
    def __init__(self, model, frozen_until=0):
        super().__init__()
        self.model, self.frozen_until = model, frozen_until
        self.config = toy_training(1, router_z_weight=0.01, head_z_weight=0.01)

    def trained(self, step):
        if step < self.frozen_until:
            return [self.model.embedding, self.model.decoder]
        return [self.model]

    def forward(self, batch, context):
        ids, mask = batch["input_ids"], batch["loss_mask"]
        start = self.model.initial_memory(1, torch.Generator().manual_seed(7))
        memory = start.expand(-1, ids.shape[0], -1, -1)
        losses, balance = [], 0
        for turn in range(ids.shape[1]):
            now, real = ids[:, turn], ids[:, turn] != 0
            output = self.model.decode(now, memory, mask=real)
            head, selected = self.model.decoder.head, mask[:, turn, 1:]
            losses.append(cross_entropy(head, output.hidden[:, :-1], now[:, 1:], selected, self.config.head_z_weight))
            balance = balance + routing_loss(output.routing, self.config)[0]
            memory = self.model.write(memory, self.model.encode(now, real), real)
        loss = torch.stack([part.loss for part in losses]).sum()
        count = torch.stack([part.count for part in losses]).sum()
        total = loss / global_count(count) + balance + 0.001 * memory.square().sum()
        return total, {
            "train/loss": metric(loss, count),
            "train/tokens": metric((ids != 0).sum(), torch.ones(())),
        }


def toy_training(steps, **changes):
    optimizer = OptimizerConfig(lr=1e-2, warmup_steps=2, weight_decay=0.1)
    values: dict[str, Any] = dict(steps=steps, batch_size=4, optimizer=optimizer, seed=3)
    return TrainingConfig(**values | changes)


class Run:
    """One attempt at a stage of `steps` steps in `folder`, on one rank or as one of several ranks."""

    def __init__(
        self, folder, steps, world_size=None, run_folder="", frozen_until=0, shard: Shard = "block", **changes
    ):
        self.config = toy_training(steps, **changes)
        self.rank, self.world_size = (dist.get_rank(), world_size) if world_size else (0, 1)
        self.objective = ToyObjective(toy_model(), frozen_until)
        if self.config.bias_speed:
            add_selection_bias(self.objective.model)
        if world_size:
            parallelize(self.objective, world_size, shard=shard, precision=self.config.precision)
        self.optimizer = StageOptimizer(self.objective, self.config.optimizer, steps)
        self.registered = []
        self.checkpointer = Checkpointer(
            str(folder),
            run_folder,
            self.state,
            keep=2,
            rank=self.rank,
            register=lambda uri, step: self.registered.append(step),
        )

    def state(self):
        return {"model": self.objective.state_dict(), "optimizer": self.optimizer.moments()}

    def go(self, **options):
        self.started_at = self.checkpointer.restore()
        try:
            return train(
                self.objective,
                self.optimizer,
                lambda step: part_of(toy_batch(step), self.rank, self.world_size),
                self.config,
                Cadence(log=1, checkpoint=2),
                start=self.started_at,
                save=self.checkpointer.save,
                **options,
            )
        finally:
            self.checkpointer.finish()

    def weights(self):
        tensors = self.objective.state_dict().values()
        return [t.full_tensor() if isinstance(t, DTensor) else t.detach() for t in tensors]


def stopping_at(step):
    """Return True from the given call on: one rank asks to stop."""
    calls = iter(range(10_000))
    return lambda: next(calls) >= step
