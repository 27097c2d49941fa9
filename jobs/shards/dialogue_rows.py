"""Make the rows of shards of interactions and conversations, from the generator, the corpus and data sets.

The objects here are sent to the workers. Each row is a pure function of them and of the shard, so the number of workers
changes no byte. The tokenizer can be pickled: it rebuilds its content twin from its JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby, islice
from typing import Any, Protocol

from jobs.shards.dialogue_counts import DialogueCounts
from jobs.shards.dialogue_manifest import ConversationShard, DialogueShard, InteractionShard, InteractionShare
from jobs.shards.dialogue_sources import SourceReport
from jobs.shards.job import Finished
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.documents import conversation_of
from tokenization.conversations.pairs import pairs, source_shares
from tokenization.conversations.template import EncodedInteraction, encode_interactions, encode_windows
from tokenization.dialogues.spec import DialogueSpec
from tokenization.dialogues.wording import generate
from tokenization.documents import Catalogue, Corpus
from tokenization.records import LANGUAGES, SPLITS, Conversation, Interaction, Language, ShardRow, Split
from tokenization.shards.provenance import Origin, ProvenanceWriter
from tokenization.shards.schema import Kind
from tokenization.shards.writer import BATCH_ROWS, write_shard

Distractors = Mapping[tuple[Split, Language], tuple[Interaction, ...]]

GENERATED = "dialogues"  # the source name of conversations that are generated from templates
DISTRACTORS = 300  # real interactions per language and split, which serve generated conversations as small talk
ENCODED_AT_ONCE = 128  # conversations
_ORIGIN = "origin"  # of a row, which is no column of the shard


@dataclass(frozen=True)
class InteractionRows:
    """Makes rows of single interactions from generated dialogues, documents and data sets."""

    corpus: Corpus
    tokenizer: Tokenizer
    length: int
    dialogues: DialogueSpec
    seed: int
    with_choppa: bool = True

    def __call__(self, shard: InteractionShard, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]:
        for share in shard.shares:
            generated = list(islice(self._generated(shard.split, share), share.generated))
            turns = encode_interactions(self.tokenizer, [told.interactions[number] for told, number in generated],
                                        self.length)  # fmt: skip
            for (told, number), encoded in zip(generated, turns, strict=True):
                counts.add(told.source, share.language, [encoded])
                yield _with_origin(_interaction_row(encoded, share.language), told.source, told.id, number)
            for pair in pairs(self.corpus, share.real, self.tokenizer, self.length, self.with_choppa):
                counts.add(pair.document.source, share.language, [pair.encoded])
                row = _interaction_row(pair.encoded, share.language)
                yield _with_origin(row, pair.document.source, pair.document.id, pair.number)
        for conversation, turns in _encode(report.read(), self.tokenizer, self.length, _windowed(shard)):
            report.count(conversation, turns)
            for number, turn in enumerate(turns):
                if any(turn.loss_mask):  # a system prompt has nothing to learn
                    counts.add(conversation.source, conversation.language, [turn])
                    row = _interaction_row(turn, conversation.language)
                    yield _with_origin(row, conversation.source, conversation.id, number)

    def _generated(self, split: Split, share: InteractionShare) -> Iterator[tuple[Conversation, int]]:
        """The turns of generated dialogues, questions about memory included, each with its dialogue. In joint training,
        memory holds the interaction itself, so these questions are the first to teach reading."""
        # every dialogue has at least one turn, so no more dialogues than interactions are needed
        for index in range(share.dialogue, share.dialogue + share.generated):
            conversation = generate(self.dialogues, share.language, split, self.seed, index)
            yield from ((conversation, number) for number in range(len(conversation.interactions)))


@dataclass(frozen=True)
class ConversationRows:
    """Makes rows of conversations: generated ones with questions about memory, and those of the corpus and of data
    sets, cut into pieces of at most `longest` interactions."""

    corpus: Corpus
    tokenizer: Tokenizer
    length: int
    dialogues: DialogueSpec
    longer: DialogueSpec | None
    seed: int
    distractors: Distractors
    longest: int

    def __call__(self, shard: ConversationShard, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]:
        numbers = range(shard.start, shard.stop)
        generated = (self._generate(shard.split, language, n) for n in numbers for language in LANGUAGES)
        for conversation, turns in _encode(generated, self.tokenizer, self.length):
            counts.add(conversation.source, conversation.language, turns)
            yield self.row(conversation, turns)
        documents = map(conversation_of, self.corpus.read(shard.rows))
        for conversation, turns in self._pieces(documents):
            counts.add(conversation.source, conversation.language, turns)
            yield self.row(conversation, turns)
        for conversation, turns in self._pieces(report.read(), _windowed(shard)):
            report.count(conversation, turns)
            counts.add(conversation.source, conversation.language, turns)
            yield self.row(conversation, turns)

    def row(self, conversation: Conversation, turns: list[EncodedInteraction]) -> ShardRow:
        """The row of a conversation with its encoded interactions."""
        row = {
            "conversation_id": conversation.id,
            "interactions": [_interaction_row(turn, conversation.language) for turn in turns],
            "probes": [asdict(probe) for probe in conversation.probes],
        }
        return _with_origin(row, conversation.source, conversation.id, 0)

    def _pieces(
        self, conversations: Iterable[Conversation], windowed: Collection[str] = ()
    ) -> Iterator[tuple[Conversation, list[EncodedInteraction]]]:
        for conversation, turns in _encode(conversations, self.tokenizer, self.length, windowed):
            yield from pieces(conversation, turns, self.longest)

    def _generate(self, split: Split, language: Language, index: int) -> Conversation:
        spec = self.longer if self.longer and split == "train" and index % 2 else self.dialogues
        return generate(spec, language, split, self.seed, index, self.distractors[split, language])


class DialogueRows(Protocol):
    """Makes the rows of a shard, of one kind of shards."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that encodes the rows."""
        ...

    @property
    def length(self) -> int:
        """The greatest number of tokens in an interaction."""
        ...

    def __call__(self, shard: Any, report: SourceReport, counts: DialogueCounts) -> Iterator[ShardRow]: ...


@dataclass(frozen=True)
class DialogueShardWriter:
    """Writes the rows of a shard to one file below `uri`, and the account of its data sets beside it."""

    uri: str
    kind: Kind
    rows: DialogueRows

    def __call__(self, shard: DialogueShard) -> Finished:
        report, counts = SourceReport(shard.split, shard.partitions), DialogueCounts(shard.split, self.rows.length)
        url = f"{self.uri}/{shard.file}"
        with ProvenanceWriter(url) as table:
            record = write_shard(url, self.kind, _traced(self.rows(shard, report, counts), table), shard.split)
        report.write(self.uri, shard.file)
        gone = {"gone": report.gone} if report.gone else {}
        return Finished((record,), counts.report | gone, self.rows.tokenizer.slow)


def pieces(
    conversation: Conversation, turns: list[EncodedInteraction], longest: int
) -> Iterator[tuple[Conversation, list[EncodedInteraction]]]:
    """Cut the encoded interactions of a conversation into pieces of at most `longest`. A system prompt is repeated
    before each piece and does not count. The ids of all pieces but the first end in a number."""
    prompt = turns[:1] if turns and conversation.interactions[0].is_system_prompt else []
    turns = turns[len(prompt) :]
    for number, start in enumerate(range(0, len(turns), longest)):
        name = f"{conversation.id}.{number}" if number else conversation.id
        yield replace(conversation, id=name), prompt + turns[start : start + longest]


def choose_distractors(
    corpus: Corpus, catalogue: Catalogue, tokenizer: Tokenizer, length: int, with_choppa: bool = True
) -> Distractors:
    """Choose up to DISTRACTORS real interactions per split and language, as many from each source. Each is shorter than
    half of `length`, so that it lengthens no batch."""
    chosen = {}
    for split in SPLITS:
        for language in LANGUAGES:
            shares = source_shares(catalogue, split, language, DISTRACTORS, {})
            found = pairs(corpus, shares, tokenizer, length // 2, with_choppa)
            chosen[split, language] = tuple(pair.interaction for pair in found)
    return chosen


def _encode(
    conversations: Iterable[Conversation], tokenizer: Tokenizer, length: int, windowed: Collection[str] = ()
) -> Iterator[tuple[Conversation, list[EncodedInteraction]]]:
    """Yield each conversation with its encoded interactions; many conversations are encoded at once. Those of the
    sources `windowed` have further interactions in place of what would be cut."""
    conversations = iter(conversations)
    while chunk := list(islice(conversations, ENCODED_AT_ONCE)):
        for in_windows, mine in groupby(chunk, lambda conversation: conversation.source in windowed):
            told = list(mine)
            turns = [turn for conversation in told for turn in conversation.interactions]
            if in_windows:
                encoded = encode_windows(tokenizer, turns, length)
            else:
                encoded = ([turn] for turn in encode_interactions(tokenizer, turns, length))
            for conversation in told:
                found = islice(encoded, len(conversation.interactions))
                yield conversation, list(chain.from_iterable(found))


def _windowed(shard: DialogueShard) -> set[str]:
    """The data sets whose long answers are not cut."""
    sources = (partition.source for partition in shard.partitions)
    return {source.name for source in sources if source.long_answers == "window"}


def _with_origin(row: ShardRow, source: str, name: str, number: int) -> ShardRow:
    return row | {_ORIGIN: (source, name, number)}


def _traced(rows: Iterable[ShardRow], table: ProvenanceWriter) -> Iterator[ShardRow]:
    """Yield the rows without their origins, which go to the table."""
    numbered = enumerate(rows)
    while chunk := list(islice(numbered, BATCH_ROWS)):
        origins = []
        for number, row in chunk:
            tokens = sum(len(turn["input_ids"]) for turn in row.get("interactions", [row]))
            origins.append(Origin(number, 0, tokens, *row.pop(_ORIGIN)))
        table.write(dict(zip(Origin._fields, map(list, zip(*origins, strict=True)), strict=True)))
        yield from (row for _, row in chunk)


def _interaction_row(encoded: EncodedInteraction, language: Language) -> ShardRow:
    return {
        "input_ids": encoded.input_ids,
        "loss_mask": encoded.loss_mask,
        "answer_start": encoded.answer_start,
        "language": LANGUAGES.index(language),
    }
