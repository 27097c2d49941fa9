"""The report on conversation data sets: it tells what is lost in the pass of any split, and counts it once."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from jobs.shards.dialogue_manifest import ConversationShard
from jobs.shards.dialogue_sources import SourceReport, add_up
from jobs.shards.dialogue_survey import quarantine_url, survey_partition
from tokenization.cleaning.benchmark import Benchmark
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.screening import screens
from tokenization.conversations.sources import Partition, partitions_of
from tokenization.records import SPLITS, Split


def rows(name: str, count: int) -> bytes:
    return "".join(json.dumps({"query": f"{name} {n}", "answer": "yes"}) + "\n" for n in range(count)).encode()


def surveyed_again(source: ConversationSource, out: Path) -> tuple[Partition, ...]:
    partitions = partitions_of(source)
    found = [
        survey_partition(each, quarantine_url(str(out), number), Benchmark.of([], 5))
        for number, each in enumerate(partitions)
    ]
    return tuple(replace(each, screen=screen) for each, screen in zip(partitions, screens(found), strict=True))


def account(uri: Path, shard: ConversationShard) -> list[str]:
    report = SourceReport(shard.split, shard.partitions)
    for conversation in report.read():
        report.count(conversation, [])
    report.write(str(uri), shard.file)
    return report.gone


def reasons(uri: Path, split: Split) -> Counter[str]:
    path = uri / "quarantine" / f"{split}.jsonl"
    return Counter(json.loads(line)["reason"] for line in path.open()) if path.exists() else Counter()


def test_what_vanishes_or_is_damaged_in_the_pass_of_one_split_is_not_lost_silently(tmp_path):
    (tmp_path / "1.jsonl").write_bytes(rows("a", 20) + b'{"query": "nobody answers"}\n')
    (tmp_path / "2.jsonl.gz").write_bytes(gzip.compress(rows("b", 20))[:-8])
    (tmp_path / "3.jsonl").write_bytes(rows("c", 20))
    source = ConversationSource(
        name="talks",
        kind="files",
        language="en",
        path=f"{tmp_path}/*.jsonl*",
        adapter="query_answer",
        licence="CC0-1.0",
    )
    out = tmp_path / "out"
    surveyed = surveyed_again(source, out)
    rejected = [json.loads(line) for line in (out / "quarantine" / "rows-00000.jsonl").open()]
    assert [(one["reason"], one["file"].rpartition("/")[2]) for one in rejected] == [("no answer", "1.jsonl")]
    shards = [ConversationShard(split, split, 0, 0, partitions=surveyed) for split in SPLITS]
    assert account(out, shards[0]) == []
    content = (tmp_path / "3.jsonl").read_bytes()
    (tmp_path / "3.jsonl").unlink()
    for shard in shards[1:]:
        assert [file.rpartition("/")[2] for file in account(out, shard)] == ["3.jsonl"]
    assert [reasons(out, split) for split in SPLITS] == [
        Counter(unreadable=1), Counter(unreadable=1, gone=1), Counter(unreadable=1, gone=1)
    ]  # fmt: skip
    [report] = add_up(str(out), shards, [source])
    assert report["rejected"] == {"no answer": 1, "unreadable": 1, "gone": 1}
    assert [file.rpartition("/")[2] for file in report["gone"]] == ["3.jsonl"]

    (tmp_path / "3.jsonl").write_bytes(content)
    (tmp_path / "2.jsonl.gz").write_bytes(gzip.compress(rows("b", 20)))
    surveyed = surveyed_again(source, out)
    shards = [replace(shard, partitions=surveyed) for shard in shards]
    for shard in shards:
        assert account(out, shard) == []
    [report] = add_up(str(out), shards, [source])
    assert (report["rejected"], report["gone"]) == ({"no answer": 1}, [])
    assert reasons(out, "validation") == Counter()
    assert sum(split["conversations"] for split in report["splits"].values()) == 60
