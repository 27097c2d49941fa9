"""What came of the data sets of conversations: counts per source and shard, and a quarantine of what was left out.

Every shard's task writes its own `sources/FILE.json` and `quarantine/FILE.jsonl` before the shard counts, so that they
are as resumable and as independent of the number of workers as the shards; the stage adds them up.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from typing import Any

import fsspec

from jobs.shards.dialogue_manifest import DialogueShard
from jobs.stage.context import Restart, StageContext, StageError
from tokenization.cleaning.removals import Removals, merged
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import Partition, copies, key_of, read_conversations
from tokenization.conversations.template import EncodedInteraction
from tokenization.files.storage import publish, write_json
from tokenization.quarantine import LOST, Quarantine, Rejected
from tokenization.records import SPLITS, Conversation, Split

REPORT = "sources.json"

Sources = Sequence[Mapping[str, Any]]  # as `add_up` tells of them


class SourceReport:
    """Reads the conversations of one split, less those that the screens of the partitions hold back, and keeps account.
    Partitions are read again for each split, so rows that are rejected are noted in one of them alone; what is lost,
    which every pass may find anew, in each."""

    def __init__(self, split: Split, partitions: Sequence[Partition]) -> None:
        self._split, self._partitions = split, partitions
        self._bad = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the report
        names = dict.fromkeys(partition.source.name for partition in partitions)
        self._quarantines = {name: Quarantine(name, self._bad) for name in names}
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._removed = {name: Removals() for name in names}
        self._lost: dict[str, list[tuple[str, str, str]]] = {name: [] for name in names}

    @property
    def gone(self) -> list[str]:
        """Files that vanished while they were read."""
        return [file for quarantine in self._quarantines.values() for file in quarantine.gone]

    def read(self) -> Iterator[Conversation]:
        """The conversations of the split, each as often as its source's weight says."""
        for partition in self._partitions:
            for lost in partition.screen.lost:  # what is there again by now was not compared with the others
                self._reject(partition.source, lost)
            reason_to_leave = partition.screen.sieve()
            for found in read_conversations(partition):
                if isinstance(found, Rejected):
                    self._reject(partition.source, found)
                elif found.split == self._split:
                    if reason := reason_to_leave(key_of(found)):
                        self._removed[partition.source.name].add(reason, [_text(found)])
                        continue
                    for number in range(copies(partition.source, found)):
                        yield replace(found, id=f"{found.id}+{number}") if number else found

    def _reject(self, source: ConversationSource, found: Rejected) -> None:
        if found.reason in LOST:
            where = found.reason, found.file, found.place
            if where in self._lost[source.name]:
                return
            self._lost[source.name].append(where)
        elif source.first_split != self._split:
            return
        self._quarantines[source.name].add(found)

    def count(self, conversation: Conversation, turns: Sequence[EncodedInteraction]) -> None:
        self._counts[conversation.source].update(
            conversations=1,
            interactions=len(turns),
            tokens=sum(len(turn.input_ids) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )

    def write(self, uri: str, file: str) -> None:
        """Nothing where there was nothing to read."""
        if not self._partitions:
            return
        report = {
            name: {
                **self._counts[name],
                "rejected": {reason: count for reason, count in bad.counts.items() if reason not in LOST},
                "removed": self._removed[name].as_dict(),
                "lost": self._lost[name],
            }
            for name, bad in self._quarantines.items()
        }
        write_json(_report_url(uri, file), report)
        quarantine = f"{uri}/quarantine/{file}.jsonl"
        fs, path = fsspec.url_to_fs(quarantine)
        if self._bad.tell():
            self._bad.seek(0)
            publish(quarantine, lambda stream: shutil.copyfileobj(self._bad, stream))
        elif fs.exists(path):  # of an earlier attempt, which lost something
            fs.rm_file(path)


def report_sources(
    ctx: StageContext, shards: Sequence[DialogueShard], sources: Sequence[ConversationSource]
) -> dict[str, float]:
    """Counts of the data sets as metrics; who left something out says so. Raises StageError for one that holds
    nothing."""
    metrics = {}
    for source in add_up(ctx.output_uri, shards, sources) if sources else ():
        name, rejected = source["name"], source["rejected"]
        removed = Counter({reason: entry["documents"] for reason, entry in source["removed"].items()})
        found = sum(counts["conversations"] for counts in source["splits"].values())
        if not found and not removed:
            told = _by_reason(rejected) or "nothing"
            raise StageError(f"source {name}: {source['path']} holds no conversation; rejected: {told}")
        for counts, where in ((rejected, "quarantine/"), (removed, REPORT)):
            if counts:
                told = f"left out {counts.total():,} ({_by_reason(counts)}): see {where}"
                ctx.reporter.message(f"source {name}: {told}")
        if gone := source["gone"]:
            ctx.reporter.message(
                f"source {name}: {', '.join(gone)} vanished while it was read; what was read of it is kept. "
                "Once it is back",
                Restart(),
            )
        counts = {"conversations": found, "rejected": rejected.total(), "removed": removed.total()}
        metrics |= {f"sources/{name}/{what}": count for what, count in counts.items()}
    return metrics


def _by_reason(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())


def add_up(uri: str, shards: Sequence[DialogueShard], sources: Sequence[ConversationSource]) -> list[dict[str, Any]]:
    """Provenance and counts of each source, written to sources.json: per split, what was rejected by reason, what was
    removed and what was repaired as in the report of the corpus (a conversation being a document), and the files that
    vanished. What several splits lost in one place counts once."""
    totals = {source.name: {split: Counter() for split in SPLITS} for source in sources}
    rejected = {source.name: Counter() for source in sources}
    removed: dict[str, list[Any]] = {source.name: [] for source in sources}
    lost: dict[str, set[tuple[str, ...]]] = {source.name: set() for source in sources}
    for shard in shards:
        if shard.partitions:
            with fsspec.open(_report_url(uri, shard.file), "rb") as stream:
                for name, counts in json.load(stream).items():
                    rejected[name].update(counts.pop("rejected"))
                    removed[name].append(counts.pop("removed"))
                    lost[name].update(map(tuple, counts.pop("lost")))
                    totals[name][shard.split].update(counts)
    # some are read for several splits
    partitions = dict.fromkeys(partition for shard in shards for partition in shard.partitions)
    for name, places in lost.items():
        rejected[name].update(reason for reason, _, _ in places)
    report = [
        asdict(one)
        | {
            "splits": totals[one.name],
            "rejected": rejected[one.name],
            "removed": merged(removed[one.name]),
            "repaired": merged(each.screen.repaired for each in partitions if each.source.name == one.name),
            "gone": sorted({file for reason, file, _ in lost[one.name] if reason == "gone"}),
        }
        for one in sources
    ]
    write_json(f"{uri}/{REPORT}", {"sources": report})
    return report


def left_out(sources: Sources) -> Iterator[tuple[str, str, int]]:
    """Source, reason and number of rows that were no conversation, or one that was removed."""
    for source in sources:
        removed = {reason: entry["documents"] for reason, entry in source["removed"].items()}
        for reason, count in sorted((source["rejected"] | removed).items(), key=lambda item: (-item[1], item[0])):
            yield source["name"], reason, count


def _text(conversation: Conversation) -> str:
    """All that is said in it."""
    return "\n".join(part for turn in conversation.interactions for part in astuple(turn) if part)


def _report_url(uri: str, file: str) -> str:
    return f"{uri}/sources/{file}.json"
