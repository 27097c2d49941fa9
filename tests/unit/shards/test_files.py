"""Shards: others can read them, random access equals what was written, and damage is found and named."""

import dataclasses
import os

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from tokenization.files.integrity import sha256_of
from tokenization.shards.index import ShardError, ShardIndex, read_index, write_index
from tokenization.shards.reader import ShardReader, global_batch
from tokenization.shards.schema import SCHEMAS
from tokenization.shards.writer import write_shard


def text_rows(start: int, count: int) -> list[dict]:
    return [
        {"input_ids": list(range(n, n + 1 + n % 7)), "document_starts": [0], "language": n % 2}
        for n in range(start, start + count)
    ]


def conversation(n: int) -> dict:
    interaction = {"input_ids": [2, 5, n, 6, n, 3], "loss_mask": [False] * 3 + [True] * 3, "answer_start": 3}
    probe = {"turn": 1, "slot": "pet", "gold": ["Burek", "Burka"], "forbidden": [], "kind": "recall"}
    return {
        "conversation_id": f"pl-{n}",
        "interactions": [interaction | {"language": 1}] * (1 + n % 3),
        "probes": [probe | {"distance": n, "facts": 2, "tag": ""}] * (n % 2),
    }


def interactions(n: int) -> list[dict]:
    """Make 0 to 3 interactions of different lengths, some of them empty."""
    return [
        {"input_ids": [7] * size, "loss_mask": [True] * size, "answer_start": 0, "language": 0}
        for size in range(n % 5, n % 5 + n % 4)
    ]


@pytest.fixture
def store(tmp_path) -> str:
    uri = str(tmp_path)
    records = [
        write_shard(f"{uri}/train-00000.arrow", "text", text_rows(0, 1500)),
        write_shard(f"{uri}/train-00001.arrow", "text", text_rows(1500, 700)),
        write_shard(f"{uri}/validation-00000.arrow", "text", text_rows(9000, 5), "validation"),
    ]
    write_index(uri, ShardIndex("text", 8, "digest", 4096, tuple(records)))
    return uri


def test_both_usual_readers_open_a_shard(store):
    import datasets

    path = f"{store}/train-00000.arrow"
    dataset = datasets.Dataset.from_file(path)
    assert dataset[1234] == text_rows(1234, 1)[0]
    table = pa.ipc.open_stream(pa.memory_map(path)).read_all()
    assert table.schema == SCHEMAS["text"]
    assert table.to_pylist() == text_rows(0, 1500)
    assert max(batch.num_rows for batch in table.to_batches()) <= 1024


def test_random_access_equals_what_was_written(store):
    reader = ShardReader(store, "train")
    written = text_rows(0, 2200)
    assert (len(reader), reader.length, reader.tokenizer_digest, reader.vocab_size) == (2200, 8, "digest", 4096)
    picked = [0, 2199, 1499, 1500, 1023, 1024, 7, 7]
    assert reader.rows(picked) == [written[i] for i in picked]
    assert reader.row(np.int64(1777)) == written[1777]
    with pytest.raises(IndexError):
        reader.row(2200)


def test_nested_rows_come_back_and_tokens_are_counted(tmp_path):
    rows = [conversation(n) for n in range(30)]
    record = write_shard(f"{tmp_path}/test-00000.arrow", "conversations", rows, "test")
    assert (record.rows, record.tokens) == (30, sum(6 * len(row["interactions"]) for row in rows))
    write_index(str(tmp_path), ShardIndex("conversations", 8, "digest", 4096, (record,)))
    assert ShardReader(str(tmp_path), "test").rows(range(30)) == rows


def test_lengths_come_from_the_offsets_of_any_batch_of_any_kind(store, tmp_path):
    """The rows come from several files and several batches per file, in any order."""
    picked = [0, 2199, 1499, 1500, 1023, 1024, 7, 7]
    lengths = ShardReader(store, "train").lengths(picked)
    assert [turns.tolist() for turns in lengths] == [[1 + n % 7] for n in picked]
    with pytest.raises(IndexError, match="row 2200 of 2200"):
        ShardReader(store, "train").lengths([0, 2200])

    rows = [conversation(n) | {"interactions": interactions(n)} for n in range(1500)]
    record = write_shard(f"{tmp_path}/test-00000.arrow", "conversations", rows, "test")
    write_index(str(tmp_path), ShardIndex("conversations", 8, "digest", 4096, (record,)))
    lengths = ShardReader(str(tmp_path), "test").lengths([1499, 3, 1024, 0])
    assert [turns.tolist() for turns in lengths] == [
        [len(turn["input_ids"]) for turn in rows[n]["interactions"]] for n in (1499, 3, 1024, 0)
    ]


def test_the_same_rows_give_the_same_bytes_and_leave_no_other_file(tmp_path):
    first = write_shard(f"{tmp_path}/a/train-00000.arrow", "text", text_rows(0, 50))
    second = write_shard(f"{tmp_path}/b/train-00000.arrow", "text", iter(text_rows(0, 50)))
    assert first == second
    assert (first.rows, first.tokens) == (50, sum(len(row["input_ids"]) for row in text_rows(0, 50)))
    assert first.sha256 == sha256_of(f"{tmp_path}/a/train-00000.arrow")
    assert os.listdir(tmp_path / "a") == ["train-00000.arrow"]


def test_a_failed_write_leaves_nothing(tmp_path):
    def rows():
        yield from text_rows(0, 2000)
        raise RuntimeError("source is gone")

    with pytest.raises(RuntimeError, match="source is gone"):
        write_shard(f"{tmp_path}/train-00000.arrow", "text", rows())
    assert os.listdir(tmp_path) == []


def test_a_truncated_shard_is_named(store):
    path = f"{store}/train-00001.arrow"
    os.truncate(path, os.path.getsize(path) - 100)
    ShardReader(store, "validation")
    with pytest.raises(ShardError, match=r"train-00001\.arrow is truncated"):
        ShardReader(store, "train")


def test_one_flipped_bit_is_found_even_after_an_earlier_look(store):
    ShardReader(store, "train")
    path = f"{store}/train-00000.arrow"
    content = bytearray(open(path, "rb").read())
    content[len(content) // 2] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(ShardError, match=r"train-00000\.arrow is damaged: sha256"):
        ShardReader(store, "train")


def test_missing_pieces_are_named(store):
    with pytest.raises(ShardError, match="no shard of the test split"):
        ShardReader(store, "test")
    os.remove(f"{store}/train-00000.arrow")
    with pytest.raises(ShardError, match=r"train-00000\.arrow is missing"):
        ShardReader(store, "train")
    write_index(store, dataclasses.replace(read_index(store), schema_version=99))
    with pytest.raises(ShardError, match="schema version 99"):
        read_index(store)
    os.remove(f"{store}/index.json")
    with pytest.raises(ShardError, match="never finished"):
        ShardReader(store, "train")


def test_an_object_store_is_read_through_a_verified_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    uri = "memory://shards-files"
    record = write_shard(f"{uri}/train-00000.arrow", "text", text_rows(0, 90))
    write_index(uri, ShardIndex("text", 8, "digest", 4096, (record,)))
    assert ShardReader(uri, "train").rows([3, 80]) == text_rows(3, 1) + text_rows(80, 1)
    assert [p.name for p in (tmp_path / "shards").iterdir()] == [f"{record.sha256}.arrow"]
    copy = tmp_path / "shards" / f"{record.sha256}.arrow"
    copy.write_bytes(copy.read_bytes()[:-9])
    assert ShardReader(uri, "train").rows([3]) == text_rows(3, 1), "a damaged copy is fetched again"
    copy.unlink()
    fsspec.filesystem("memory").pipe_file("/shards-files/train-00000.arrow", b"half")
    with pytest.raises(ShardError, match=r"memory://shards-files/train-00000\.arrow is truncated"):
        ShardReader(uri, "train")


def test_order_is_pure_and_each_epoch_covers_every_row_once():
    batches = [global_batch(10, seed=5, step=step, batch_size=4) for step in range(10)]
    again = [global_batch(10, seed=5, step=step, batch_size=4) for step in reversed(range(10))]
    assert all((a == b).all() for a, b in zip(batches, reversed(again), strict=True))
    samples = np.concatenate(batches).reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in samples.tolist())
    assert len({tuple(epoch) for epoch in samples.tolist()}) == 4, "epochs must differ"
    assert (global_batch(10, seed=6, step=0, batch_size=10) != samples[0]).any()


def test_order_does_not_depend_on_how_steps_are_cut():
    whole = global_batch(1000, seed=1, step=0, batch_size=600)
    halves = [global_batch(1000, seed=1, step=step, batch_size=300) for step in (0, 1)]
    assert (whole == np.concatenate(halves)).all()
    with pytest.raises(ValueError, match="no rows"):
        global_batch(0, seed=1, step=0, batch_size=4)


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_shards_and_cached_copies_are_readable_for_whom_the_umask_says(tmp_path, monkeypatch, umask, mode):
    monkeypatch.setenv("RXT_CACHE", str(tmp_path / "cache"))
    before = os.umask(umask)
    try:
        for uri in (str(tmp_path / "local"), f"memory://shards-umask-{umask}"):
            record = write_shard(f"{uri}/train-00000.arrow", "text", text_rows(0, 9))
            write_index(uri, ShardIndex("text", 8, "digest", 4096, (record,)))
            ShardReader(uri, "train")
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.*")}
    assert found == dict.fromkeys(("train-00000.arrow", "index.json", f"{record.sha256}.arrow"), mode)
