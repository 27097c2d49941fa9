"""Generated memory dialogues in English and Polish: facts told, changed, asked for, and never told."""

from tokenization.dialogues.plan import DialogueSpec
from tokenization.dialogues.score import chance, score
from tokenization.dialogues.values import SLOT_NAMES, value_table
from tokenization.dialogues.wording import example, generate

__all__ = ["SLOT_NAMES", "DialogueSpec", "chance", "example", "generate", "score", "value_table"]
