"""Stages: Arrow shards of text, interactions and conversations, each a Ray Data job over its shard manifest.

A shard is recorded when it is finished, and built again unless its file still has the recorded digest. No text goes
through Ray: a task reads its own rows of the corpus and writes its own file.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import fsspec

from jobs.context import Interrupted, Rerun, StageContext, StageError
from jobs.data_configs import (
    ConversationShardsConfig,
    DialogueSourceConfig,
    InteractionShardsConfig,
    TextShardsConfig,
)
from jobs.dialogue_manifest import ConversationShard, InteractionShard, conversation_shards, interaction_shards
from jobs.dialogue_report import add_up
from jobs.dialogue_rows import ConversationRows, InteractionRows, choose_distractors
from jobs.inputs import open_tokenizer
from jobs.ray_setup import ensure_ray
from jobs.shard_manifest import TextShard, text_shards
from jobs.shard_rows import Row, TextRows
from tokenization.adapters.documents import DIALOGUES
from tokenization.adapters.sources import DialogueSource, DialogueSourceError, Part, parts_of
from tokenization.dialogues import DialogueSpec
from tokenization.documents import Catalogue, Corpus, CorpusError
from tokenization.records import LANGUAGES, SPLITS, Language
from tokenization.shards import (
    Kind,
    ShardIndex,
    ShardRecord,
    remove_leftovers,
    sha256_of,
    write_index,
    write_json,
    write_shard,
)
from tokenization.tokenizer import Tokenizer

Shard = TextShard | InteractionShard | ConversationShard

SAMPLE_DOCUMENTS = 200  # per language, to estimate bytes per token
SECONDS_WITHOUT_PROGRESS = 300


def build_text_shards(ctx: StageContext, config: TextShardsConfig) -> dict[str, Any]:
    """Stage: rows of tokens packed from documents."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    shards = text_shards(catalogue, config, _bytes_per_token(corpus, catalogue, tokenizer))
    rows = TextRows(ctx.inputs["corpus"].uri, tokenizer, config.length)
    index = _build(ctx, "text", config.length, tokenizer, shards, rows)
    passes = {f"passes/{language}": round(passes, 3) for language, passes in shards[0].passes.items()}
    return _metrics(index, f"{_short(index.tokens('train'))} tokens") | passes


def build_interaction_shards(ctx: StageContext, config: InteractionShardsConfig) -> dict[str, Any]:
    """Stage: single interactions, real and generated."""
    _, catalogue, tokenizer = _inputs(ctx)
    spec = DialogueSpec(**config.dialogues.model_dump())
    parts = _parts(config.sources)
    rows = InteractionRows(ctx.inputs["corpus"].uri, ctx.output_uri, tokenizer, config.length, spec, config.seed)
    shards = interaction_shards(catalogue, config, parts)
    index = _build(ctx, "interactions", config.length, tokenizer, shards, rows)
    return _metrics(index, f"{index.rows('train'):,} interactions") | _told(ctx, shards, config.sources)


def build_conversation_shards(ctx: StageContext, config: ConversationShardsConfig) -> dict[str, Any]:
    """Stage: generated conversations with probes, each split with its own values, and real ones."""
    corpus, catalogue, tokenizer = _inputs(ctx)
    spec = DialogueSpec(**config.dialogues.model_dump())
    parts = _parts(config.sources)
    rows = ConversationRows(
        ctx.inputs["corpus"].uri,
        ctx.output_uri,
        tokenizer,
        config.length,
        spec,
        config.seed,
        choose_distractors(corpus, catalogue, tokenizer, config.length),
        config.longest,
    )
    dialogues = corpus.rows_of(DIALOGUES) if config.documents else ()
    if config.documents and not len(dialogues):
        raise StageError(f"documents = {config.documents}: the corpus has no dialogues, as {', '.join(DIALOGUES)} are")
    shards = conversation_shards(config, catalogue, dialogues, parts)
    index = _build(ctx, "conversations", config.length, tokenizer, shards, rows)
    return _metrics(index, f"{index.rows('train'):,} conversations") | _told(ctx, shards, config.sources)


def _parts(configs: Sequence[DialogueSourceConfig]) -> list[Part]:
    """What there is to read of all data sets of dialogues."""
    try:
        return [part for config in configs for part in parts_of(DialogueSource(**config.model_dump()))]
    except DialogueSourceError as error:
        raise StageError(str(error)) from error


def _told(ctx: StageContext, shards: Sequence[Shard], configs: Sequence[DialogueSourceConfig]) -> dict[str, float]:
    """Counts of the data sets as metrics; who left rows out says so. Raises StageError for one that gave nothing."""
    metrics = {}
    sources = [DialogueSource(**config.model_dump()) for config in configs]
    for source in add_up(ctx.output_uri, shards, sources) if sources else ():
        name, rejected = source["name"], source["rejected"]
        found = sum(counts["conversations"] for counts in source["splits"].values())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.most_common())
        if not found:
            raise StageError(f"source {name}: {source['path']} holds no conversation; rejected: {reasons or 'nothing'}")
        if rejected:
            ctx.reporter.message(f"source {name}: left out {rejected.total():,} ({reasons}): see quarantine/")
        metrics |= {f"sources/{name}/conversations": found, f"sources/{name}/rejected": rejected.total()}
    return metrics


def _inputs(ctx: StageContext) -> tuple[Corpus, Catalogue, Tokenizer]:
    try:
        corpus = Corpus(ctx.inputs["corpus"].uri)
        catalogue = corpus.catalogue()
    except CorpusError as error:
        raise StageError(str(error), Rerun("corpus")) from error
    return corpus, catalogue, open_tokenizer(ctx.inputs["tokenizer"])


def _bytes_per_token(corpus: Corpus, catalogue: Catalogue, tokenizer: Tokenizer) -> dict[Language, float]:
    """From a sample; 1 for a language without documents."""
    ratios = {}
    for language in LANGUAGES:
        rows = catalogue.select("train", language)[:SAMPLE_DOCUMENTS]
        texts = [document.text for document in corpus.read(rows)]
        tokens = sum(map(len, tokenizer.encode_batch(texts)))
        ratios[language] = sum(len(text.encode()) for text in texts) / tokens if tokens else 1.0
    return ratios


def _build(
    ctx: StageContext,
    kind: Kind,
    length: int,
    tokenizer: Tokenizer,
    shards: Sequence[Shard],
    rows: Callable[[Shard], Iterator[Row]],
) -> ShardIndex:
    """Writes what is missing, then the index."""
    records = {shard.file: record for shard in shards if (record := _finished(ctx.output_uri, shard))}
    missing = [shard for shard in shards if shard.file not in records]
    if records:
        kept = f"{len(records)} of {len(shards)} shards were finished before"
        ctx.reporter.message(f"resumed at step {len(records)}: {kept}")
    for record in _write_all(ctx, kind, missing, rows):
        records[record.file] = record
        ctx.reporter.progress(len(records), len(shards), f"{record.file} {record.tokens:,} tokens")
        if ctx.should_stop():
            raise Interrupted(f"{len(records)} of {len(shards)} shards are finished")
    remove_leftovers(ctx.output_uri)
    files = tuple(records[shard.file] for shard in shards)
    index = ShardIndex(kind, length, tokenizer.digest, tokenizer.vocab_size, files)
    write_index(ctx.output_uri, index)
    return index


def _finished(uri: str, shard: Shard) -> ShardRecord | None:
    """The record of a finished shard, if its file is what was recorded. Existence alone proves nothing."""
    try:
        with fsspec.open(_record_url(uri, shard.file), "rb") as file:
            record = ShardRecord(**json.load(file))
        return record if sha256_of(f"{uri}/{shard.file}") == record.sha256 else None
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write_all(
    ctx: StageContext, kind: Kind, shards: Sequence[Shard], rows: Callable[[Shard], Iterator[Row]]
) -> Iterator[ShardRecord]:
    """Records in the order in which shards are finished."""
    if not shards:
        return
    ensure_ray(ctx.execution)
    import ray.data  # after ensure_ray, which sets what Ray reads on import
    from ray.exceptions import RayTaskError

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = SECONDS_WITHOUT_PROGRESS
    _quieten(logging.getLogger("ray.data"))
    # One block per shard from items: file readers of Ray Data ignore block counts and can hang on a busy machine.
    numbers = ray.data.from_items([{"shard": n} for n in range(len(shards))], override_num_blocks=len(shards))
    write = functools.partial(_write, uri=ctx.output_uri, kind=kind, shards=shards, rows=rows)
    workers = ray.data.TaskPoolStrategy(size=ctx.execution.data.parallelism)
    try:
        for row in numbers.map_batches(write, batch_size=1, compute=workers).iter_rows():
            yield ShardRecord(**row)
    except RayTaskError as error:
        raise StageError(f"writing shards of {kind} to {ctx.output_uri} failed: {_root_cause(error)}") from error


def _write(
    batch: dict[str, Any], uri: str, kind: Kind, shards: Sequence[Shard], rows: Callable[[Shard], Iterator[Row]]
) -> dict[str, list]:
    """The task: one shard, then its record."""
    shard = shards[int(batch["shard"][0])]
    record = asdict(write_shard(f"{uri}/{shard.file}", kind, rows(shard), shard.split))
    write_json(_record_url(uri, shard.file), record)
    return {name: [value] for name, value in record.items()}


def _quieten(logger: logging.Logger) -> None:
    """Its own log file keeps everything; the console is for our lines."""
    for handler in logger.handlers:
        if handler.name == "console":
            handler.setLevel(logging.CRITICAL)


def _record_url(uri: str, file: str) -> str:
    return f"{uri}/done/{file}.json"


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _metrics(index: ShardIndex, result: str) -> dict[str, Any]:
    counts = {f"rows/{split}": index.rows(split) for split in SPLITS}
    return counts | {f"tokens/{split}": index.tokens(split) for split in SPLITS} | {"result": result}


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"
