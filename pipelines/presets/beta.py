"""RxT-Beta as a pipeline, for a cluster and the authors' data sets on the hub."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import DataExecution, Execution, RlExecution, TrainExecution
from jobs.configs.rl import MrlConfig
from jobs.configs.texts import CorpusConfig, TextShardsConfig
from jobs.configs.tokenizer import TokenizerConfig
from jobs.configs.training import (
    BaselinePhase,
    JointLossConfig,
    OptimizerConfig,
    SmatPhase,
)
from pipelines.config import PipelineConfig
from pipelines.presets.shared import published_training
from rxt_model.family import BETA, FAMILY
from tokenization.conversations.data_set import ConversationSource
from tokenization.dialogues.spec import DialogueSpec
from tokenization.records import Language
from tokenization.sources.source import Filter, Source

OWNER = "ReactiveAI"  # the authors' account on the hub
UNSTATED = "see the data set's card"


def _text(subset: str, language: Language, licence: str = UNSTATED, skip: tuple[Filter, ...] = ()) -> Source:
    path = f"{OWNER}/Beta-Pre-Train-Corpus"
    return Source(name=subset, kind="hub", path=path, subset=subset, language=language, licence=licence, skip=skip)


def _conversations(
    dataset: str, adapter: str, subset: str = "", language: Language = "en", licence: str = UNSTATED
) -> ConversationSource:
    return ConversationSource(
        name=f"{dataset}/{subset}" if subset else dataset,
        kind="hub",
        path=f"{OWNER}/{dataset}",
        subset=subset,
        adapter=adapter,
        language=language,
        licence=licence,
    )


# 97 million documents, 445 GB. The licences are those of the original data, if known.
TEXT = (
    _text("fineweb-edu-s100", "en", "ODC-By-1.0"),
    _text("fineweb-edu-2025-26", "en", "ODC-By-1.0"),
    _text("finewiki-en", "en", "CC-BY-SA-4.0 and GFDL"),
    _text("finemath-4plus", "en", skip=("repetition", "symbols")),
    _text("beta-code-short", "en", skip=("repetition", "symbols", "language")),
    _text("fineweb2-hq-pl", "pl", "ODC-By-1.0"),
)
REASONING = tuple(
    _conversations("beta-reasoning", "interactions", subset, licence="Apache-2.0")
    for subset in ("Dolci-Think-SFT-32B", "MathChatSync-reasoning", "wild-chat-reasoning")
)
TOOL_USE = _conversations("hermes-reasoning-tool-use", "interactions")
INTERACTIONS = (
    _conversations("smol-smoltalk-Interaction-SFT", "query_answer"),
    _conversations("cosmopedia-100k-Interaction-SFT", "query_answer", licence="Apache-2.0"),
    *REASONING,
    TOOL_USE,
)
# The schemas of the authors' other data sets are not known to us.
CONVERSATIONS = (
    _conversations("Wild-Chat-SMAT", "first_turn_plus_interactions"),
    _conversations("Wild-Chat-SMAT-pt3", "first_turn_plus_interactions"),
    _conversations("WildChat-Beta", "chat", "instruct-pl", "pl", "ODC-By-1.0"),
    _conversations("Beta-Identity-SMAT", "interactions", "3B-instruct"),
    _conversations("system-chat", "interactions", "instruct-7s"),
    _conversations("system-chat", "interactions", "reasoning-7s"),
    _conversations("Beta-Hybrid-SMAT", "interactions", "full-2-steps"),
    _conversations("Beta-Hybrid-SMAT", "interactions", "full-10-steps"),
    *REASONING,
    TOOL_USE,
)
# Stories, as no other published data set for this stage has 4 or more steps.
EPISODES = tuple(
    _conversations(dataset, "first_turn_plus_interactions", f"steps-{steps}")
    for dataset, lengths in (("TinyStories-MRL", (4, 6, 8)), ("RealStories-Micro-MRL", (4, 6, 12, 16)))
    for steps in lengths
)


def beta() -> PipelineConfig:
    """Run the published curriculum on the published shape and data. We have planned and counted this run, but have
    never trained it.

    Machines: four, each with eight GPUs of 80 GB and 512 GB of memory, and a store of 3 TB.

    Size: `rxt model show beta` counts 2.96 billion parameters, 11.0 GiB in fp32. With gradients and both moments of
    AdamW they need 44 GiB, which is 1.4 GiB of each GPU. `baseline` has 5.85 billion parameters and needs 2.7 GiB of
    each GPU. The rest is for activations. `rxt plan beta` predicts that no stage needs more than half of a GPU.

    Time: `rxt plan beta` predicts about nine days on these machines, and less without expert parallelism. It counts
    sequences at full length. We have measured none of this.

    Experts: the experts of a layer are spread over the eight GPUs of a machine. Four GPUs, one per machine, share an
    expert. Their number must divide the expert's width: 192 here and 404 in `baseline`. With more machines, also
    raise `execution.train.expert_parallel`.

    Start: every worker builds the whole model before it keeps its part. In `baseline` this takes 190 GB per machine,
    and 23.4 GB of each GPU while weights move there.

    `mrl` and `evaluate` run on CPUs only, and are slow. The learner needs at least 60 GB, and each rollout worker
    12 GB. `--until smat` stops before them.

    These parts are published (paper, cards, configurations and examples of the authors):
    - the model, interactions of 8,192 tokens, and the size and languages of the vocabulary,
    - `pretrain` and `sft`: 400 billion tokens of `pretrain` (planned), noise from 0.5 on with masking, batches of 256,
      peak rates of 1e-3 and 2e-4, warm-up and decay,
    - memory: self-supervised training of the memory attention, the order in which parts are unfrozen, and
      conversations that grow,
    - the rewards and weights of IMPO.

    The sequence lengths and rates of the real run are not known. All other numbers are ours.

    Data: we could not look up revisions, so the sources have no `revision`. The revisions of a data set differ much, so
    pin each. Copy `corpus.sources`, `interactions.sources`, `conversations.sources` and `episodes.sources` into a file
    for `--config`, and add the commits of the hub as `revision`. `rxt run beta --dry-run` prints these lists. A list in
    the file replaces the whole list. Gated data sets need a token in `HF_TOKEN`.
    """
    dialogues = DialogueSpec(
        turns=(4, 10), facts=(1, 6), distances=(1, 2, 4, 8), unknown=0.2, unknown_kinds=(1.0, 1.0, 1.0), joins=0.1
    )
    length = BETA.length
    return PipelineConfig(
        corpus=CorpusConfig(sources=TEXT, validation_fraction=5e-4, test_fraction=5e-4),
        # half of its text is Polish, although Polish is less than a tenth of the corpus
        tokenizer=TokenizerConfig(
            vocab_size=FAMILY["beta"].config.vocab_size,
            document_bytes=3_000_000_000,
            dialogues=24_000,
            dialogue_plan=dialogues,
        ),
        # the shards contain each language once; `pretrain` reads the shards several times
        text=TextShardsConfig(length=length, shards=2_048, most_passes={"en": 1, "pl": 1}),
        interactions=InteractionShardsConfig(
            length=length, shards=256, generated=100_000, documents=0, dialogues=dialogues, sources=INTERACTIONS
        ),
        conversations=ConversationShardsConfig(
            length=length, shards=256, train=20_000, dialogues=dialogues, sources=CONVERSATIONS, longest=10
        ),
        # 4 to 16 steps after the first interaction
        episodes=ConversationShardsConfig(
            length=length,
            shards=16,
            train=4_000,
            validation=200,
            test=1,
            dialogues=replace(dialogues, turns=(9, 17), facts=(3, 8)),
            sources=EPISODES,
            longest=17,
        ),
        **published_training(
            BETA,
            JointLossConfig(noise=(0.5, 1.0), masking=(0.15, 0.5)),
            text=BaselinePhase(steps=190_735, batch_size=256),  # 400e9 tokens, about four passes over the shards
            interactions=BaselinePhase(steps=50_000, batch_size=256),  # about 8 epochs
            memory=BaselinePhase(steps=10_000, batch_size=32),  # about an epoch
            conversations=BaselinePhase(steps=40_000, batch_size=32),
            phases=(
                SmatPhase(until=4_000, turns=2, train=("decoder",)),
                SmatPhase(until=10_000, turns=4, train=("decoder", "memory")),
                SmatPhase(until=18_000, turns=6, train=("decoder", "memory", "encoder")),
                SmatPhase(until=28_000, turns=8, train=("decoder", "memory", "encoder")),
                SmatPhase(until=40_000, turns=10, train=("decoder", "memory", "encoder")),
            ),
        ),
        mrl=MrlConfig(
            iterations=30,
            episodes=64,
            samples=1,
            turns=(5, 17),
            optimizer=OptimizerConfig(lr=1e-4, warmup_steps=0),
        ),
        # a batch needs much memory: the states of all encoder layers in fp32
        evaluate=EvaluateConfig(questions=1_000, text_rows=64, batch_size=8),
        export=ExportConfig(name="rxt-beta"),
        execution=Execution(
            device="cuda",
            data=DataExecution(parallelism=64),
            train=TrainExecution(
                workers=32,
                threads=8,
                expert_parallel=8,
                shard="block",
                activation_checkpointing=True,
                checkpoint_every_steps=1_000,
            ),
            rl=RlExecution(rollout_workers=8, threads=16, gpu_share=1),
        ),
    )
