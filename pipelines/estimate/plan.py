"""Predicts what training a preset on GPUs takes: bytes of every stage, seconds, money, and the layouts that fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from jobs.configs.execution import TrainExecution
from jobs.configs.training import StageConfig
from pipelines.config import PipelineConfig
from pipelines.estimate.stages import STATELESS, StepKind, step_kinds, training_stages
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.estimate.activations import ActivationBytes, activation_bytes
from rxt_model.estimate.gpus import Gpu
from rxt_model.estimate.layouts import ParallelLayout, layouts, obstacle
from rxt_model.estimate.states import ShardedGroup, StateBytes, Traffic, sharded_groups, state_bytes, traffic
from rxt_model.estimate.step_time import StepSeconds, step_seconds
from rxt_model.model import ReactiveTransformer

USABLE = 0.92  # of a GPU's memory: the rest goes to the driver, to messages and to gaps between tensors
WIDTHS = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class StagePlan:
    """A training stage on one GPU of a layout. Bytes are those of its largest step; `seconds` and `flops` are those of
    all its steps, `tokens` over all GPUs."""

    name: str
    steps: int
    states: StateBytes
    activations: ActivationBytes
    sent: int
    tokens: float
    seconds: float
    flops: float

    @property
    def bytes(self) -> dict[str, int]:
        """The parts of what one GPU holds."""
        return {
            "weights": self.states.weights,
            "gradients": self.states.gradients,
            "optimizer": self.states.optimizer,
            "buffers": self.states.buffers,
            "activations": self.activations.layers,
            "logits": self.activations.logits,
            "memory": self.activations.memory,
        }

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


@dataclass(frozen=True)
class LayoutPlan:
    """All training stages in one layout."""

    layout: ParallelLayout
    stages: tuple[StagePlan, ...]

    @property
    def largest(self) -> StagePlan:
        return max(self.stages, key=lambda stage: stage.total)

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    def fits(self, gpu: Gpu) -> bool:
        return self.largest.total <= USABLE * gpu.memory


class Estimator:
    """Plans one configuration on one kind of GPU. Models are built on the meta device, once."""

    def __init__(self, config: PipelineConfig, gpu: Gpu) -> None:
        self.config, self.gpu = config, gpu
        self.stages = training_stages(config)
        self._cut: dict[tuple[bool, ParallelLayout], list[ShardedGroup]] = {}

    @cached_property
    def reactive(self) -> ReactiveTransformer:
        model, tokenizer = self.config.model, self.config.tokenizer
        assert model and tokenizer, "a preset that trains has a model"
        with torch.device("meta"):
            return ReactiveTransformer(model.with_vocabulary(tokenizer.vocab_size))

    @cached_property
    def stateless(self) -> StatelessDecoder:
        with torch.device("meta"):
            return StatelessDecoder(matching_config(self.reactive.config))

    @property
    def rows(self) -> int:
        """The rows of the smallest batch: no more GPUs can train."""
        return min(stage.smallest_batch for stage in self.stages.values())

    def obstacle(self, layout: ParallelLayout) -> str:
        """Return why the models cannot have a layout, with the stage's name; empty if they can."""
        for name in self.stages:
            if reason := obstacle(self._model(name).config, layout):
                return f"{name}: {reason}"
        return ""

    def plan(self, layout: ParallelLayout) -> LayoutPlan:
        """Plan all stages in one layout that the models can have."""
        return LayoutPlan(layout, tuple(self._stage(name, stage, layout) for name, stage in self.stages.items()))

    def plans(self, gpus: int) -> list[LayoutPlan]:
        """Plan every layout that the models can have on so many GPUs: those that fit first, the fastest on top."""
        found = [self.plan(layout) for layout in layouts(gpus, self.gpu.per_machine) if not self.obstacle(layout)]
        return sorted(found, key=self._rank)

    def _rank(self, plan: LayoutPlan) -> tuple[bool, float, int]:
        fits = plan.fits(self.gpu)
        return not fits, round(plan.seconds, 2) if fits else 0.0, plan.largest.total

    def smallest(self) -> LayoutPlan | None:
        """Return the best plan on the fewest GPUs that hold every stage, of powers of two; None if none does."""
        gpus = 1
        while gpus <= self.rows:
            best = self.plans(gpus)[0]
            if best.fits(self.gpu):
                return best
            gpus *= 2
        return None

    def _model(self, name: str) -> ReactiveTransformer | StatelessDecoder:
        return self.stateless if name == STATELESS else self.reactive

    def _stage(self, name: str, stage: StageConfig, layout: ParallelLayout) -> StagePlan:
        model, width = self._model(name), WIDTHS[stage.precision]
        groups = self._groups(name, layout)
        kinds = step_kinds(self.config, stage, layout.gpus)
        kept = [activation_bytes(model.config, kind.passes, width, layout.recompute) for kind in kinds]
        times = [self._step(model, kind, layout, groups, width) for kind in kinds]
        return StagePlan(
            name=name,
            steps=stage.steps,
            states=state_bytes(groups, width),
            activations=max(kept, key=lambda one: one.total),
            sent=max(sent.total for sent, _ in times),
            tokens=layout.gpus * sum(kind.steps * kind.tokens for kind in kinds),
            seconds=sum(kind.steps * step.total for kind, (_, step) in zip(kinds, times, strict=True)),
            flops=sum(kind.steps * step.flops for kind, (_, step) in zip(kinds, times, strict=True)),
        )

    def _groups(self, name: str, layout: ParallelLayout) -> list[ShardedGroup]:
        key = name == STATELESS, replace(layout, recompute=False)
        if key not in self._cut:
            self._cut[key] = sharded_groups(self._model(name), layout)
        return self._cut[key]

    def _step(
        self,
        model: ReactiveTransformer | StatelessDecoder,
        kind: StepKind,
        layout: ParallelLayout,
        groups: list[ShardedGroup],
        width: int,
    ) -> tuple[Traffic, StepSeconds]:
        sent = traffic(model.config, groups, kind.passes, layout, width)
        return sent, step_seconds(model, kind.passes, layout, groups, sent, self.gpu, width)


def layout_of(execution: TrainExecution, gpus: int) -> ParallelLayout:
    """Return the layout that a configuration asks for, on so many GPUs."""
    return ParallelLayout(
        gpus, execution.expert_parallel, execution.shard, execution.activation_checkpointing, execution.replicas
    )
