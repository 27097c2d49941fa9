"""One step of joint pre-training on one CPU thread, against the same step done plainly.

    python -m tests.benchmarks.model.joint_step [--rounds 9]

Sizes of RxT-Alpha Micro (dim 128, 6 layers, 12 experts top-2 of width 256, 256 slots), but without biases in each
expert, with gated memory attention and an RMS norm before the head; vocabulary 7,500, 8 rows of 256 tokens. Forward,
backward, clipping and AdamW in fp32. The peer (`plain`) loops over unbound views of the experts under autograd, makes
full logits and applies the masked-token head to all positions. CPU seconds, since machines are shared; both take turns,
from the same weights and random numbers. Target, reported and not enforced: at most 0.75 times `plain`. One JSON line
per case is appended to results/joint_step.jsonl.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from time import process_time
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jobs.configs.training import SftConfig
from jobs.training.batching.batches import ROW
from jobs.training.loop import step_context
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.optimizers.stage import StageOptimizer
from rxt_model.config import MemoryConfig
from rxt_model.family import ALPHA_MICRO
from rxt_model.losses import TokenLoss
from rxt_model.model import ReactiveTransformer, seeded
from rxt_model.moe.layer import Experts
from tests.benchmarks.model.allocator import as_by_default
from tests.benchmarks.record import RESULTS, append, environment

ROWS, LENGTH = 8, ALPHA_MICRO.length
TARGET = 0.75  # of the plain step's time
CONFIG = replace(
    ALPHA_MICRO,
    moe=replace(ALPHA_MICRO.moe, bias="layer"),
    memory=MemoryConfig(slots=ALPHA_MICRO.memory.slots, variant="gated"),
    head_norm="rms",
).with_vocabulary(7500)


def loop_over_experts(experts: Experts, x: Tensor, weights: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Do what `Experts.forward` does under autograd, on the view of one expert after the other."""
    order = chosen.flatten().argsort(stable=True)
    counts = torch.bincount(chosen.flatten(), minlength=experts.w_in.shape[0])
    rows = x[order // chosen.shape[1]].split(counts.tolist())
    outputs = []
    for part, up, down in zip(rows, experts.w_in.unbind(0), experts.w_out.unbind(0), strict=True):
        linear, gate = (part @ up).chunk(2, -1)
        outputs.append((linear * F.silu(gate)) @ down)
    picked = torch.cat(outputs)[order.argsort()].unflatten(0, chosen.shape)
    return (picked * weights[..., None]).sum(1), counts


def full_logits(head: nn.Module, hidden: Tensor, targets: Tensor, selected: Tensor, z_weight: float = 0.0) -> TokenLoss:
    """Do what `losses.cross_entropy` does, with the head on all positions and without its z-loss."""
    logits = head(hidden).flatten(0, 1)
    labels = targets.masked_fill(~selected, -100).flatten()
    loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum")
    right = (logits.detach().argmax(-1) == labels)[selected.flatten()]
    return TokenLoss(loss, right, loss.detach(), torch.zeros(()))


class Training:
    """A fresh model with its optimizer, and the time of each of its steps."""

    def __init__(self, plain: bool) -> None:
        self.config = SftConfig(steps=1000, batch_size=ROWS)
        self.objective = JointLM(seeded(lambda: ReactiveTransformer(CONFIG), 0), self.config)
        self.optimizer = StageOptimizer(self.objective, self.config.optimizer, self.config.steps)
        self.plain, self.milliseconds, self.losses = plain, [], []

    def step(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        ids = torch.randint(CONFIG.tokens.highest + 1, CONFIG.vocab_size, (ROWS, LENGTH), generator=generator)
        batch = {"input_ids": ids, "documents": torch.zeros_like(ids), ROW: torch.arange(ROWS)}
        with ExitStack() as patches:
            if self.plain:
                patches.enter_context(patch.object(Experts, "forward", loop_over_experts))
                for module in ("rxt_model.losses", "jobs.training.objectives.joint_lm"):
                    patches.enter_context(patch(f"{module}.cross_entropy", full_logits))
            began = process_time()
            self.optimizer.begin(number, self.objective.trained(number))
            loss, _ = self.objective(batch, step_context(self.config, number))
            loss.backward()
            self.optimizer.step()
            self.milliseconds.append(1e3 * (process_time() - began))
        self.losses.append(loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    allocator = as_by_default()
    torch.set_num_threads(1)
    cases = {"plain": Training(plain=True), "ours": Training(plain=False)}
    for number in range(arguments.rounds + 1):
        for case in cases.values():
            case.step(number)
    torch.testing.assert_close(cases["ours"].losses[0], cases["plain"].losses[0], rtol=1e-5, atol=0)
    peer = median(cases["plain"].milliseconds[1:])
    lines = []
    for name, case in cases.items():
        turns = case.milliseconds[1:]
        lines.append({
            "benchmark": "joint_step",
            **environment("torch"),
            "threads": torch.get_num_threads(),
            "allocator": allocator,
            "case": name,
            "tokens": ROWS * LENGTH,
            "turns": len(turns),
            "median_ms": round(median(turns), 1),
            "min_ms": round(min(turns), 1),
            "max_ms": round(max(turns), 1),
            "to_plain": round(median(turns) / peer, 3),
        })  # fmt: skip
        if name == "ours":
            lines[-1] |= {"target": TARGET, "met": lines[-1]["to_plain"] <= TARGET}
        print(
            f"{name:6} {lines[-1]['median_ms']:8.1f} ms [{min(turns):.1f}, {max(turns):.1f}]  x {lines[-1]['to_plain']}"
        )
    append(RESULTS / "joint_step.jsonl", lines)


if __name__ == "__main__":
    main()
