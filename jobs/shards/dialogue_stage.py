"""Stages `interaction-shards`, `conversation-shards` and `episode-shards` write generated and real dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.shards.dialogue_card import show_dialogue_card
from jobs.shards.dialogue_counts import PARTS
from jobs.shards.dialogue_manifest import DialogueShard, conversation_shards, interaction_shards
from jobs.shards.dialogue_rows import ConversationRows, DialogueShardWriter, InteractionRows, choose_distractors
from jobs.shards.dialogue_sources import report_sources
from jobs.shards.job import run_manifest, shard_metrics, total, write_shard_index
from jobs.stage.context import StageContext, StageError
from jobs.stage.corpus_input import open_benchmark, open_corpus
from jobs.stage.inputs import open_tokenizer
from jobs.stage.tasks import run_tasks
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.cleaning.benchmark import Benchmark
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.documents import DIALOGUES
from tokenization.conversations.screening import Survey, screens
from tokenization.conversations.sources import Partition, partitions_of, survey
from tokenization.documents import Catalogue, Corpus
from tokenization.files.storage import write_json
from tokenization.shards.schema import Kind
from tokenization.sources.source import SourceError


def build_interaction_shards(ctx: StageContext, config: InteractionShardsConfig) -> dict[str, Any]:
    """Write shards of single interactions, real and generated. Raises StageError for unusable inputs."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    partitions = _partitions(ctx, config.sources)
    rows = InteractionRows(corpus, tokenizer, config.length, config.dialogues, config.seed)
    shards = interaction_shards(catalogue, config, partitions)
    return _build(ctx, "interactions", tokenizer, shards, rows, config)


def build_conversation_shards(ctx: StageContext, config: ConversationShardsConfig) -> dict[str, Any]:
    """Write shards of real conversations and of generated ones with probes. Each split's generated conversations have
    values of their own. Raises StageError for unusable inputs."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    dialogue_rows = catalogue.rows_of(DIALOGUES) if config.documents else np.empty(0, dtype=np.int64)
    if config.documents and not len(dialogue_rows):
        raise StageError(
            f"documents = {config.documents}: the corpus has no source with dialogues, such as {', '.join(DIALOGUES)}"
        )
    partitions = _partitions(ctx, config.sources)
    rows = ConversationRows(
        corpus,
        tokenizer,
        config.length,
        config.dialogues,
        config.longer,
        config.seed,
        choose_distractors(corpus, catalogue, tokenizer, config.length),
        config.longest,
    )
    shards = conversation_shards(config, catalogue, dialogue_rows, partitions)
    return _build(ctx, "conversations", tokenizer, shards, rows, config)


def _partitions(ctx: StageContext, sources: Sequence[ConversationSource]) -> list[Partition]:
    """The partitions of all data sets of conversations, each with its screen."""
    benchmark = open_benchmark(ctx.inputs["corpus"])
    try:
        partitions = [one for source in sources for one in partitions_of(source)]
        return _screened(ctx, partitions, benchmark)
    except SourceError as error:
        raise StageError(str(error)) from error


def _screened(ctx: StageContext, partitions: Sequence[Partition], benchmark: Benchmark) -> list[Partition]:
    """The partitions, each with a screen that says which conversations to leave out.

    This reads all data sets before any shard is written. A resumed stage does it again, since their content may have
    changed.
    """
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


def _inputs(ctx: StageContext) -> tuple[Corpus, Catalogue, Tokenizer]:
    corpus = open_corpus(ctx.inputs["corpus"])
    return corpus, corpus.catalogue(), open_tokenizer(ctx.inputs["tokenizer"])


def _build(
    ctx: StageContext,
    kind: Kind,
    tokenizer: Tokenizer,
    shards: Sequence[DialogueShard],
    rows: InteractionRows | ConversationRows,
    config: InteractionShardsConfig | ConversationShardsConfig,
) -> dict[str, Any]:
    """Write the missing shards, then report and index, and show the data card. Returns the stage's metrics."""
    done, speed = run_manifest(ctx, shards, DialogueShardWriter(ctx.output_uri, kind, rows))
    report = total((one.report for one in done), PARTS)
    write_json(f"{ctx.output_uri}/report.json", report)
    index = write_shard_index(ctx, kind, config.length, tokenizer, done)
    told = report_sources(ctx, shards, config.sources)
    show_dialogue_card(ctx, index, report, speed)
    return shard_metrics(index, speed, f"{index.rows('train'):,} {kind}") | told
