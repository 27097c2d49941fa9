"""Stage `text-shards` packs the documents of the corpus into rows of tokens."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jobs.configs.texts import TextShardsConfig
from jobs.shards.job import Report, run_manifest, shard_metrics, total, write_shard_index
from jobs.shards.text_card import show_card
from jobs.shards.text_counts import PARTS, fill, per_source
from jobs.shards.text_manifest import take_stock, text_shards
from jobs.shards.text_rows import TextShardWriter, sample_bytes_per_token
from jobs.stage.context import Look, StageContext, StageError
from jobs.stage.corpus_input import open_corpus
from jobs.stage.inputs import open_tokenizer
from tokenization.files.storage import write_json
from tokenization.mixture import MixtureError


def build_text_shards(ctx: StageContext, config: TextShardsConfig) -> dict[str, Any]:
    """Write shards of rows packed from documents, and report.json about them. Raises StageError for unusable inputs."""
    stocks = take_stock(open_corpus(ctx.inputs["corpus"]))
    tokenizer = open_tokenizer(ctx.inputs["tokenizer"])
    try:
        shards = text_shards(stocks, config, sample_bytes_per_token(stocks, tokenizer))
    except MixtureError as error:
        raise StageError(f"text: {error}", Look(ctx.stage)) from error
    done, speed = run_manifest(ctx, shards, TextShardWriter(ctx.output_uri, tokenizer, config.length))
    report = total((one.report for one in done), PARTS)
    report["passes"] = {f"{source}/{language}": often for (source, language), often in shards[0].passes.items()}
    write_json(f"{ctx.output_uri}/report.json", report)
    index = write_shard_index(ctx, "text", config.length, tokenizer, done)
    show_card(ctx, report, tokenizer, speed, [stock.group for stock in stocks])
    metrics = shard_metrics(index, speed, f"{_short(index.tokens('train'))} tokens") | {"fill": round(fill(report), 4)}
    if speed.cpu_seconds:
        metrics["tokens_per_cpu_second"] = round(speed.tokens / speed.cpu_seconds)
    return metrics | _by_source(report)


def _by_source(report: Report) -> dict[str, int]:
    """Metrics of training tokens by source and by language."""
    languages: Counter[str] = Counter()
    metrics = {}
    for (source, language), counts in per_source(report).items():
        metrics[f"tokens/source/{source}"] = metrics.get(f"tokens/source/{source}", 0) + counts["trained_tokens"]
        languages[f"tokens/language/{language}"] += counts["trained_tokens"]
    return metrics | languages


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"
