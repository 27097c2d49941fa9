"""Settings of the tokenizer. All of them are part of the fingerprint."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from jobs.configs.base import Seed
from jobs.configs.texts import MixtureConfig
from tokenization.dialogues.spec import DialogueSpec


class TokenizerConfig(MixtureConfig):
    """One byte-level BPE vocabulary for both languages. It is trained on `document_bytes` bytes of a mixture of
    documents, measured in bytes, and on `dialogues` generated dialogues."""

    vocab_size: Annotated[int, Field(ge=267)]  # control tokens and bytes
    document_bytes: PositiveInt = 4_000_000
    dialogues: PositiveInt = 2_000
    dialogue_plan: DialogueSpec = DialogueSpec()
    seed: Seed = 0
