"""Files that are opened at the start are opened several at a time, in their order, with the same errors."""

import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jobs.configs.execution import Execution
from jobs.shards.dialogue_manifest import ConversationShard
from jobs.shards.job import Finished, _write_one, run_manifest
from jobs.shards.text_manifest import take_stock
from jobs.stage.context import StageContext
from tests.support.training_data import Memory
from tokenization.documents import Corpus
from tokenization.files.threads import map_threads
from tokenization.shards.index import ShardError, ShardIndex, write_index
from tokenization.shards.reader import ShardReader
from tokenization.shards.writer import write_shard

FILES = 4


class Meeting(MemoryFileSystem):
    """A store in memory whose data files open two at a time. Whoever opens one file alone waits in vain."""

    protocol = "meeting"
    pair: threading.Barrier | None = None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("meeting:/"))

    def _open(self, path, mode="rb", **options):
        if self.pair and mode == "rb" and path.endswith((".parquet", ".arrow")):
            self.pair.wait(30)
        return super()._open(path, mode, **options)


@pytest.fixture
def together(monkeypatch, tmp_path):
    """From the call on, files are opened in pairs."""
    fsspec.register_implementation("meeting", Meeting, clobber=True)
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    return lambda: monkeypatch.setattr(Meeting, "pair", threading.Barrier(2, timeout=30))


def rows(number: int) -> list[dict]:
    return [{"input_ids": [number] * 3, "document_starts": [0], "language": 0}] * 2


def test_footers_texts_and_stock_of_a_corpus(together):
    uri, fs = "meeting://threads/corpus", Meeting()
    for number in range(FILES):
        document = {"id": f"d-{number}", "text": "x" * (number + 1), "language": "en", "source": f"s-{number}"}
        with fs.open(f"{uri}/documents-{number:05d}.parquet", "wb") as file:
            pq.write_table(pa.Table.from_pylist([document | {"licence": "CC0", "split": "train"}] * 2), file)
    together()
    corpus = Corpus(uri)
    assert len(corpus) == 2 * FILES
    catalogue = corpus.catalogue()
    assert catalogue.bytes.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert catalogue.rows_of(["s-1", "s-3", "unknown"]).tolist() == [2, 3, 6, 7]
    assert [key for stock in take_stock(corpus) for key in stock.bytes] == [
        ("train", f"s-{number}", "en") for number in range(FILES)
    ]


def test_shards_of_a_reader(together):
    uri = "meeting://threads/shards"
    records = [write_shard(f"{uri}/train-{n:05d}.arrow", "text", rows(n)) for n in range(FILES)]
    write_index(uri, ShardIndex("text", 8, "digest", 4096, tuple(records)))
    together()
    reader = ShardReader(uri, "train")
    assert [row["input_ids"][0] for row in reader.rows(range(len(reader)))] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_finished_shards_of_a_resumed_job(together):
    """No shard is missing, so the job needs no Ray."""
    uri = "meeting://threads/resumed"
    shards = [ConversationShard(f"train-{n:05d}.arrow", "train", n, n) for n in range(FILES)]

    def write(shard: ConversationShard) -> Finished:
        return Finished((write_shard(f"{uri}/{shard.file}", "text", rows(shard.start)),))

    for number in range(FILES):
        _write_one({"shard": [number]}, uri, shards, write)
    together()
    ctx = StageContext("shards", "s-1", uri, {}, Execution(), Memory())
    done, speed = run_manifest(ctx, shards, write)
    assert [one.files[0].file for one in done] == [shard.file for shard in shards]
    assert speed.seconds == 0
    assert ctx.reporter.messages == ["resumed at step 4: 4 of 4 shards were finished before"]


def test_of_several_damaged_shards_the_first_is_named(tmp_path):
    records = [write_shard(f"{tmp_path}/train-{n:05d}.arrow", "text", rows(n)) for n in range(FILES)]
    write_index(str(tmp_path), ShardIndex("text", 8, "digest", 4096, tuple(records)))
    for number in (3, 1):
        (tmp_path / f"train-{number:05d}.arrow").write_bytes(b"damaged")
    with pytest.raises(ShardError, match="train-00001.arrow is truncated or damaged: 7 bytes"):
        ShardReader(str(tmp_path), "train")


def test_results_and_errors_are_in_the_order_of_the_items():
    later = threading.Event()

    def work(number):
        if number == 1:
            later.set()
            raise ValueError("item 1")
        if number == 0:
            assert later.wait(30), "items are begun before the first is done"
            raise ValueError("item 0")

    with pytest.raises(ValueError, match="item 0"):
        map_threads(work, range(8))
    assert map_threads(str, range(99)) == [str(number) for number in range(99)]
