"""The corpus stage on Ray if input is bad, large, repeated or vanishes, if a worker dies, and if a disk is full."""

import contextlib
import gzip
import json
import os
import random
import resource
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.configs.texts import BenchmarkConfig
from jobs.corpus import stage as stage
from jobs.corpus.cleaning import clean_piece
from jobs.corpus.judging import find_repeated
from jobs.corpus.plan import plan, read_benchmarks
from jobs.corpus.writing import WriteTask, write_documents
from jobs.stage.context import Restart, StageError
from jobs.stage.tasks import run_tasks
from tests.support.corpus_data import config, content, corpus_context
from tests.support.processes import SECONDS, until
from tokenization import batching
from tokenization.cleaning.benchmark import read_benchmark
from tokenization.cleaning.duplicates import DUPLICATE
from tokenization.cleaning.words import Words
from tokenization.documents import Corpus
from tokenization.sources import listing
from tokenization.sources.source import Source

WORDS = """the a of and in is it that for was with as at this have from had not but what all were when we there can
your which their if will each about how up out them then she many some so river engine violin glacier map garden letter
window mountain teacher kettle crossed carried painted forgot measured followed repaired opened described lost green
quiet old narrow seven early bright because never under behind between""".split()


def page(number: int, words: int = 90) -> str:
    """Make English words that differ for each number."""
    return " ".join(random.Random(number).choices(WORDS, k=words)).capitalize() + "."


def source(name: str, path, **options) -> Source:
    return Source(name=name, kind="files", language="en", licence="CC0-1.0", path=str(path), **options)


def write_rows(path, texts) -> None:
    opened = gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w")
    with opened as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def write_task(task, report, uri: str) -> WriteTask:
    """Write what is kept of a clean piece below `uri`."""
    files = [f"{uri}/documents-00000.parquet", f"{uri}/tags-00000.parquet", f"{uri}/documents-00000.json"]
    return WriteTask(task.source, task.policy, f"{task.url}.parquet", report["sha256"], *files)


@pytest.fixture
def many_pieces(tmp_path, monkeypatch):
    """Make three sources in all formats, ten pieces or more, with duplicates across them."""
    monkeypatch.setattr(listing, "PIECE_BYTES", 20_000)
    write_rows(tmp_path / "a.jsonl", map(page, range(200)))
    pq.write_table(pa.table({"text": list(map(page, range(100, 300)))}), tmp_path / "b.parquet", row_group_size=20,
                   compression="none")  # fmt: skip
    (tmp_path / "c.txt").write_text("\n\n".join(f"Well, {page(n)}" for n in range(250, 400)))
    return tuple(source(name[0], tmp_path / name, split_by="paragraph") for name in ("a.jsonl", "b.parquet", "c.txt"))


def test_many_pieces_give_the_same_bytes_and_no_duplicate_crosses_sources_or_splits(ray_session, many_pieces, tmp_path):
    for folder, parallelism in (("one", 1), ("four", 4)):
        ctx = corpus_context(tmp_path / folder, parallelism)
        stage.build_corpus(ctx, config(many_pieces))
    assert content(tmp_path / "one") == content(tmp_path / "four")
    assert len(list((tmp_path / "one").glob("*.parquet"))) > 10
    texts = {doc.text: doc for doc in Corpus(str(tmp_path / "one")).read(range(400))}
    assert {text: doc.source for text, doc in texts.items()} == (
        {page(n): "a" for n in range(200)}
        | {page(n): "b" for n in range(200, 300)}
        | {f"Well, {page(n)}": "c" for n in range(300, 400)}
    )
    report = json.loads((tmp_path / "one/report.json").read_text())
    b, c = (each["removed"] for each in report["sources"][1:])
    assert b["duplicate"]["documents"] == 100 and c["near-duplicate"]["documents"] == 50
    assert b["duplicate"]["examples"][0] == page(100)[:160]
    assert report["sources"][2]["repaired"] == {"white space": {"documents": 149, "examples": []}}  # line ends
    assert {doc.split for doc in texts.values()} == {"train", "validation", "test"}


def test_texts_of_the_same_words_are_duplicates_and_where_they_stay_in_the_same_split(ray_session, tmp_path):
    short = [page(n, 12) for n in range(100)]
    loud = [f"«{text.upper().replace(' ', '  ')}»" for text in short]
    write_rows(tmp_path / "a.jsonl", [*short, loud[0], loud[1] + " Really."])
    write_rows(tmp_path / "b.jsonl", loud)
    a, b = (source(name, tmp_path / f"{name}.jsonl") for name in "ab")
    stage.build_corpus(corpus_context(tmp_path / "both"), config((a, b)))
    assert [doc.text for doc in Corpus(str(tmp_path / "both")).read(range(300))] == [*short, loud[1] + " Really."]
    report = json.loads((tmp_path / "both/report.json").read_text())
    assert [each["removed"]["duplicate"]["documents"] for each in report["sources"]] == [1, 100]
    stage.build_corpus(corpus_context(tmp_path / "one"), config((b,)))
    splits = [[doc.split for doc in Corpus(str(tmp_path / name)).read(range(100))] for name in ("both", "one")]
    assert splits[0] == splits[1] and set(splits[0]) == {"train", "validation", "test"}


def test_max_bytes_cut_a_source_of_many_pieces_and_the_rest_is_not_read(ray_session, many_pieces, tmp_path):
    cut = replace(many_pieces[0], max_bytes=30_000)
    ctx = corpus_context(tmp_path / "cut", 1)
    stage.build_corpus(ctx, config((cut, many_pieces[1])))
    report = json.loads((tmp_path / "cut/report.json").read_text())
    a, b = report["sources"]
    assert 29_000 < a["bytes"] <= 30_000 and a["pieces"] == 2
    mine = [doc.text for doc in Corpus(str(tmp_path / "cut")).read(range(1_000)) if doc.source == "a"]
    assert mine == [page(n) for n in range(len(mine))]
    # what was cut off does not count as an earlier copy
    assert b.get("removed", {}).get("duplicate", {"documents": 0})["documents"] == max(0, len(mine) - 100)
    stage.build_corpus(corpus_context(tmp_path / "wide", 4), config((cut, many_pieces[1])))
    assert content(tmp_path / "wide") == content(tmp_path / "cut")


def test_bad_input_is_counted_and_listed(ray_session, tmp_path):
    rows = [json.dumps({"text": page(n)}) for n in range(4)]
    (tmp_path / "1.jsonl").write_bytes(
        "\n".join([rows[0], '{"text": null}', rows[1], "{", '{"text": "\\u0000"}']).encode() + b"\n\xff\n"
    )
    pq.write_table(pa.table({"body": ["renamed"]}), tmp_path / "2.parquet")
    (tmp_path / "3.jsonl.gz").write_bytes(gzip.compress((rows[2] + "\n").encode())[:-6])
    (tmp_path / "4.jsonl").write_text(rows[3])
    ctx = corpus_context(tmp_path / "out")
    metrics = stage.build_corpus(ctx, config((source("web", tmp_path / "*.*"),)))
    assert {doc.text for doc in Corpus(str(tmp_path / "out")).read(range(9))} >= {page(0), page(1), page(3)}
    bad = [json.loads(line) for line in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()]
    assert [(each["file"][-7:], each["reason"]) for each in bad] == [
        ("1.jsonl", "null"), ("1.jsonl", "not JSON"), ("1.jsonl", "NUL"), ("1.jsonl", "not UTF-8"),
        ("parquet", "no column"), ("sonl.gz", "unreadable"),
    ]  # fmt: skip
    before = [rows[0], '{"text": null}', rows[1]]
    assert bad[1]["place"] == f"byte {sum(len(row) + 1 for row in before)}"
    assert (bad[1]["source"], bad[1]["excerpt"]) == ("web", "{\n") and bad[1]["detail"].startswith("Expecting")
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["sources"][0]["quarantined"] == {
        "null": 1, "not JSON": 1, "NUL": 1, "not UTF-8": 1, "no column": 1, "unreadable": 1
    }  # fmt: skip
    assert metrics["quarantined"] == 6
    assert any("web: 1 NUL, 1 no column" in message for message in ctx.reporter.messages)


def test_benchmark_texts_stay_out(ray_session, tmp_path):
    write_rows(tmp_path / "web.jsonl", map(page, range(20)))
    write_rows(tmp_path / "exam.jsonl", [" ".join(page(7).split()[20:40]).upper()])
    exam = BenchmarkConfig(name="exam", path=str(tmp_path / "exam.jsonl"))
    stage.build_corpus(
        corpus_context(tmp_path / "out"), config((source("web", tmp_path / "web.jsonl"),), benchmarks=(exam,))
    )
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["documents"]["en"] == 19 and report["sources"][0]["removed"]["benchmark"]["documents"] == 1
    told = read_benchmark(str(tmp_path / "out"))
    assert told.found_in(Words([page(7), page(8)])).tolist() == [True, False]
    stage.build_corpus(corpus_context(tmp_path / "without"), config((source("web", tmp_path / "web.jsonl"),)))
    assert not (tmp_path / "without/benchmark.parquet").exists()
    bad = BenchmarkConfig(name="exam", path=str(tmp_path / "*.none"))
    with pytest.raises(StageError, match="benchmark exam: no file matches"):
        stage.build_corpus(
            corpus_context(tmp_path / "no"), config((source("web", tmp_path / "web.jsonl"),), benchmarks=(bad,))
        )


def test_what_vanishes_half_way_is_named_and_read_again_by_a_rerun(ray_session, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "PIECE_BYTES", 600)
    for number in range(3):
        write_rows(tmp_path / f"{number}.jsonl", [page(number)])
    kept = (tmp_path / "1.jsonl").read_bytes()
    web = config((source("web", tmp_path / "*.jsonl"),))
    ctx = corpus_context(tmp_path / "out", 1)

    def progress(done, total, note=""):
        ctx.reporter.steps.append(done)
        (tmp_path / "1.jsonl").unlink(missing_ok=True)

    monkeypatch.setattr(ctx.reporter, "progress", progress)
    stage.build_corpus(ctx, web)
    assert (
        any("1.jsonl vanished" in message for message in ctx.reporter.messages) and Restart() in ctx.reporter.remedies
    )
    assert [doc.text for doc in Corpus(str(tmp_path / "out")).read(range(9))] == [page(0), page(2)]
    assert json.loads((tmp_path / "out/report.json").read_text())["sources"][0]["gone"]

    monkeypatch.undo()
    monkeypatch.setattr(listing, "PIECE_BYTES", 600)
    (tmp_path / "1.jsonl").write_bytes(kept)
    stage.build_corpus(corpus_context(tmp_path / "again"), web)
    assert len(Corpus(str(tmp_path / "again"))) == 3


def test_a_killed_worker_changes_no_byte(ray_session, tmp_path):
    write_rows(tmp_path / "big.jsonl", (page(n, 600) for n in range(700)))
    big = config((source("big", tmp_path / "big.jsonl"),))
    stage.build_corpus(corpus_context(tmp_path / "calm"), big)
    killed = []

    def kill():
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "clean_piece" in process.name() + " ".join(process.cmdline()):
                    process.kill()
                    killed.append(process.pid)
        return killed

    threading.Thread(target=until, args=(kill,), daemon=True).start()
    stage.build_corpus(corpus_context(tmp_path / "killed"), big)
    assert killed and content(tmp_path / "killed") == content(tmp_path / "calm")


def test_nothing_half_written_counts(tmp_path):
    """A file size limit stops a write, as a full disk does."""
    write_rows(tmp_path / "x.jsonl", map(page, range(300)))
    ctx = corpus_context(tmp_path / "out")
    settings = config((source("x", tmp_path / "x.jsonl"),))
    benchmark = read_benchmarks(settings)
    [task] = plan(ctx, settings, benchmark).tasks
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            clean_piece(task, b"", benchmark)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out/.clean").iterdir()) == []
    assert clean_piece(task, b"", benchmark)["judged"]["documents"] == 300


def test_no_row_group_and_no_batch_of_the_corpus_has_many_long_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_BYTES", 200_000)
    long, short = [page(n, 10_000) for n in range(30)], [page(n, 20) for n in range(100, 3_100)]  # 50 kB each
    write_rows(tmp_path / "x.jsonl", [*long, *short])
    settings = config((source("x", tmp_path / "x.jsonl", skip=("language", "repetition")),))
    benchmark = read_benchmarks(settings)
    [task] = plan(corpus_context(tmp_path / "out"), settings, benchmark).tasks
    report = clean_piece(task, b"", benchmark)
    [(fate, similarity)] = find_repeated([(f"{task.url}.parquet", len(long) + len(short), task.policy)], 1.0)
    fate[:10] = DUPLICATE  # all of the first row groups
    write_documents(write_task(task, report, f"{tmp_path}/out"), fate, similarity, np.zeros(len(fate), np.int8))
    documents = f"{tmp_path}/out/documents-00000"
    longest = max(len(text) for text in long)
    groups = [group for group, _ in Corpus(str(tmp_path / "out")).row_groups()]
    read = [batch["text"].to_pylist() for group in groups for batch in group.read()]
    assert [text for texts in read for text in texts] == [*long[10:], *short]
    assert max(sum(map(len, texts)) for texts in read) <= 200_000 + longest
    footer = pq.read_metadata(f"{documents}.parquet")
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)][:4] == [2, 4, 4, 4]
    assert min(footer.row_group(n).num_rows for n in range(footer.num_row_groups)) > 0
    sizes = [footer.row_group(n).total_byte_size for n in range(footer.num_row_groups)]
    assert max(sizes) < 1.2 * (200_000 + longest) and len(sizes) < 20


def test_a_full_disk_is_an_error_with_the_place_and_what_to_do(ray_session, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, timeout=SECONDS
    ).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        write_rows(tmp_path / "x.jsonl", (page(n, 600) for n in range(500)))
        with pytest.raises(StageError, match="no space is left for the corpus at .*disk.*make room"):
            stage.build_corpus(corpus_context(disk / "out"), config((source("x", tmp_path / "x.jsonl"),)))
        assert not list(disk.rglob("*.parquet"))
    finally:
        subprocess.run(["umount", disk], check=True, timeout=SECONDS)


def test_a_failing_task_ends_those_beside_it(ray_session, tmp_path):
    begun = tmp_path / "begun"

    def work(fails: bool) -> None:
        if fails:
            until(begun.exists)
            raise ValueError("broken")
        begun.write_text(str(os.getpid()))
        time.sleep(60)

    with pytest.raises(StageError, match="ValueError: broken"):
        list(run_tasks(corpus_context(tmp_path), work, [(0, [False]), (1, [True])], "the corpus", at_once=2))
    beside = psutil.Process(int(begun.read_text()))
    with contextlib.suppress(psutil.NoSuchProcess):
        beside.wait(30)
    assert not beside.is_running()


def test_files_on_s3_in_and_out(tmp_path, monkeypatch):
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    for name, value in {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        fs = s3fs.S3FileSystem()
        fs.mkdir("corpus-in")
        write_rows(tmp_path / "w.jsonl.gz", map(page, range(15)))
        write_rows(tmp_path / "x.jsonl", map(page, range(15, 29)))
        (tmp_path / "x.txt").write_text(page(29))
        pq.write_table(pa.table({"text": list(map(page, range(30, 60)))}), tmp_path / "y.parquet")
        for name in ("w.jsonl.gz", "x.jsonl", "x.txt", "y.parquet"):
            fs.put_file(tmp_path / name, f"corpus-in/{name}")
        ctx = corpus_context("s3://corpus-in/out")
        settings = config((source("s3", "s3://corpus-in/*.*"),))
        benchmark = read_benchmarks(settings)
        [task] = plan(ctx, settings, benchmark).tasks
        report = clean_piece(task, b"", benchmark)
        assert report["judged"]["documents"] == 60 and report["quarantined"] == {}
        [decided] = find_repeated([(f"{task.url}.parquet", 60, task.policy)], 0.8)
        all_train = np.zeros(60, np.int8)
        assert write_documents(write_task(task, report, "s3://corpus-in/out"), *decided, all_train)["documents"] == 60
        assert [doc.text for doc in Corpus("s3://corpus-in/out").read(range(60))] == list(map(page, range(60)))
        fs.rm("corpus-in/y.parquet")
        assert clean_piece(task, b"", benchmark) == report  # is finished, and is not read again
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
