"""THE DAG: from raw text to a chat that remembers."""

from __future__ import annotations

from jobs.configs.training import ConversationTrainingConfig
from pipelines.config import PipelineConfig
from pipelines.stage import Stage

# One screen: a stage is a line or two, whatever a formatter thinks.
# fmt: off

def curriculum(c: PipelineConfig) -> list[Stage]:
    docs = Stage("corpus", "fetch and clean English and Polish text", "jobs.corpus.stage:build_corpus", c.corpus,
                 deterministic=True)
    tok = Stage("tokenizer", "train one vocabulary for both languages", "jobs.tokenizer:train_tokenizer",
                c.tokenizer, {"corpus": docs}, deterministic=True)
    data = {"corpus": docs, "tokenizer": tok}
    text = Stage("text-shards", "pack documents into rows of tokens", "jobs.shards.stage:build_text_shards",
                 c.text, data, deterministic=True)
    pairs = Stage("interaction-shards", "single queries with answers", "jobs.shards.stage:build_interaction_shards",
                  c.interactions, data, deterministic=True)
    talks = Stage("conversation-shards", "conversations that need memory",
                  "jobs.shards.stage:build_conversation_shards", c.conversations, data, deterministic=True)
    longer = Stage("episode-shards", "longer conversations than those of supervised training",
                   "jobs.shards.stage:build_conversation_shards", c.episodes, data, deterministic=True)
    pre = Stage("pretrain", "joint language modelling with a leaked context", "jobs.training.pretrain:pretrain",
                c.pretrain, {"shards": text})
    sft = Stage("sft", "joint fine-tuning on interactions", "jobs.training.sft:sft", c.sft,
                {"model": pre, "shards": pairs})
    mem = Stage("memory-pretrain", "teach reading before compressing", "jobs.training.memory_pretrain:memory_pretrain",
                c.memory_pretrain, {"model": sft, "shards": talks, **_rehearsed(text, c.memory_pretrain)})
    smat = Stage("smat", "train through several memory writes", "jobs.training.smat:smat",
                 c.smat, {"model": mem, "shards": talks, **_rehearsed(text, c.smat)})
    mrl = Stage("mrl", "reinforcement learning over whole conversations", "jobs.rl.controller:run_mrl",
                c.mrl, {"model": smat, "shards": longer, "tokenizer": tok})
    base = Stage("baseline", "a stateless decoder of equal active size", "jobs.training.baseline:baseline",
                 c.baseline, {"text": text, "pairs": pairs, "talks": talks, "model": pre})
    eva = Stage("evaluate", "perplexity, recall against controls, latency", "jobs.evaluation.stage:evaluate",
                c.evaluate, {"model": mrl, "baseline": base, "text": text, "shards": talks, "tokenizer": tok})
    exp = Stage("export", "hand-over folder with model card", "jobs.export.stage:export",
                c.export, {"model": mrl, "tokenizer": tok, "evaluation": eva})
    return [docs, tok, text, pairs, talks, longer, pre, sft, mem, smat, mrl, base, eva, exp]


def _rehearsed(text: Stage, config: ConversationTrainingConfig) -> dict[str, Stage]:
    """An input only of a stage that takes rows of text beside its conversations."""
    return {"text": text} if config.text_batch_size else {}
