"""What came of the data sets of dialogues: counts per source and shard, and a quarantine of what was left out.

Every shard's task writes its own `sources/FILE.json` and `quarantine/FILE.jsonl` before the shard counts, so that they
are as resumable and as independent of the number of workers as the shards; the stage adds them up.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import fsspec

from tokenization.adapters.sources import DialogueSource, Part, Rejected, copies, read_conversations
from tokenization.records import SPLITS, Conversation, Split
from tokenization.shards import write_json
from tokenization.template import EncodedInteraction

REPORT = "sources.json"


class SourceReport:
    """Reads the conversations of one split and keeps account. Parts are read again for each split, so what is rejected
    is noted in one of them alone."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.parts: Sequence[Part] = ()
        self.rejected: list[Rejected] = []
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)

    def read(self, parts: Sequence[Part]) -> Iterator[Conversation]:
        """The conversations of the split, each as often as its source's weight says."""
        self.parts = parts
        for part in parts:
            for found in read_conversations(part):
                if isinstance(found, Rejected):
                    if part.source.first_split == self.split:
                        self.rejected.append(found)
                elif found.split == self.split:
                    for number in range(copies(part.source, found)):
                        yield replace(found, id=f"{found.id}+{number}") if number else found

    def count(self, conversation: Conversation, turns: Sequence[EncodedInteraction]) -> None:
        self.counts[conversation.source].update(
            conversations=1,
            interactions=len(turns),
            tokens=sum(len(turn.input_ids) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )

    def write(self, uri: str, file: str) -> None:
        """Nothing where there was nothing to read."""
        if not self.parts:
            return
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        for rejected in self.rejected:
            reasons[rejected.source][rejected.reason.partition(":")[0]] += 1
        names = sorted({part.source.name for part in self.parts})
        write_json(_report_url(uri, file), {name: {**self.counts[name], "rejected": reasons[name]} for name in names})
        if self.rejected:
            with fsspec.open(f"{uri}/quarantine/{file}.jsonl", "w", encoding="utf-8", auto_mkdir=True) as stream:
                stream.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in self.rejected)


def add_up(uri: str, shards: Sequence[Any], sources: Sequence[DialogueSource]) -> list[dict[str, Any]]:
    """Provenance and counts of each source, written to sources.json: per split, and rejected rows by reason."""
    totals = {source.name: {split: Counter() for split in SPLITS} for source in sources}
    rejected = {source.name: Counter() for source in sources}
    for shard in shards:
        if shard.parts:
            with fsspec.open(_report_url(uri, shard.file), "rb") as stream:
                for name, counts in json.load(stream).items():
                    rejected[name].update(counts.pop("rejected"))
                    totals[name][shard.split].update(counts)
    report = [asdict(one) | {"splits": totals[one.name], "rejected": rejected[one.name]} for one in sources]
    write_json(f"{uri}/{REPORT}", {"sources": report})
    return report


def _report_url(uri: str, file: str) -> str:
    return f"{uri}/sources/{file}.json"
