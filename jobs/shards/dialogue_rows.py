"""What stands in a shard of interactions or conversations: generated, from the corpus, from data sets.

The objects travel to the workers; each row is a pure function of them and of the shard, so that the number of workers
changes no byte. The tokenizer survives pickling (its content twin is rebuilt from its JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, zip_longest
from typing import Any, Protocol

from jobs.shards.dialogue_counts import DialogueCounts
from jobs.shards.dialogue_manifest import ConversationShard, DialogueShard, InteractionShard, InteractionShare
from jobs.shards.dialogue_sources import SourceReport
from jobs.shards.job import Finished
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.documents import conversation_of, interactions_of
from tokenization.conversations.template import EncodedInteraction, encode_interactions
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.documents import Catalogue, Corpus
from tokenization.records import LANGUAGES, SPLITS, Conversation, Document, Interaction, Language, ShardRow, Split
from tokenization.shards.schema import Kind
from tokenization.shards.writer import write_shard

Distractors = Mapping[tuple[Split, Language], tuple[Interaction, ...]]

GENERATED = "dialogues"  # the source that generated conversations name as theirs
DISTRACTORS = 300  # real interactions per language and split that conversations draw small talk from
ENCODED_AT_ONCE = 128  # conversations


@dataclass(frozen=True)
class InteractionRows:
    """Turns of generated dialogues, interactions from documents, and those of data sets one by one."""

    corpus: Corpus
    tokenizer: Tokenizer
    length: int
    dialogues: DialogueSpec
    seed: int

    def __call__(self, shard: InteractionShard, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]:
        for share in shard.shares:
            generated = islice(self._generated(shard.split, share), share.generated)
            for encoded in encode_interactions(self.tokenizer, list(generated), self.length):
                counts.add(GENERATED, share.language, [encoded])
                yield _interaction_row(encoded, share.language)
            if share.rows:
                limit = 1 + 2 * share.real // len(share.rows)
                found = real_interactions(self.corpus.read(share.rows), self.tokenizer, self.length, limit)
                for source, _, encoded in islice(found, share.real):
                    counts.add(source, share.language, [encoded])
                    yield _interaction_row(encoded, share.language)
        for conversation, turns in _encode(report.read(), self.tokenizer, self.length):
            report.count(conversation, turns)
            for turn in turns:
                if any(turn.loss_mask):  # in a system prompt there is nothing to learn
                    counts.add(conversation.source, conversation.language, [turn])
                    yield _interaction_row(turn, conversation.language)

    def _generated(self, split: Split, share: InteractionShare) -> Iterator[Interaction]:
        """Turns of generated dialogues. Questions about memory are among them: joint training leaks the interaction
        itself as memory, and so they are where reading is first learned."""
        # every dialogue has a turn, so as many dialogues as interactions are enough
        for index in range(share.dialogue, share.dialogue + share.generated):
            yield from generate(self.dialogues, share.language, split, self.seed, index).interactions


@dataclass(frozen=True)
class ConversationRows:
    """Generated dialogues with what is asked about memory; dialogues of the corpus and of data sets, in pieces of at
    most `longest` interactions."""

    corpus: Corpus
    tokenizer: Tokenizer
    length: int
    dialogues: DialogueSpec
    seed: int
    distractors: Distractors
    longest: int

    def __call__(self, shard: ConversationShard, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]:
        numbers = range(shard.start, shard.stop)
        generated = (self._generate(shard.split, language, n) for n in numbers for language in LANGUAGES)
        documents = map(conversation_of, self.corpus.read(shard.rows))
        real = chain.from_iterable(pieces(conversation, self.longest) for conversation in documents)
        for conversation, turns in _encode(chain(generated, real), self.tokenizer, self.length):
            counts.add(conversation.source, conversation.language, turns)
            yield _conversation_row(conversation, turns)
        told = chain.from_iterable(pieces(talk, self.longest) for talk in report.read())
        for conversation, turns in _encode(told, self.tokenizer, self.length):
            report.count(conversation, turns)
            counts.add(conversation.source, conversation.language, turns)
            yield _conversation_row(conversation, turns)

    def _generate(self, split: Split, language: Language, index: int) -> Conversation:
        return generate(self.dialogues, language, split, self.seed, index, self.distractors[split, language])


class DialogueRows(Protocol):
    """Makes the rows of a shard of its own kind."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def length(self) -> int: ...

    def __call__(self, shard: Any, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]: ...


@dataclass(frozen=True)
class DialogueShardWriter:
    """The rows of a shard as one file below `uri`, and what came of the data sets that it read."""

    uri: str
    kind: Kind
    rows: DialogueRows

    def __call__(self, shard: DialogueShard) -> Finished:
        report, counts = SourceReport(shard.split, shard.partitions), DialogueCounts(shard.split, self.rows.length)
        record = write_shard(f"{self.uri}/{shard.file}", self.kind, self.rows(shard, report, counts), shard.split)
        report.write(self.uri, shard.file)
        gone = {"gone": report.gone} if report.gone else {}
        return Finished((record,), counts.report | gone, self.rows.tokenizer.slow)


def pieces(conversation: Conversation, longest: int) -> Iterator[Conversation]:
    """A conversation in runs of at most `longest` interactions; a system prompt stands before each and does not count.
    Names of all but the first are told apart by a number."""
    turns = conversation.interactions
    prompt = turns[:1] if turns and turns[0].is_system_prompt else ()
    turns = turns[len(prompt) :]
    for number, start in enumerate(range(0, len(turns), longest)):
        name = f"{conversation.id}.{number}" if number else conversation.id
        yield replace(conversation, id=name, interactions=prompt + turns[start : start + longest])


def real_interactions(
    documents: Iterable[Document], tokenizer: Tokenizer, length: int, limit: int
) -> Iterator[tuple[str, Interaction, EncodedInteraction]]:
    """Source and interaction of those that need no cutting to stay below `length` tokens: the first of each document,
    then the second of each, up to `limit`."""
    rounds = zip_longest(*(list(_fitting(document, tokenizer, length, limit)) for document in documents))
    return (found for found in chain.from_iterable(rounds) if found)


def choose_distractors(corpus: Corpus, catalogue: Catalogue, tokenizer: Tokenizer, length: int) -> Distractors:
    """Short real interactions per split and language: at most half of `length`, so that they lengthen no batch."""
    chosen = {}
    for split in SPLITS:
        for language in LANGUAGES:
            rows = catalogue.select(split, language)[: 3 * DISTRACTORS]
            found = real_interactions(corpus.read(rows), tokenizer, length // 2, limit=4)
            chosen[split, language] = tuple(interaction for _, interaction, _ in islice(found, DISTRACTORS))
    return chosen


def _fitting(
    document: Document, tokenizer: Tokenizer, length: int, limit: int
) -> Iterator[tuple[str, Interaction, EncodedInteraction]]:
    candidates = list(islice(interactions_of(document), 4 * limit))
    encoded = encode_interactions(tokenizer, candidates, length)
    pairs = zip(candidates, encoded, strict=True)
    return islice(((document.source, one, ids) for one, ids in pairs if len(ids.input_ids) < length), limit)


def _encode(
    conversations: Iterable[Conversation], tokenizer: Tokenizer, length: int
) -> Iterator[tuple[Conversation, list[EncodedInteraction]]]:
    """Conversations with their interactions as ids, tokenized many at once."""
    conversations = iter(conversations)
    while chunk := list(islice(conversations, ENCODED_AT_ONCE)):
        turns = [turn for conversation in chunk for turn in conversation.interactions]
        encoded = encode_interactions(tokenizer, turns, length)
        for conversation in chunk:
            yield conversation, list(islice(encoded, len(conversation.interactions)))


def _conversation_row(conversation: Conversation, turns: list[EncodedInteraction]) -> ShardRow:
    return {
        "conversation_id": conversation.id,
        "interactions": [_interaction_row(turn, conversation.language) for turn in turns],
        "probes": [asdict(probe) for probe in conversation.probes],
    }


def _interaction_row(encoded: EncodedInteraction, language: Language) -> ShardRow:
    return {
        "input_ids": encoded.input_ids,
        "loss_mask": encoded.loss_mask,
        "answer_start": encoded.answer_start,
        "language": LANGUAGES.index(language),
    }
