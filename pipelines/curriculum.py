"""THE DAG, from raw text to a chat that remembers."""

from __future__ import annotations

from jobs.configs.training import ConversationTrainingConfig
from pipelines.config import PipelineConfig
from pipelines.dag import Dag, LeftOut, Training
from pipelines.stage import Stage

# One screen: a stage is a line or two, whatever a formatter thinks.
# fmt: off

def curriculum(c: PipelineConfig) -> list[Stage]:
    """The stages of a preset, each after those it reads. Those that train stand in the order of `c.curriculum`."""
    dag = Dag(c)
    docs = dag.add("corpus", "fetch and clean English and Polish text", "jobs.corpus.stage:build_corpus", "corpus",
                   deterministic=True, version=12)
    tok = dag.add("tokenizer", "train one vocabulary for both languages", "jobs.tokenizer:train_tokenizer",
                  "tokenizer", {"corpus": docs}, deterministic=True, version=8)
    data = {"corpus": docs, "tokenizer": tok}
    text = dag.add("text-shards", "pack documents into rows of tokens", "jobs.shards.text_stage:build_text_shards",
                   "text", data, deterministic=True, version=2)
    interactions = dag.add("interaction-shards", "single queries with answers",
                           "jobs.shards.dialogue_stage:build_interaction_shards", "interactions", data,
                           deterministic=True, version=17)
    conversations = dag.add("conversation-shards", "conversations that need memory",
                            "jobs.shards.dialogue_stage:build_conversation_shards", "conversations", data,
                            deterministic=True, version=17)
    episodes = dag.add("episode-shards", "longer conversations than those of supervised training",
                       "jobs.shards.dialogue_stage:build_conversation_shards", "episodes", data, deterministic=True,
                       version=17)
    preferences = dag.add("preference-shards", "conversations with accepted and rejected answers",
                          "jobs.preferences.shards:build_preference_shards", "preferences", data, deterministic=True,
                          version=13)
    trained = dag.train(c.curriculum, {
        "pretrain": Training("joint language modelling with a leaked context", "jobs.training.pretrain:pretrain",
                             {"shards": text, "tokenizer": tok}, begins=True, version=11),
        "mlm": Training("the encoder alone, on masked tokens", "jobs.separate.mlm:mlm",
                        {"shards": text, "tokenizer": tok}, begins=True, version=7),
        "lm": Training("the decoder alone, with the embedding of the encoder", "jobs.separate.lm:lm", {"shards": text},
                       version=4),
        "sft": Training("joint fine-tuning on interactions", "jobs.training.sft:sft", {"shards": interactions},
                        version=6),
        "memory-pretrain": Training("teach reading before compressing",
                                    "jobs.training.memory_pretrain:memory_pretrain",
                                    {"shards": conversations, **_rehearsed(text, c.memory_pretrain)}, version=8),
        "smat": Training("train through several memory writes", "jobs.training.smat:smat",
                         {"shards": conversations, **_rehearsed(text, c.smat)}, version=8),
        "mrl": Training("reinforcement learning over whole conversations", "jobs.rl.controller:run_mrl",
                        {"shards": episodes, "tokenizer": tok}, refines=True, version=5),
        "dmpo": Training("preference optimisation with memory", "jobs.preferences.dmpo:dmpo", {"shards": preferences},
                         refines=True, version=4),
    })
    base = dag.add("baseline", "a stateless decoder of equal active size", "jobs.training.baseline:baseline",
                   "baseline",
                   {"text": text, "interactions": interactions, "conversations": conversations, "model": trained[0],
                    "tokenizer": tok}, version=10)
    eva = dag.add("evaluate", "perplexity, recall against controls, latency", "jobs.evaluation.stage:evaluate",
                  "evaluate",
                  {"model": trained[-1], "baseline": base, "text": text, "shards": conversations, "tokenizer": tok,
                   **{f"after-{stage.name}": stage for stage in trained[:-1]}}, version=4)
    dag.add("export", "hand-over folder with model card", "jobs.export.stage:export",
            "export", {"model": trained[-1], "tokenizer": tok, "evaluation": eva})
    return dag.stages


def _rehearsed(text: Stage | LeftOut, config: ConversationTrainingConfig | None) -> dict[str, Stage | LeftOut]:
    """The text shards, for a stage that takes rows of text beside its conversations."""
    return {"text": text} if config is not None and config.text_batch_size else {}
