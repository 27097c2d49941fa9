"""Stage `preference-shards` writes conversations with accepted and rejected answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.configs.preferences import PreferenceShardsConfig
from jobs.preferences.rows import PreferenceRows
from jobs.shards.dialogue_manifest import conversation_shards
from jobs.shards.dialogue_rows import choose_distractors
from jobs.shards.dialogue_stage import dialogue_inputs, uses_choppa, write_dialogue_shards
from jobs.shards.dialogue_survey import surveyed_partitions
from jobs.stage.context import StageContext, StageError
from tokenization.conversations.sources import Partition

ADAPTER = "preference_pairs"


def build_preference_shards(ctx: StageContext, config: PreferenceShardsConfig) -> dict[str, Any]:
    """Write shards of generated conversations with questions, and of those of data sets, in which an answer may have a
    rejected one beside it. Raises StageError for unusable inputs, and for a data set without rejected answers."""
    with_choppa = uses_choppa(ctx, config.without)
    corpus, catalogue, tokenizer = dialogue_inputs(ctx)
    partitions = surveyed_partitions(ctx, config.sources)
    require_preferences(partitions)
    distractors = choose_distractors(corpus, catalogue, tokenizer, config.length, with_choppa)
    rows = PreferenceRows(
        corpus, tokenizer, config.length, config.dialogues, config.longer, config.seed, distractors, config.longest
    )
    shards = conversation_shards(config, catalogue, (), partitions)
    return write_dialogue_shards(ctx, "preferences", tokenizer, shards, rows, config)


def require_preferences(partitions: Sequence[Partition]) -> None:
    """Raise StageError for a data set whose schema has no rejected answers."""
    for source in dict.fromkeys(partition.source for partition in partitions):
        if source.adapter != ADAPTER:
            raise StageError(
                f"source {source.name}: its rows have the schema {source.adapter}, which has no rejected answers; "
                f"preferences are rows of `interactions` with `accepted` and `rejected` ({ADAPTER})"
            )
