"""The pass over data sets of dialogues before any shard is written: what is left out of each partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobs.stage.context import StageContext
from jobs.stage.tasks import run_tasks
from tokenization.cleaning.benchmark import Benchmark
from tokenization.conversations.screening import Survey, screens
from tokenization.conversations.sources import Partition, survey


def screened(ctx: StageContext, partitions: Sequence[Partition], benchmark: Benchmark) -> list[Partition]:
    """The partitions with their screens. It depends on their content, so that it is done again by whoever resumes."""
    if not partitions:
        return []
    surveys: dict[int, Survey] = {}
    calls = enumerate((each,) for each in partitions)
    at_once = ctx.execution.data.parallelism
    for number, found in run_tasks(ctx, survey, calls, "shards", at_once=at_once, shared=[benchmark]):
        surveys[number] = found
        note = f"{partitions[number].source.name}, looking for duplicates"
        ctx.reporter.progress(len(surveys), len(partitions), note)
    found = screens([surveys[number] for number in range(len(partitions))])
    return [replace(partition, screen=screen) for partition, screen in zip(partitions, found, strict=True)]
