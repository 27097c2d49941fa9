"""Stages: Arrow shards of text, interactions and conversations, each a job over its shard manifest."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobs.configs.data import ConversationShardsConfig, DialogueSourceConfig, InteractionShardsConfig, TextShardsConfig
from jobs.shards import dialogue_counts
from jobs.shards.dialogue_card import show_dialogue_card
from jobs.shards.dialogue_counts import DialogueCounts
from jobs.shards.dialogue_manifest import ConversationShard, InteractionShard, conversation_shards, interaction_shards
from jobs.shards.dialogue_rows import ConversationRows, InteractionRows, choose_distractors
from jobs.shards.dialogue_screening import screened
from jobs.shards.dialogue_sources import REPORT, SourceReport, add_up
from jobs.shards.job import Finished, Speed, run_manifest
from jobs.shards.text_card import show_card
from jobs.shards.text_counts import Report, fill, per_source, total
from jobs.shards.text_manifest import take_stock, text_shards
from jobs.shards.text_rows import TextShardWriter, sample_bytes_per_token
from jobs.stage.context import Look, Restart, StageContext, StageError
from jobs.stage.corpus_input import open_benchmark, open_corpus
from jobs.stage.inputs import open_tokenizer
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.documents import DIALOGUES
from tokenization.conversations.sources import DialogueSource, Partition, partitions_of
from tokenization.dialogues.plan import DialogueSpec
from tokenization.documents import Catalogue, Corpus
from tokenization.files.storage import write_json
from tokenization.mixture import MixtureError
from tokenization.records import SPLITS
from tokenization.shards.index import ShardIndex, write_index
from tokenization.shards.schema import Kind
from tokenization.shards.writer import write_shard
from tokenization.sources import SourceError

DialogueShard = InteractionShard | ConversationShard
Rows = InteractionRows | ConversationRows


def build_text_shards(ctx: StageContext, config: TextShardsConfig) -> dict[str, Any]:
    """Stage: rows of tokens packed from documents, and report.json about them."""
    stocks = take_stock(open_corpus(ctx.inputs["corpus"]))
    tokenizer = open_tokenizer(ctx.inputs["tokenizer"])
    try:
        shards = text_shards(stocks, config, sample_bytes_per_token(stocks, tokenizer))
    except MixtureError as error:
        raise StageError(f"text: {error}", Look(ctx.stage)) from error
    done, speed = run_manifest(ctx, shards, TextShardWriter(ctx.output_uri, tokenizer, config.length))
    report = total(one.report for one in done)
    report["passes"] = {f"{source}/{language}": often for (source, language), often in shards[0].passes.items()}
    write_json(f"{ctx.output_uri}/report.json", report)
    index = _write_index(ctx, "text", config.length, tokenizer, done)
    show_card(ctx, report, tokenizer, speed)
    metrics = _metrics(index, speed, f"{_short(index.tokens('train'))} tokens") | {"fill": round(fill(report), 4)}
    if speed.cpu_seconds:
        metrics["tokens_per_cpu_second"] = round(speed.tokens / speed.cpu_seconds)
    return metrics | _by_source(report)


def build_interaction_shards(ctx: StageContext, config: InteractionShardsConfig) -> dict[str, Any]:
    """Stage: single interactions, real and generated."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    spec = DialogueSpec(**config.dialogues.model_dump())
    partitions = _partitions(ctx, config.sources)
    rows = InteractionRows(corpus, tokenizer, config.length, spec, config.seed)
    shards = interaction_shards(catalogue, config, partitions)
    return _build(ctx, "interactions", tokenizer, shards, rows, config)


def build_conversation_shards(ctx: StageContext, config: ConversationShardsConfig) -> dict[str, Any]:
    """Stage: generated conversations with probes, each split with its own values, and real ones."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    dialogues = catalogue.rows_of(DIALOGUES) if config.documents else ()
    if config.documents and not len(dialogues):
        raise StageError(f"documents = {config.documents}: the corpus has no dialogues, as {', '.join(DIALOGUES)} are")
    spec = DialogueSpec(**config.dialogues.model_dump())
    partitions = _partitions(ctx, config.sources)
    rows = ConversationRows(
        corpus,
        tokenizer,
        config.length,
        spec,
        config.seed,
        choose_distractors(corpus, catalogue, tokenizer, config.length),
        config.longest,
    )
    shards = conversation_shards(config, catalogue, dialogues, partitions)
    return _build(ctx, "conversations", tokenizer, shards, rows, config)


def _partitions(ctx: StageContext, configs: Sequence[DialogueSourceConfig]) -> list[Partition]:
    """What there is to read of all data sets of dialogues, and what is left out of it."""
    benchmark = open_benchmark(ctx.inputs["corpus"])
    try:
        sources = [DialogueSource(**config.model_dump()) for config in configs]
        partitions = [one for source in sources for one in partitions_of(source)]
        return screened(ctx, partitions, benchmark)
    except SourceError as error:
        raise StageError(str(error)) from error


def _told(
    ctx: StageContext, shards: Sequence[DialogueShard], configs: Sequence[DialogueSourceConfig]
) -> dict[str, float]:
    """Counts of the data sets as metrics; who left something out says so. Raises StageError for one that holds
    nothing."""
    metrics = {}
    sources = [DialogueSource(**config.model_dump()) for config in configs]
    for source in add_up(ctx.output_uri, shards, sources) if sources else ():
        name, rejected = source["name"], source["rejected"]
        removed = Counter({reason: entry["documents"] for reason, entry in source["removed"].items()})
        found = sum(counts["conversations"] for counts in source["splits"].values())
        if not found and not removed:
            told = _by_reason(rejected) or "nothing"
            raise StageError(f"source {name}: {source['path']} holds no conversation; rejected: {told}")
        for counts, where in ((rejected, "quarantine/"), (removed, REPORT)):
            if counts:
                told = f"left out {counts.total():,} ({_by_reason(counts)}): see {where}"
                ctx.reporter.message(f"source {name}: {told}")
        if gone := source["gone"]:
            ctx.reporter.message(
                f"source {name}: {', '.join(gone)} vanished while it was read; what was read of it is kept. "
                "Once it is back",
                Restart(),
            )
        counts = {"conversations": found, "rejected": rejected.total(), "removed": removed.total()}
        metrics |= {f"sources/{name}/{what}": count for what, count in counts.items()}
    return metrics


def _by_reason(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def _inputs(ctx: StageContext) -> tuple[Corpus, Catalogue, Tokenizer]:
    corpus = open_corpus(ctx.inputs["corpus"])
    return corpus, corpus.catalogue(), open_tokenizer(ctx.inputs["tokenizer"])


def _build(
    ctx: StageContext,
    kind: Kind,
    tokenizer: Tokenizer,
    shards: Sequence[DialogueShard],
    rows: Rows,
    config: InteractionShardsConfig | ConversationShardsConfig,
) -> dict[str, Any]:
    """Writes what is missing, then report and index, and shows the data card. Returns what the stage does."""
    write = functools.partial(_write_rows, uri=ctx.output_uri, kind=kind, rows=rows)
    done, speed = run_manifest(ctx, shards, write)
    report = dialogue_counts.total(one.report for one in done)
    write_json(f"{ctx.output_uri}/report.json", report)
    index = _write_index(ctx, kind, config.length, tokenizer, done)
    told = _told(ctx, shards, config.sources)
    show_dialogue_card(ctx, index, report, speed)
    return _metrics(index, speed, f"{index.rows('train'):,} {kind}") | told


def _write_rows(shard: DialogueShard, uri: str, kind: Kind, rows: Rows) -> Finished:
    report, counts = SourceReport(shard.split, shard.partitions), DialogueCounts(shard.split, rows.length)
    record = write_shard(f"{uri}/{shard.file}", kind, rows(shard, report, counts), shard.split)
    report.write(uri, shard.file)
    gone = {"gone": report.gone} if report.gone else {}
    return Finished((record,), counts.report | gone, rows.tokenizer.slow)


def _write_index(
    ctx: StageContext, kind: Kind, length: int, tokenizer: Tokenizer, done: Sequence[Finished]
) -> ShardIndex:
    files = sorted((record for one in done for record in one.files), key=lambda record: SPLITS.index(record.split))
    index = ShardIndex(kind, length, tokenizer.digest, tokenizer.vocab_size, tuple(files))
    write_index(ctx.output_uri, index)
    return index


def _by_source(report: Report) -> dict[str, int]:
    """Training tokens by source and by language."""
    languages: Counter[str] = Counter()
    metrics = {}
    for (source, language), counts in per_source(report).items():
        metrics[f"tokens/source/{source}"] = metrics.get(f"tokens/source/{source}", 0) + counts["trained_tokens"]
        languages[f"tokens/language/{language}"] += counts["trained_tokens"]
    return metrics | languages


def _metrics(index: ShardIndex, speed: Speed, result: str) -> dict[str, Any]:
    counts = {f"rows/{split}": index.rows(split) for split in SPLITS}
    counts |= {f"tokens/{split}": index.tokens(split) for split in SPLITS}
    return counts | {"slow_shards": speed.slow_shards, "result": result}


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"
