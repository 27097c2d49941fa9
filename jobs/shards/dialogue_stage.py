"""Stages `interaction-shards`, `conversation-shards` and `episode-shards` write generated and real dialogues."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.shards.dialogue_card import show_dialogue_card
from jobs.shards.dialogue_counts import PARTS, cells, cut_share
from jobs.shards.dialogue_manifest import DialogueShard, conversation_shards, interaction_shards
from jobs.shards.dialogue_rows import ConversationRows, DialogueShardWriter, InteractionRows, choose_distractors
from jobs.shards.dialogue_sources import report_sources
from jobs.shards.dialogue_survey import surveyed_partitions
from jobs.shards.job import run_manifest, shard_metrics, total, write_shard_index
from jobs.stage.context import Look, StageContext, StageError
from jobs.stage.corpus_input import open_corpus
from jobs.stage.inputs import open_tokenizer
from jobs.stage.substitutes import substitutions
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.documents import DIALOGUES
from tokenization.documents import Catalogue, Corpus
from tokenization.files.storage import write_json
from tokenization.mixture import MixtureError
from tokenization.shards.schema import Kind


def build_interaction_shards(ctx: StageContext, config: InteractionShardsConfig) -> dict[str, Any]:
    """Write shards of single interactions, real and generated. Raises StageError for unusable inputs."""
    with_choppa = uses_choppa(ctx, config.without)
    corpus, catalogue, tokenizer = dialogue_inputs(ctx)
    partitions = surveyed_partitions(ctx, config.sources)
    rows = InteractionRows(corpus, tokenizer, config.length, config.dialogues, config.seed, with_choppa)
    try:
        shards = interaction_shards(catalogue, config, partitions)
    except MixtureError as error:
        raise StageError(f"interactions: {error}", Look(ctx.stage)) from error
    return write_dialogue_shards(ctx, "interactions", tokenizer, shards, rows, config)


def build_conversation_shards(ctx: StageContext, config: ConversationShardsConfig) -> dict[str, Any]:
    """Write shards of real conversations and of generated ones with probes. Each split's generated conversations have
    values of their own. Raises StageError for unusable inputs."""
    with_choppa = uses_choppa(ctx, config.without)
    corpus, catalogue, tokenizer = dialogue_inputs(ctx)
    dialogue_rows = catalogue.rows_of(DIALOGUES) if config.documents else np.empty(0, dtype=np.int64)
    if config.documents and not len(dialogue_rows):
        raise StageError(
            f"documents = {config.documents}: the corpus has no source with dialogues, such as {', '.join(DIALOGUES)}"
        )
    partitions = surveyed_partitions(ctx, config.sources)
    rows = ConversationRows(
        corpus,
        tokenizer,
        config.length,
        config.dialogues,
        config.longer,
        config.seed,
        choose_distractors(corpus, catalogue, tokenizer, config.length, with_choppa),
        config.longest,
    )
    shards = conversation_shards(config, catalogue, dialogue_rows, partitions)
    return write_dialogue_shards(ctx, "conversations", tokenizer, shards, rows, config)


def uses_choppa(ctx: StageContext, without: Collection[str]) -> bool:
    """Whether a stage cuts sentences by choppa-srx, which is told if not. Raises StageError if it cannot."""
    for line in substitutions(ctx.stage.replace("-shards", "s"), ("choppa-srx",), without):
        ctx.reporter.message(line)
    return "choppa-srx" not in without


def dialogue_inputs(ctx: StageContext) -> tuple[Corpus, Catalogue, Tokenizer]:
    """The corpus, its catalogue and the tokenizer of a stage. Raises StageError if one is unusable."""
    corpus = open_corpus(ctx.inputs["corpus"])
    return corpus, corpus.catalogue(), open_tokenizer(ctx.inputs["tokenizer"])


def write_dialogue_shards(
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
    told = report_sources(ctx, shards, config)
    show_dialogue_card(ctx, index, report, speed, tokenizer)
    share = cut_share(counts for _, _, _, counts in cells(report))
    result = f"{index.rows('train'):,} {kind}" + (f", {share:.1%} of tokens cut" if share else "")
    return shard_metrics(index, speed, result) | {"cut_share": round(share, 6)} | told
