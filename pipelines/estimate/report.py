"""Says what `rxt plan` found: one layout in detail, the others in a line each, and how to run it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from jobs.configs.execution import Execution
from jobs.stage.context import StageError
from pipelines.display import console_on, duration, print_table, table_of
from pipelines.estimate.downloads import Downloads, downloads
from pipelines.estimate.plan import USABLE, Estimator, LayoutPlan, StagePlan, layout_of
from pipelines.estimate.stages import NOT_PLANNED
from pipelines.guard.terminal import say
from pipelines.invocation import Invocation
from pipelines.session import Session
from rxt_model.estimate.gpus import GB, Gpu
from rxt_model.estimate.layouts import ParallelLayout

HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class PlanReport:
    """`plans` are all layouts, those that fit first, the best on top. `execution` is that of the
    configuration. `left_out` stages are not planned. `without_kernel` says why experts run the algorithm for CPUs."""

    invocation: Invocation
    preset: str
    gpu: Gpu
    gpus: int
    plans: list[LayoutPlan]
    execution: Execution
    fetched: Downloads
    left_out: tuple[str, ...]
    without_kernel: str

    @property
    def best(self) -> LayoutPlan:
        return self.plans[0]

    @property
    def own(self) -> ParallelLayout:
        """The layout that the configuration asks for."""
        return layout_of(self.execution.train, self.gpus)

    def cost(self, seconds: float, price: float) -> float:
        return self.gpus * seconds / HOUR * price

    def summary(self) -> str:
        """The short form: one line."""
        best, most = self.best, self.best.largest
        return (
            f"planned on {self.gpus} x {self.gpu.name}: {best.layout}, at most {most.total / GB:.1f} of "
            f"{self.gpu.memory / GB:.0f} GB per GPU ({most.name}), {span(best.seconds)}"
        )

    def as_object(self, price: float | None) -> dict[str, Any]:
        """The report as JSON has it: bytes per GPU, seconds, FLOP/s, and the cost if there is a price."""
        stages = [_stage_object(self, stage) for stage in self.best.stages]
        if price is not None:
            stages = [found | {"cost": self.cost(found["seconds"], price)} for found in stages]
        return {
            "gpu": asdict(self.gpu),
            "gpus": self.gpus,
            "layout": asdict(self.best.layout),
            "own_layout": asdict(self.own),
            "stages": stages,
            "seconds": self.best.seconds,
            "cost": None if price is None else self.cost(self.best.seconds, price),
            "downloads": asdict(self.fetched),
            "not_planned": list(self.left_out),
            "layouts": [
                asdict(plan.layout)
                | {"fits": plan.fits(self.gpu), "bytes": plan.largest.total, "seconds": plan.seconds}
                for plan in self.plans
            ],
        }

    def print(self, out: TextIO, price: float | None, shown: int) -> None:
        """Print tables, the most `shown` layouts, and the command that runs the best."""
        console = console_on(out)
        say(f"{self.preset} on {self.gpus} x {self.gpu.name}, predicted: {self.best.layout}\n", out)
        header = ("GB per GPU, at most", *self.best.stages[0].bytes, "all")
        print_table(console, table_of(header, map(_bytes_row, self.best.stages), numbers=True))
        say(f"of {USABLE * self.gpu.memory / GB:.1f} GB that a {self.gpu.name} has for them\n", out)
        header = ("stage", "steps", "tokens", "sent/step", "step", "tokens/s", "MFU", "time")
        rows = [self._time_row(stage, price) for stage in self.best.stages]
        whole = ("whole", *[""] * 6, span(self.best.seconds))
        if price is not None:
            header, whole = (*header, "cost"), (*whole, f"{self.cost(self.best.seconds, price):,.2f}")
        print_table(console, table_of(header, [*rows, whole], numbers=True))
        say("sequences at full length, turns as their plan has them on average: texts fill less\n", out)
        rows = [
            (
                str(plan.layout),
                f"{plan.largest.total / GB:.1f}",
                plan.largest.name,
                span(plan.seconds),
                self._note(plan),
            )
            for plan in self.plans[:shown]
        ]
        print_table(console, table_of(("layout", "GB", "of stage", "time", ""), rows))
        if len(self.plans) > shown:
            say(f"... and {len(self.plans) - shown} more: --json has them all", out)
        say(f"downloads: {self.fetched}", out)
        if self.left_out:
            say(f"not planned: {', '.join(self.left_out)}", out)
        if self.without_kernel:
            say(f"experts without a GPU kernel, so slower than predicted: {self.without_kernel}", out)
        say(f"next: {self.invocation.run(*self._settings())}", out)

    def _time_row(self, stage: StagePlan, price: float | None) -> tuple[str, ...]:
        row = (
            stage.name,
            f"{stage.steps:,}",
            f"{stage.tokens / 1e6:,.0f} M",
            f"{stage.sent / GB:.2f} GB",
            f"{1e3 * stage.seconds / stage.steps:,.0f} ms",
            f"{stage.tokens / stage.seconds:,.0f}",
            f"{stage.flops / stage.seconds / self.gpu.peak:.1%}",
            span(stage.seconds),
        )
        return row if price is None else (*row, f"{self.cost(stage.seconds, price):,.2f}")

    def _settings(self) -> list[str]:
        """The options that change the configuration's execution into the best layout."""
        layout, train = self.best.layout, self.execution.train
        wanted = {
            "device": ("cuda", self.execution.device),
            "train.workers": (layout.gpus, train.workers),
            "train.expert_parallel": (layout.expert_parallel, train.expert_parallel),
            "train.replicas": (layout.replicas, train.replicas),
            "train.shard": (layout.shard, train.shard),
            "train.activation_checkpointing": (layout.recompute, train.activation_checkpointing),
        }
        changed = {name: best for name, (best, own) in wanted.items() if best != own}
        values = {name: json.dumps(best).strip('"') for name, best in changed.items()}
        return [word for name, value in values.items() for word in ("--set", f"execution.{name}={value}")]

    def _note(self, plan: LayoutPlan) -> str:
        fits = "" if plan.fits(self.gpu) else "does not fit"
        return ", ".join(filter(None, ("the preset's own" if plan.layout == self.own else "", fits)))


def make_report(session: Session, gpu: Gpu, gpus: int) -> PlanReport:
    """Plan the configuration of a session. Raises StageError, with the way out, if it trains nothing, if its own layout
    is not possible on so many GPUs, or if no layout fits."""
    config, invocation = session.config, session.invocation
    estimator = Estimator(config, gpu)
    if not estimator.stages:
        raise StageError(f"{invocation.preset}: no stage trains, so there is nothing to plan", "rxt stage list")
    if gpus > estimator.rows:
        raise StageError(
            f"--gpus {gpus}: the smallest batch has {estimator.rows} rows, and each GPU needs one",
            invocation.plan("--gpus", str(estimator.rows), "--gpu", gpu.name),
        )
    own = layout_of(config.execution.train, gpus)
    plans = estimator.plans(gpus)
    if gpus > 1 and (reason := estimator.obstacle(own)):
        key = "replicas" if gpus % own.replicas else "expert_parallel"
        possible = invocation.changed(f"execution.train.{key}", getattr(plans[0].layout, key))
        raise StageError(reason, possible.plan("--gpus", str(gpus), "--gpu", gpu.name))
    best = plans[0]
    if not best.fits(gpu):
        raise _too_small(invocation, estimator, best)
    left_out = tuple(stage.name for stage in session.stages if stage.name in NOT_PLANNED)
    return PlanReport(
        invocation=invocation,
        preset=invocation.preset,
        gpu=gpu,
        gpus=gpus,
        plans=plans,
        execution=config.execution,
        fetched=downloads(config),
        left_out=left_out,
        without_kernel=_without_kernel(estimator),
    )


def span(seconds: float) -> str:
    """A time in days from two days on."""
    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:,.1f} days"


def _without_kernel(estimator: Estimator) -> str:
    """Return why experts would run the algorithm for CPUs (`rxt_model.moe.experts`); empty if they would not."""
    single = [name for name, stage in estimator.stages.items() if stage.precision == "float32"]
    if estimator.reactive.config.moe.bias == "expert":
        return "moe.bias = 'expert'"
    return f"precision = 'float32' in {', '.join(single)}" if single else ""


def _too_small(invocation: Invocation, estimator: Estimator, leanest: LayoutPlan) -> StageError:
    gpu, most = estimator.gpu, leanest.largest
    message = (
        f"{invocation.preset} does not fit on {leanest.layout.gpus} x {gpu.name}: {most.name} needs at least "
        f"{most.total / GB:.1f} GB per GPU ({leanest.layout}), and has {USABLE * gpu.memory / GB:.1f}"
    )
    if enough := estimator.smallest():
        return StageError(message, invocation.plan("--gpus", str(enough.layout.gpus), "--gpu", gpu.name))
    return StageError(f"{message}; no number of GPUs changes that, as one row is too large", "rxt plan --help")


def _bytes_row(stage: StagePlan) -> tuple[str, ...]:
    return (stage.name, *(f"{part / GB:.2f}" for part in stage.bytes.values()), f"{stage.total / GB:.1f}")


def _stage_object(report: PlanReport, stage: StagePlan) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "steps": stage.steps,
        "bytes": stage.bytes | {"all": stage.total},
        "sent_per_step": stage.sent,
        "seconds": stage.seconds,
        "tokens": stage.tokens,
        "tokens_per_second": stage.tokens / stage.seconds,
        "mfu": stage.flops / stage.seconds / report.gpu.peak,
    }
