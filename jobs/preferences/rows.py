"""Make rows of conversations with accepted and rejected answers, from the generator and from data sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from jobs.preferences.batches import REJECTED, REJECTED_MASK
from jobs.shards.dialogue_rows import ConversationRows
from tokenization.conversations.template import EncodedInteraction, encode_interactions
from tokenization.dialogues.rejected import with_rejected
from tokenization.records import Conversation, Language, ShardRow, Split


@dataclass(frozen=True)
class PreferenceRows(ConversationRows):
    """As `ConversationRows`; every interaction has a rejected interaction beside it, which is empty where there is
    nothing to choose."""

    def _pieces(
        self, conversations: Iterable[Conversation], windowed: Collection[str] = ()
    ) -> Iterator[tuple[Conversation, list[EncodedInteraction]]]:
        cut = chain.from_iterable(_cut(conversation, self.longest) for conversation in conversations)
        return super()._pieces(cut)

    def _generate(self, split: Split, language: Language, index: int) -> Conversation:
        return with_rejected(super()._generate(split, language, index))

    def row(self, conversation: Conversation, turns: list[EncodedInteraction]) -> ShardRow:
        row = super().row(conversation, turns)
        others = (other for other in conversation.rejected if other is not None)
        encoded = encode_interactions(self.tokenizer, list(others), self.length)
        for interaction, other in zip(row["interactions"], conversation.rejected, strict=True):
            interaction |= _beside(interaction, None if other is None else next(encoded), self.length)
        return row


def _beside(accepted: ShardRow, rejected: EncodedInteraction | None, length: int) -> ShardRow:
    """The rejected answer after the query of the accepted one, which may be cut elsewhere; nothing if both are the
    same after cutting."""
    if rejected is None:
        return {REJECTED: [], REJECTED_MASK: []}
    start = accepted["answer_start"]
    ids = [*accepted["input_ids"][:start], *rejected.input_ids[rejected.answer_start :]][:length]
    mask = [*[False] * start, *rejected.loss_mask[rejected.answer_start :]][:length]
    same = ids == accepted["input_ids"]
    return {REJECTED: [] if same else ids, REJECTED_MASK: [] if same else mask}


def _cut(conversation: Conversation, longest: int) -> Iterator[Conversation]:
    """Pieces of at most `longest` interactions, each after the system prompt, if there is one. `ConversationRows` would
    cut the accepted answers alone."""
    prompt = int(conversation.interactions[0].is_system_prompt)
    turns = list(zip(conversation.interactions, conversation.rejected, strict=True))
    for number, start in enumerate(range(prompt, len(turns), longest)):
        interactions, rejected = zip(*turns[:prompt], *turns[start : start + longest], strict=True)
        name = f"{conversation.id}.{number}" if number else conversation.id
        yield replace(conversation, id=name, interactions=interactions, rejected=rejected)
