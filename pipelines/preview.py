"""`rxt data preview` shows the first rows of a data set of conversations as a model will see them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jobs.shards.dialogue_counts import cut_share
from jobs.stage.context import StageError
from jobs.stage.inputs import open_tokenizer
from pipelines.display import console_on
from pipelines.planner import artifact_of
from pipelines.session import Session
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import Partition, partitions_of, read_conversations
from tokenization.conversations.template import EncodedInteraction, encode_interactions, encode_windows
from tokenization.quarantine import Rejected
from tokenization.records import Conversation
from tokenization.sources.source import SourceError

LOOKED_AT = 1_000  # rows that are counted
SHOWN = 5  # conversations that are printed
_SECTIONS = ("interactions", "conversations", "episodes")


@dataclass
class Preview:
    """What the first rows hold: conversations as the model sees them, counts, and why rows are refused."""

    rows: int = 0
    shown: list[list[EncodedInteraction]] = field(default_factory=list)
    counts: Counter[str] = field(
        default_factory=lambda: Counter(conversations=0, interactions=0, tokens=0, cut_tokens=0)
    )
    rejected: dict[str, Rejected] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)


def preview(session: Session, name: str, as_json: bool) -> None:
    """Print the preview of the data set `name` of the preset, or of the files at the path `name`.

    Raises StageError if there is no such data set, if no row of it can be read, and if there is no tokenizer yet.
    """
    source, section, length = _found(session, name)
    tokenizer = _tokenizer(session)
    try:
        partitions = partitions_of(source)
    except SourceError as error:
        raise StageError(str(error)) from error
    source = partitions[0].source
    found = look(source, partitions, tokenizer, length)
    if as_json:
        print(json.dumps(session.identity | _as_object(source, section, length, found, tokenizer), ensure_ascii=False))
        return
    console = console_on(sys.stdout)
    console.print(session.header, soft_wrap=True)
    console.print(f"{source.name}: the first {found.rows:,} rows, read as `{source.adapter}`", soft_wrap=True)
    for number, turns in enumerate(found.shown, 1):
        console.print(f"\n{number}", soft_wrap=True)
        for turn in turns:
            console.print(f"  {_told(turn)}  {as_text(tokenizer, turn)}", soft_wrap=True)
    counts = found.counts
    console.print(
        f"\n{counts['conversations']:,} conversations of {counts['interactions']:,} interactions and "
        f"{counts['tokens']:,} tokens; {cut_share([counts]):.1%} of all tokens do not fit {section}.length = {length}",
        soft_wrap=True,
    )
    for reason, times in found.refused.most_common():
        console.print(f"refused {times:,}: {reason}; the first: {found.rejected[reason]}", soft_wrap=True)


def look(source: ConversationSource, partitions: list[Partition], tokenizer: Tokenizer, length: int) -> Preview:
    """Read the first rows and encode them as the stages do."""
    found = Preview()
    for one in islice(_rows(partitions), LOOKED_AT):
        found.rows += 1
        if isinstance(one, Rejected):
            found.refused[one.reason] += 1
            found.rejected.setdefault(one.reason, one)
            continue
        if source.long_answers == "window":
            turns = [turn for windows in encode_windows(tokenizer, one.interactions, length) for turn in windows]
        else:
            turns = list(encode_interactions(tokenizer, one.interactions, length))
        found.counts.update(
            conversations=1,
            interactions=len(turns),
            tokens=sum(len(turn.input_ids) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )
        if len(found.shown) < SHOWN:
            found.shown.append(turns)
    return found


def as_text(tokenizer: Tokenizer, turn: EncodedInteraction) -> str:
    """The interaction as text, with its control tokens by name. What was cut is missing."""
    parts: list[str] = []
    content: list[int] = []
    for token in [*turn.input_ids, 0]:
        if token >= len(SPECIAL_TOKENS):
            content.append(token)
            continue
        parts += [tokenizer.decode(content), SPECIAL_TOKENS[token]]
        content = []
    return "".join(parts[:-1])


def _told(turn: EncodedInteraction) -> str:
    cut = f", {turn.cut:,} cut" if turn.cut else ""
    return f"{len(turn.input_ids)} tokens, {sum(turn.loss_mask)} supervised{cut}"


def _rows(partitions: list[Partition]) -> Iterator[Conversation | Rejected]:
    for partition in partitions:
        yield from read_conversations(partition)


def _found(session: Session, name: str) -> tuple[ConversationSource, str, int]:
    """The data set, and the section and greatest length of interactions that it is used with."""
    sections = {each: getattr(session.config, each) for each in _SECTIONS}
    used = {each: config for each, config in sections.items() if config is not None}
    for section, config in used.items():
        for source in config.sources:
            if source.name == name:
                return source, section, config.length
    if not used:
        raise StageError(f"preset {session.invocation.preset} has no shards of interactions or conversations")
    if not any(sign in name for sign in "./:*"):
        known = ", ".join(source.name for config in used.values() for source in config.sources)
        told = f"there are {known}" if known else "it has none"
        raise StageError(f"{name}: no data set of the preset has this name ({told}), and it is no path to files")
    section, config = next(iter(used.items()))
    source = ConversationSource(name=name, kind="files", language="en", licence="not known", path=name)
    return source, section, config.length


def _tokenizer(session: Session) -> Tokenizer:
    status = session.plan().get("tokenizer")
    if status is None or not status.is_complete:
        command = session.invocation.run("--until", "tokenizer")
        raise StageError("there is no tokenizer yet, and rows are counted in its tokens", command)
    return open_tokenizer(artifact_of(status, session.store))


def _as_object(
    source: ConversationSource, section: str, length: int, found: Preview, tokenizer: Tokenizer
) -> dict[str, Any]:
    return {
        "source": source.name,
        "adapter": source.adapter,
        "length": {section: length},
        "rows": found.rows,
        **found.counts,
        "cut_share": round(cut_share([found.counts]), 6),
        "shown": [[as_text(tokenizer, turn) for turn in turns] for turns in found.shown],
        "refused": {
            reason: {"rows": times, "first": str(found.rejected[reason])} for reason, times in found.refused.items()
        },
    }
