"""The pass over data sets of dialogues before any shard is written: what is left out of each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.stage.context import StageContext
from jobs.stage.ray_setup import ensure_ray
from jobs.stage.tasks import run_tasks
from tokenization.cleaning.benchmark import Benchmark
from tokenization.conversations.screening import Survey, screens
from tokenization.conversations.sources import Part, survey


def screened(ctx: StageContext, parts: Sequence[Part], benchmark: Benchmark) -> list[Part]:
    """The parts with their screens. It depends on their content, so that it is done again by whoever resumes."""
    if not parts:
        return []
    ensure_ray(ctx.execution)
    import ray

    remote = ray.remote(num_cpus=1, max_retries=2)(survey)
    shared = ray.put(benchmark)
    surveys: dict[int, Survey] = {}
    for number, found in run_tasks(ctx, enumerate(remote.remote(part, shared) for part in parts), "shards"):
        surveys[number] = found
        ctx.reporter.progress(len(surveys), len(parts), f"{parts[number].source.name}, looking for duplicates")
    found = screens([surveys[number] for number in range(len(parts))])
    return [replace(part, screen=screen) for part, screen in zip(parts, found, strict=True)]
