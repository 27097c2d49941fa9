"""Store and lease on a local disk and on memory://: exclusive creation, attempts, content digests, one writer."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import uuid
from dataclasses import replace

import pytest
import s3fs

from jobs.stage.context import Interrupted, StageError
from pipelines import artifacts, processes
from pipelines.artifacts import ArtifactStore, Attempt, StoreError, content_digest
from pipelines.lease import LeaseHeld, holder_of, living_holder, take
from tests.support.processes import SECONDS, started, until
from tests.support.toy_graph import QUICK

ATTEMPT = Attempt("pretrain", "0123456789ab", 1)
SLOW = replace(QUICK, heartbeat=60.0, expiry=120.0)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return ArtifactStore(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def put(store, attempt, name, data):
    path = f"{store.root}/{attempt.stage}/{attempt.artifact_id}/{name}"
    store.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    store.fs.pipe_file(path, data)


def test_relative_and_file_urls_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ArtifactStore("here/store").uri(ATTEMPT) == f"{tmp_path}/here/store/pretrain/0123456789ab-1"
    assert ArtifactStore(f"file://{tmp_path}/x").url == f"{tmp_path}/x"
    assert ArtifactStore("memory://x").uri(ATTEMPT).startswith("memory://")


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "abfs://container/x"])
def test_unknown_scheme_is_refused_with_the_url(url):
    with pytest.raises(StageError, match=url) as caught:
        ArtifactStore(url)
    assert caught.value.remedy


def test_unwritable_store_is_refused(tmp_path):
    (tmp_path / "file").touch()
    store = ArtifactStore(str(tmp_path / "file" / "store"))
    with pytest.raises(StageError, match=str(tmp_path / "file" / "store")):
        store.check_writable()


def test_check_writable_leaves_nothing(store):
    store.check_writable()
    assert store.fs.find(store.root) == []


def test_create_is_exclusive_and_keeps_the_first(store):
    assert store.create_json(ATTEMPT, "manifest.json", {"by": 1})
    assert not store.create_json(ATTEMPT, "manifest.json", {"by": 2})
    assert json.loads(store.read_text(ATTEMPT, "manifest.json")) == {"by": 1}
    assert store.names(ATTEMPT) == ["manifest.json"]


def test_attempts_and_numbers(store):
    for attempt in (ATTEMPT, Attempt("pretrain", "0123456789ab", 10), Attempt("pretrain", "ffffffffffff", 2)):
        store.write_json(attempt, "config.json", {})
    put(store, Attempt("pretrain", "stray-folder", 1), "x", b"")
    assert [a.artifact_id for a in store.attempts("pretrain")] == [
        "0123456789ab-1",
        "0123456789ab-10",
        "ffffffffffff-2",
    ]
    assert store.newest("pretrain", "0123456789ab" + "0" * 52).number == 10
    assert store.next_attempt("pretrain", "0123456789ab" + "0" * 52).number == 11
    assert store.newest("sft", "0" * 64) is None


def test_discarded_attempt_is_gone_and_its_number_never_comes_back(store):
    second = Attempt("pretrain", "0123456789ab", 2)
    for attempt in (ATTEMPT, second):
        put(store, attempt, "model/weights", b"w")
        store.commit(attempt, {})
    store.discard(second)
    assert store.attempts("pretrain") == [ATTEMPT] and store.names(second) == []
    assert store.next_attempt("pretrain", "0123456789ab" + "0" * 52).number == 3
    with pytest.raises(StageError, match="there are: 0123456789ab-1"):
        store.find("pretrain", "0123456789ab-2")


def test_a_discard_that_was_cut_off_can_be_finished(store):
    put(store, ATTEMPT, "model/weights", b"w")
    store._create(f"{store.root}/pretrain/discarded-{ATTEMPT.artifact_id}", b"")  # as far as the first one came
    assert store.attempts("pretrain") == [] and store.find("pretrain", ATTEMPT.artifact_id) == ATTEMPT
    store.discard(ATTEMPT)
    assert store.names(ATTEMPT) == []
    with pytest.raises(StageError, match="there are: none"):
        store.find("pretrain", ATTEMPT.artifact_id)


def test_outputs_are_the_result_without_records_and_checkpoints(store):
    for name in (
        "out/a.txt", "model/config.json", "model/model.safetensors", "index.json", "attempt.json", "metrics.jsonl",
        "lease-000001.json", "step-00000010/.metadata", "step-00000010/__0_0.distcp", "checkpoints.json", "run.json",
        "ray-1/x", "rl/checkpoints/x", ".marker", "train-00000.arrow.tmp",
        "checkpoint_manager_snapshot.json", "failure.json",
    ):  # fmt: skip
        put(store, ATTEMPT, name, name.encode())
    outputs = store.outputs(ATTEMPT)
    assert sorted(outputs) == ["index.json", "model/config.json", "model/model.safetensors", "out/a.txt"]
    import hashlib

    assert outputs["out/a.txt"] == {"size": 9, "sha256": hashlib.sha256(b"out/a.txt").hexdigest()}


def test_content_digest_depends_on_names_and_bytes_only(store):
    other = Attempt("pretrain", "ffffffffffff", 1)
    for attempt in (ATTEMPT, other):
        put(store, attempt, "a", b"1")
    assert content_digest(store.outputs(ATTEMPT)) == content_digest(store.outputs(other))
    put(store, other, "a", b"2")
    assert content_digest(store.outputs(ATTEMPT)) != content_digest(store.outputs(other))


def test_append_mends_a_line_that_a_killed_writer_left(store):
    store.write_json(ATTEMPT, "config.json", {})
    store.append(ATTEMPT, "metrics.jsonl", "1\n")
    store.append(ATTEMPT, "metrics.jsonl", "2\n3\n")
    assert store.read_text(ATTEMPT, "metrics.jsonl") == "1\n2\n3\n"
    if store.is_local:
        put(store, ATTEMPT, "metrics.jsonl", b"1\nhal")
        store.append(ATTEMPT, "metrics.jsonl", "2\n")
        assert store.read_text(ATTEMPT, "metrics.jsonl") == "1\nhal\n2\n"


def test_a_live_holder_is_named(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    with pytest.raises(LeaseHeld, match=f"pretrain 0123456789ab-1 is being written by pid {os.getpid()} on "):
        take(store, ATTEMPT, print, times=QUICK)
    lease.release()
    take(store, ATTEMPT, print, times=QUICK).release()
    assert list(store.names(ATTEMPT)) == ["lease-000001.json", "lease-000002.json"]


def silenced(store):
    """Make the record of the first lease that of a process elsewhere, which shows no heartbeat."""
    record = store.read_json(ATTEMPT, "lease-000001.json")
    store.write_json(ATTEMPT, "lease-000001.json", record | {"processes": "another machine"})


def holder_record(store, **changes):
    lease = take(store, ATTEMPT, print, times=QUICK)
    lease.release()
    record = store.read_json(ATTEMPT, "lease-000001.json") | {"released": False} | changes
    store.write_json(ATTEMPT, "lease-000001.json", record)
    return record


def test_a_dead_local_holder_is_outlived_after_the_grace_time(store):
    with started([sys.executable, "-c", ""]) as process:
        process.wait(SECONDS)
    holder_record(store, pid=process.pid)
    said = []
    began = time.monotonic()
    lease = take(store, ATTEMPT, said.append, times=QUICK)
    assert time.monotonic() - began >= QUICK.grace
    assert f"pid {process.pid}" in said[0] and "is gone" in said[0]
    assert holder_of(store, ATTEMPT).number == 2
    lease.release()


def test_a_reused_process_id_is_not_the_holder(store):
    holder_record(store, started=1.0)
    lease = take(store, ATTEMPT, print, times=QUICK)
    assert lease.is_ours() and holder_of(store, ATTEMPT).number == 2
    lease.release()


def test_a_holder_elsewhere_is_watched_on_our_own_clock(store):
    holder_record(store, processes="another machine", time=time.time() + 1e6)  # its clock is far ahead
    said = []
    began = time.monotonic()
    lease = take(store, ATTEMPT, said.append, times=QUICK)
    assert time.monotonic() - began >= QUICK.expiry and "cannot be seen from here" in said[0]
    lease.release()


def test_a_holder_elsewhere_that_beats_keeps_its_lease(store):
    record = holder_record(store, processes="another machine", time=time.time() - 1e6)
    looks = iter(range(100))

    def beat_once(_=None):
        if next(looks) == 3:
            store.write_json(ATTEMPT, "lease-000001.json", record | {"beat": 77})
        return False

    with pytest.raises(LeaseHeld):
        take(store, ATTEMPT, print, beat_once, QUICK)


def test_a_holder_elsewhere_counts_as_living_until_it_was_silent_for_the_whole_time(store):
    record = holder_record(store, processes="another machine", time=time.time() - 1e6)
    assert not holder_of(store, ATTEMPT).looks_alive(QUICK)
    beats = threading.Timer(0.3, store.write_json, [ATTEMPT, "lease-000001.json", record | {"beat": 77}])
    beats.start()
    assert living_holder(store, ATTEMPT, print, QUICK).record["pid"] == os.getpid()
    assert living_holder(store, ATTEMPT, print, QUICK) is None


def test_waiting_for_a_lease_can_be_stopped(store):
    holder_record(store, processes="another machine")
    with pytest.raises(Interrupted):
        take(store, ATTEMPT, print, lambda: True, QUICK)


def test_a_holder_that_lost_its_lease_notices_and_may_not_commit(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    record = store.read_json(ATTEMPT, "lease-000001.json")
    store.create_json(ATTEMPT, "lease-000002.json", record | {"pid": 1})
    until(lambda: lease.lost, seconds=10)
    with pytest.raises(LeaseHeld, match="pid 1 "):
        lease.commit({})
    assert store.manifest(ATTEMPT) is None
    lease.release()
    assert store.read_json(ATTEMPT, "lease-000002.json")["pid"] == 1


def test_who_was_taken_for_dead_never_commits_even_between_check_and_commit(store):
    lease = take(store, ATTEMPT, print, times=SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "is_ours", lambda: True)  # it looked, and was frozen then
        silenced(store)
        take(store, ATTEMPT, print, times=QUICK).release()
        with pytest.raises(LeaseHeld):
            lease.commit({"by": 1})
    assert store.read_json(ATTEMPT, "manifest.json") is None and lease.lost
    lease.release()


def test_a_holder_that_died_between_its_decision_and_the_manifest_is_completed_by_the_next(store):
    lease = take(store, ATTEMPT, print, times=SLOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lease.commit({"by": 1})
    silenced(store)
    take(store, ATTEMPT, print, times=QUICK).release()
    assert json.loads(store.read_text(ATTEMPT, "manifest.json")) == {"by": 1}
    lease.release()


def test_a_commit_leaves_no_fence(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    lease.commit({"by": 1})
    lease.release()
    assert store.names(ATTEMPT) == ["lease-000001.json", "manifest.json"]


def test_a_lease_whose_creation_was_answered_by_its_own_repetition_is_ours(store, monkeypatch):
    """An answer gets lost, the client asks again, and hears that the record exists."""
    create = ArtifactStore.create_json
    monkeypatch.setattr(ArtifactStore, "create_json", lambda *arguments: create(*arguments) and False)
    lease = take(store, ATTEMPT, print, times=QUICK)
    assert lease.is_ours() and store.names(ATTEMPT) == ["lease-000001.json"]
    lease.commit({"by": 1})
    assert json.loads(store.read_text(ATTEMPT, "manifest.json")) == {"by": 1}
    lease.release()


def test_the_wall_clock_says_nothing_about_a_holder_on_this_machine(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    record = store.read_json(ATTEMPT, "lease-000001.json")
    for step in (-7200, 7200):
        store.write_json(ATTEMPT, "lease-000001.json", record | {"time": time.time() + step})
        assert holder_of(store, ATTEMPT).looks_alive(QUICK)
        with pytest.raises(LeaseHeld):
            take(store, ATTEMPT, print, times=QUICK)
    assert not {"since", "start"} & record.keys() and isinstance(record["started"], int)
    lease.release()


def test_a_store_that_never_answers_costs_the_lease_though_the_heartbeat_hangs(store, monkeypatch):
    thaw = threading.Event()
    lease = take(store, ATTEMPT, print, times=QUICK)
    monkeypatch.setattr(store, "names", lambda _: thaw.wait(SECONDS) and [])
    until(lambda: lease.lost, seconds=10)
    assert "has not answered" in str(lease.lost)
    lease.release()  # at once
    thaw.set()


def test_the_heartbeat_changes_the_record(store):
    lease = take(store, ATTEMPT, print, times=QUICK)
    until(lambda: holder_of(store, ATTEMPT).record["beat"] >= 3, seconds=10)
    lease.release()
    assert holder_of(store, ATTEMPT).record["released"]


def _race(url, barrier, queue):
    store = ArtifactStore(url)
    for round_number in range(20):
        attempt = Attempt("race", "0" * 12, round_number + 1)
        barrier.wait(SECONDS)
        try:
            lease = take(store, attempt, print, times=QUICK)
        except LeaseHeld:
            lease = None
        won = store.create_json(attempt, "manifest.json", {"pid": os.getpid()})
        barrier.wait(SECONDS)
        queue.put((round_number, lease is not None, won))
        if lease:
            lease.release()


def test_four_processes_race_and_one_wins_each_lease_and_each_manifest(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(str(tmp_path), barrier, queue), daemon=True) for _ in range(4)]
    for racer in racers:
        racer.start()
    results = [queue.get(timeout=SECONDS) for _ in range(80)]
    for racer in racers:
        racer.join(SECONDS)
    for round_number in range(20):
        mine = [r for r in results if r[0] == round_number]
        assert sum(r[1] for r in mine) == 1 and sum(r[2] for r in mine) == 1
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(list(tmp_path.rglob("lease-000001.json"))) == 20 and not list(tmp_path.rglob("lease-000002.json"))
    assert json.loads((tmp_path / "race/000000000000-1/manifest.json").read_text())["pid"] in [r.pid for r in racers]


def test_threads_race_on_memory():
    store, won = ArtifactStore(f"memory://{uuid.uuid4().hex}"), []
    barrier = threading.Barrier(8)

    def create():
        barrier.wait(SECONDS)
        won.append(store.create_json(ATTEMPT, "manifest.json", {}))

    threads = [threading.Thread(target=create, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert sum(won) == 1


def test_a_process_that_cannot_be_looked_at_is_not_gone(monkeypatch):
    """Some machines hide the processes of other users."""
    record = processes.this_process()
    assert processes.is_local(record) and not processes.is_gone(record)

    def hidden(pid):
        raise FileNotFoundError(f"/proc/{pid}/stat")

    monkeypatch.setattr(processes, "_look_at", hidden)
    assert not processes.is_gone(record)
    with started([sys.executable, "-c", ""]) as process:
        process.wait(SECONDS)
    assert processes.is_gone(record | {"pid": process.pid})


@pytest.mark.parametrize("url", ["{folder}/a::b", "file://{folder}/a::b/c", "s3://bucket/a::b"])
def test_two_colons_in_the_name_of_a_store_are_refused(tmp_path, url):
    """fsspec would use the folder `a`."""
    with pytest.raises(StoreError, match="`::` must not be part of its name"):
        ArtifactStore(url.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_never_answers_is_an_error_and_no_endless_wait(monkeypatch):
    monkeypatch.setattr(artifacts, "ANSWER_SECONDS", 0.5)
    s3fs.S3FileSystem.clear_instance_cache()  # else a client of another test, without these keys, may come back
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(StoreError, match=r"^store s3://bucket/x gave no answer within 0.5 s$"):
            ArtifactStore("s3://bucket/x").check_readable()
