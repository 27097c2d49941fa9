"""`rxt data preview` shows the first rows of a source of texts or of conversations as a model will see them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jobs.shards.dialogue_counts import cut_share
from jobs.stage.context import Artifact, StageError
from jobs.stage.inputs import open_tokenizer
from pipelines.artifacts import MANIFEST
from pipelines.first_rows import LOOKED_AT, SHOWN, Refused, as_text, say
from pipelines.planner import artifact_of
from pipelines.preview_texts import TextPreview, look_at_texts
from pipelines.session import Session
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import Partition, partitions_of, read_conversations
from tokenization.conversations.template import EncodedInteraction, encode_interactions, encode_windows
from tokenization.quarantine import Rejected
from tokenization.records import LANGUAGES, Conversation
from tokenization.sources.source import Source, SourceError

_SECTIONS = ("interactions", "conversations", "episodes")


@dataclass
class Preview:
    """The first rows of a data set that is used in `section`, with interactions of `length` tokens: counts, the first
    conversations as the model sees them, and why rows are refused."""

    source: ConversationSource
    section: str
    length: int
    rows: int = 0
    shown: list[list[EncodedInteraction]] = field(default_factory=list)
    counts: Counter[str] = field(
        default_factory=lambda: Counter(conversations=0, interactions=0, tokens=0, cut_tokens=0)
    )
    refused: Refused = field(default_factory=Refused)

    def lines(self, tokenizer: Tokenizer) -> Iterator[str]:
        """Yield what is printed."""
        yield f"{self.source.name}: the first {self.rows:,} rows, read as `{self.source.adapter}`"
        for number, turns in enumerate(self.shown, 1):
            yield f"\n{number}"
            for turn in turns:
                yield f"  {_told(turn)}  {as_text(tokenizer, turn.input_ids)}"
        counts = self.counts
        yield (
            f"\n{counts['conversations']:,} conversations of {counts['interactions']:,} interactions and "
            f"{counts['tokens']:,} tokens; {cut_share([counts]):.1%} of all tokens do not fit "
            f"{self.section}.length = {self.length}"
        )
        yield from self.refused.lines()

    def as_object(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return {
            "source": self.source.name,
            "adapter": self.source.adapter,
            "length": {self.section: self.length},
            "rows": self.rows,
            **self.counts,
            "cut_share": round(cut_share([self.counts]), 6),
            "shown": [[as_text(tokenizer, turn.input_ids) for turn in turns] for turns in self.shown],
            "refused": self.refused.as_object(),
        }


def preview(session: Session, name: str, as_json: bool) -> None:
    """Print the preview of the source `name` of the preset, or of the files at the path `name`.

    Raises StageError if there is no such source, if nothing of it can be read, and if there is no tokenizer yet.
    """
    empty = _found(session, name)
    made = _made(session)
    tokenizer = open_tokenizer(made)
    try:
        if isinstance(empty, TextPreview):
            found = _with_texts(session, empty, tokenizer)
        elif empty.source.path == name:
            found = _at_path(session, empty, tokenizer)
        else:
            found = _with_conversations(empty, tokenizer)
    except SourceError as error:
        raise StageError(
            str(error), "rxt data preview SOURCE --config FILE     a source states format, encoding, language"
        ) from error
    if as_json:
        told = session.identity | {"tokenizer": made.artifact_id} | found.as_object(tokenizer)
        print(json.dumps(told, ensure_ascii=False))
    else:
        say(f"{session.header}   tokenizer {made.artifact_id}", *found.lines(tokenizer))


def _at_path(session: Session, empty: Preview, tokenizer: Tokenizer) -> Preview | TextPreview:
    """Look at files of which nothing is said: conversations, or else texts in any language. Raises SourceError."""
    source, found, trouble = empty.source, empty, ""
    try:
        found = _with_conversations(empty, tokenizer)
    except SourceError as error:
        trouble = str(error)
    if found.counts["conversations"]:
        return found
    refused = None
    for language in LANGUAGES:  # which encodings are likely depends on it
        texts = Source(name=source.name, kind="files", language=language, licence=source.licence, path=source.path,
                       skip=("language",))  # fmt: skip
        try:
            return _with_texts(session, TextPreview(texts, _row_length(session)), tokenizer)
        except SourceError as error:
            refused = refused or error
    if trouble:
        raise SourceError(trouble if str(refused) in trouble else f"{trouble}; nor has it texts: {refused}")
    return found


def _with_conversations(found: Preview, tokenizer: Tokenizer) -> Preview:
    """Look at conversations. Raises SourceError if there is no row, or no known schema."""
    partitions = partitions_of(found.source)
    found.source = partitions[0].source
    return look(found, partitions, tokenizer)


def _with_texts(session: Session, found: TextPreview, tokenizer: Tokenizer) -> TextPreview:
    """Look at texts. Raises SourceError if there are none."""
    config = session.config.corpus
    if config is None:
        raise SourceError(f"preset {session.invocation.preset} has no corpus")
    look_at_texts(found, config, tokenizer)
    if not found.counts["texts"]:
        raise SourceError(f"source {found.source.name}: {found.refused or 'there is nothing'}")
    return found


def _row_length(session: Session) -> int | None:
    return session.config.text.length if session.config.text else None


def look(found: Preview, partitions: list[Partition], tokenizer: Tokenizer) -> Preview:
    """Read the first rows and encode them as the stages do."""
    for one in islice(_rows(partitions), LOOKED_AT):
        found.rows += 1
        if isinstance(one, Rejected):
            found.refused.add(one)
            continue
        if found.source.long_answers == "window":
            turns = [turn for windows in encode_windows(tokenizer, one.interactions, found.length) for turn in windows]
        else:
            turns = list(encode_interactions(tokenizer, one.interactions, found.length))
        found.counts.update(
            conversations=1,
            interactions=len(turns),
            tokens=sum(len(turn.input_ids) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )
        if len(found.shown) < SHOWN:
            found.shown.append(turns)
    return found


def _told(turn: EncodedInteraction) -> str:
    cut = f", {turn.cut:,} cut" if turn.cut else ""
    return f"{len(turn.input_ids)} tokens, {sum(turn.loss_mask)} supervised{cut}"


def _rows(partitions: list[Partition]) -> Iterator[Conversation | Rejected]:
    for partition in partitions:
        yield from read_conversations(partition)


def _found(session: Session, name: str) -> Preview | TextPreview:
    """The source, with nothing read yet. Data sets of conversations come first."""
    sections = {each: getattr(session.config, each) for each in _SECTIONS}
    used = {each: config for each, config in sections.items() if config is not None}
    known: list[str] = []
    for section, config in used.items():
        for source in config.sources:
            known.append(source.name)
            if source.name == name:
                return Preview(source, section, config.length)
    for source in session.config.corpus.sources if session.config.corpus else ():
        known.append(source.name)
        if source.name == name:
            return TextPreview(source, _row_length(session))
    if not any(sign in name for sign in "./:*") and not os.path.exists(name):
        told = f"there are {', '.join(known)}" if known else "it has none"
        unknown = f"{name}: no source of the preset has this name ({told}), and it is no path to files"
        raise StageError(unknown, "rxt data preview SOURCE     one of these names, or a path")
    if not used:
        raise StageError(f"preset {session.invocation.preset} has no shards of interactions or conversations")
    section, config = next(iter(used.items()))
    return Preview(ConversationSource(name=name, kind="files", language="en", licence="not known", path=name), section,
                   config.length)  # fmt: skip


def _made(session: Session) -> Artifact:
    """The tokenizer of this configuration or, if that is not made yet, the newest one in the store."""
    status, store = session.plan().get("tokenizer"), session.store
    if status is not None and status.is_complete:
        return artifact_of(status, store)
    made = [
        (manifest.get("finished", 0), Artifact("tokenizer", attempt.artifact_id, store.uri(attempt), manifest))
        for attempt in store.attempts("tokenizer")
        if (manifest := store.read_note(attempt, MANIFEST))
    ]
    if not made:
        command = session.invocation.run("--until", "tokenizer")
        raise StageError("there is no tokenizer yet, and rows are counted in its tokens", command)
    return max(made, key=lambda one: one[0])[1]
