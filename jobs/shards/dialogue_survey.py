"""Look through all data sets of conversations before a shard is written: their schemas, their rows that are no
conversations, and what is left out because it repeats other conversations or a benchmark."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import fsspec

from jobs.stage.context import StageContext, StageError
from jobs.stage.corpus_input import open_benchmark
from jobs.stage.tasks import run_tasks
from tokenization.cleaning.benchmark import Benchmark
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.screening import Survey, screens
from tokenization.conversations.sources import Partition, partitions_of, survey
from tokenization.files.storage import publish
from tokenization.quarantine import LOST, Quarantine, Rejected
from tokenization.sources.source import SourceError


def surveyed_partitions(ctx: StageContext, sources: Sequence[ConversationSource]) -> list[Partition]:
    """Return the partitions of all data sets, each with its screen. Rows that are no conversations lie in the folder
    `quarantine` by then.

    A resumed stage does it again, since the content of a data set may have changed. Raises StageError for a data set
    that cannot be read, and for one without conversations.
    """
    sources = [source for source in sources if source.is_used]
    try:
        partitions = [one for source in sources for one in partitions_of(source)]
    except SourceError as error:
        raise StageError(str(error)) from error
    _name_schemas(ctx, sources, partitions)
    surveys: dict[int, Survey] = {}
    calls = ((number, (each, quarantine_url(ctx.output_uri, number))) for number, each in enumerate(partitions))
    shared = [open_benchmark(ctx.inputs["corpus"])]
    if partitions:
        at_once = ctx.execution.data.parallelism
        for number, found in run_tasks(ctx, survey_partition, calls, "shards", at_once=at_once, shared=shared):
            surveys[number] = found
            note = f"{partitions[number].source.name}, looking for duplicates"
            ctx.reporter.progress(len(surveys), len(partitions), note)
    in_order = [surveys[number] for number in range(len(partitions))]
    for source in sources:
        mine = [found for each, found in zip(partitions, in_order, strict=True) if each.source.name == source.name]
        _check(source, mine)
    return [replace(each, screen=screen) for each, screen in zip(partitions, screens(in_order), strict=True)]


def survey_partition(partition: Partition, url: str, benchmark: Benchmark) -> Survey:
    """Survey a partition, and write its rows that are no conversations to `url`, if there are any."""
    with tempfile.TemporaryFile() as bad:
        quarantine = Quarantine(partition.source.name, bad)
        first: list[Rejected] = []

        def reject(one: Rejected) -> None:
            if one.reason not in LOST:  # the passes of the splits tell what they lose
                quarantine.add(one)
                first[1:] = [one]

        found = survey(partition, benchmark, reject)
        fs, path = fsspec.url_to_fs(url)
        if first:
            bad.seek(0)
            publish(url, lambda stream: shutil.copyfileobj(bad, stream))
        elif fs.exists(path):  # an earlier attempt rejected something
            fs.rm_file(path)
    return replace(found, rejected=quarantine.counts, first_rejected=first[0] if first else None)


def by_reason(counts: Counter[str]) -> str:
    """Say how many there are of each, the most frequent first."""
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in found)


def quarantine_url(uri: str, partition: int) -> str:
    """Where the rejected rows of a partition lie."""
    return f"{uri}/quarantine/rows-{partition:05d}.jsonl"


def _name_schemas(ctx: StageContext, sources: Sequence[ConversationSource], partitions: Sequence[Partition]) -> None:
    """Tell the user which adapters were chosen by the first rows."""
    found = {each.source.name: each.source.adapter for each in partitions}
    for source in sources:
        if not source.adapter:
            told = f"its first rows have the schema `{found[source.name]}`; set `adapter` to read them otherwise"
            ctx.reporter.message(f"source {source.name}: {told}")


def _check(source: ConversationSource, surveys: Sequence[Survey]) -> None:
    rejected = sum((one.rejected for one in surveys), Counter())
    if any(len(one.keys) for one in surveys) or not rejected:
        return
    first = next(one.first_rejected for one in surveys if one.first_rejected)
    raise StageError(
        f"source {source.name}: {source.path} holds no conversation; rejected: {by_reason(rejected)}: see quarantine/; "
        f"the first: {first}"
    )
