"""Account for the data sets of conversations: counts per source and shard, and a quarantine of what was lost.

The task of a shard writes `sources/FILE.json` and `quarantine/FILE.jsonl` before the shard counts as finished, and the
stage adds them up. So they can be resumed like the shards, and do not depend on the number of workers either. Rows that
are no conversations are known before: `jobs.shards.dialogue_survey` wrote them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from typing import Any

import fsspec

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.shards.dialogue_counts import cut_share
from jobs.shards.dialogue_manifest import DialogueShard
from jobs.shards.dialogue_survey import by_reason
from jobs.stage.context import Restart, StageContext, StageError
from tokenization.cleaning.pii import PII, Pii
from tokenization.cleaning.removals import Removals, merged
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.sources import Partition, copies, key_of, read_conversations
from tokenization.conversations.template import EncodedInteraction
from tokenization.files.storage import publish, write_json
from tokenization.quarantine import LOST, Quarantine, Rejected
from tokenization.records import SPLITS, Conversation, Split

REPORT = "sources.json"

Sources = Sequence[Mapping[str, Any]]  # what `add_up` returns


class SourceReport:
    """Reads the conversations of one split that pass the partitions' screens, and counts what it reads and leaves out.

    Each split reads the partitions again, and notes the files that it lost, since each pass may lose others.
    """

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
        """Names of files that vanished while they were read."""
        return [file for quarantine in self._quarantines.values() for file in quarantine.gone]

    def read(self) -> Iterator[Conversation]:
        """Yield the conversations of the split, each as often as its source's weight says."""
        for partition in self._partitions:
            for lost in partition.screen.lost:  # even if it is back by now, it was not screened for duplicates
                self._reject(partition.source, lost)
            reason_to_leave = partition.screen.sieve()
            for found in read_conversations(partition):
                if isinstance(found, Rejected):
                    if found.reason in LOST:
                        self._reject(partition.source, found)
                elif found.split == self._split:
                    if reason := reason_to_leave(key_of(found)):
                        self._removed[partition.source.name].add(reason, [_text(found)])
                        continue
                    for number in range(copies(partition.source, found)):
                        yield replace(found, id=f"{found.id}+{number}") if number else found

    def _reject(self, source: ConversationSource, found: Rejected) -> None:
        where = found.reason, found.file, found.place
        if where not in self._lost[source.name]:
            self._lost[source.name].append(where)
            self._quarantines[source.name].add(found)

    def count(self, conversation: Conversation, turns: Sequence[EncodedInteraction]) -> None:
        """Count a conversation that was written with the encoded interactions `turns`."""
        self._counts[conversation.source].update(
            conversations=1,
            interactions=len(turns),
            tokens=sum(len(turn.input_ids) for turn in turns),
            cut_tokens=sum(turn.cut for turn in turns),
        )

    def write(self, uri: str, file: str) -> None:
        """Write counts and quarantine of the shard `file` below `uri`, if the shard reads any partition."""
        if not self._partitions:
            return
        report = {
            name: {**self._counts[name], "removed": self._removed[name].as_dict(), "lost": self._lost[name]}
            for name in self._quarantines
        }
        write_json(_report_url(uri, file), report)
        quarantine = f"{uri}/quarantine/{file}.jsonl"
        fs, path = fsspec.url_to_fs(quarantine)
        if self._bad.tell():
            self._bad.seek(0)
            publish(quarantine, lambda stream: shutil.copyfileobj(self._bad, stream))
        elif fs.exists(path):  # an earlier attempt lost something and wrote it
            fs.rm_file(path)


def report_sources(
    ctx: StageContext, shards: Sequence[DialogueShard], config: InteractionShardsConfig | ConversationShardsConfig
) -> dict[str, float]:
    """Return counts of the data sets as metrics, and tell the user what was left out and what was cut. Raises
    StageError for a data set without conversations."""
    metrics = {}
    used = [source for source in config.sources if source.is_used]
    for source in add_up(ctx.output_uri, shards, used) if used else ():
        name, rejected = source["name"], source["rejected"]
        removed = Counter({reason: entry["documents"] for reason, entry in source["removed"].items()})
        found = sum(counts["conversations"] for counts in source["splits"].values())
        if not found and not removed:
            told = by_reason(rejected) or "nothing"
            raise StageError(f"source {name}: {source['path']} holds no conversation; rejected: {told}")
        for counts, where in ((rejected, "quarantine/"), (removed, REPORT)):
            if counts:
                told = f"left out {counts.total():,} ({by_reason(counts)}): see {where}"
                ctx.reporter.message(f"source {name}: {told}")
        if gone := source["gone"]:
            ctx.reporter.message(
                f"source {name}: {', '.join(gone)} vanished while it was read; what had been read is kept. "
                "Once it is back",
                Restart(),
            )
        share = cut_share(source["splits"].values())
        if share:
            cut = sum(counts.get("cut_tokens", 0) for counts in source["splits"].values())
            ctx.reporter.message(
                f"source {name}: {share:.1%} of its tokens ({cut:,}) did not fit length = {config.length} and were "
                "cut; raise `length`, or set long_answers = 'window'"
            )
        counts = {
            "conversations": found,
            "rejected": rejected.total(),
            "removed": removed.total(),
            "cut_share": round(share, 6),
        }
        metrics |= {f"sources/{name}/{what}": count for what, count in counts.items()}
    return metrics


def add_up(uri: str, shards: Sequence[DialogueShard], sources: Sequence[ConversationSource]) -> list[dict[str, Any]]:
    """Write provenance and counts of each source to sources.json, and return them.

    `splits` has counts per split, `rejected` rows by reason, and `gone` the files that vanished. `removed`, `repaired`
    and `pii` are as in the report of the corpus, with conversations for documents. Something that several splits lost
    in one place counts once.
    """
    totals = {source.name: {split: Counter() for split in SPLITS} for source in sources}
    rejected = {source.name: Counter() for source in sources}
    removed: dict[str, list[Any]] = {source.name: [] for source in sources}
    lost: dict[str, set[tuple[str, ...]]] = {source.name: set() for source in sources}
    for shard in shards:
        if shard.partitions:
            with fsspec.open(_report_url(uri, shard.file), "rb") as stream:
                for name, counts in json.load(stream).items():
                    removed[name].append(counts.pop("removed"))
                    lost[name].update(map(tuple, counts.pop("lost")))
                    totals[name][shard.split].update(counts)
    # a partition can be read for several splits
    partitions = dict.fromkeys(partition for shard in shards for partition in shard.partitions)
    for partition in partitions:
        rejected[partition.source.name].update(partition.screen.rejected)
    for name, places in lost.items():
        rejected[name].update(reason for reason, _, _ in places)
    read_as = {partition.source.name: partition.source.adapter for partition in partitions}
    report = [
        asdict(one)
        | {"adapter": read_as.get(one.name, one.adapter)}
        | {
            "splits": totals[one.name],
            "rejected": rejected[one.name],
            "removed": merged(removed[one.name]),
            "repaired": merged(each.screen.repaired for each in partitions if each.source.name == one.name),
            "pii": _people(each.screen.pii for each in partitions if each.source.name == one.name),
            "gone": sorted({file for reason, file, _ in lost[one.name] if reason == "gone"}),
        }
        for one in sources
    ]
    write_json(f"{uri}/{REPORT}", {"sources": report})
    return report


def _people(parts: Iterable[Mapping[Pii, Counter[str]]]) -> dict[Pii, Counter[str]]:
    """Add up what identifies people in the partitions of a source."""
    total = {kind: Counter(conversations=0, found=0) for kind in PII}
    for part in parts:
        for kind, counts in part.items():
            total[kind].update(counts)
    return total


def left_out(sources: Sources) -> Iterator[tuple[str, str, int]]:
    """Yield source, reason and number of the rows that were rejected or removed."""
    for source in sources:
        removed = {reason: entry["documents"] for reason, entry in source["removed"].items()}
        for reason, count in sorted((source["rejected"] | removed).items(), key=lambda item: (-item[1], item[0])):
            yield source["name"], reason, count


def _text(conversation: Conversation) -> str:
    """All texts of a conversation, one per line."""
    return "\n".join(part for turn in conversation.interactions for part in astuple(turn) if part)


def _report_url(uri: str, file: str) -> str:
    return f"{uri}/sources/{file}.json"
