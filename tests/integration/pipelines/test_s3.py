"""The store on an S3 server: creation is a conditional PUT, so of several writers exactly one wins."""

from __future__ import annotations

import json
import multiprocessing
import re
import threading
import uuid

import pytest
from moto.server import DomainDispatcherApplication, ThreadedMotoServer, create_backend_app
from werkzeug import Response
from werkzeug.serving import make_server

from jobs.stage.context import StageError
from pipelines.artifacts import MANIFEST, ArtifactStore, Attempt, StoreError
from pipelines.lease import LeaseHeld, LeaseTimes, take
from tests.support.processes import SECONDS

ATTEMPT = Attempt("pretrain", "0123456789ab", 1)
QUICK = LeaseTimes(heartbeat=0.2, expiry=1.0, grace=0.3, poll=0.1)


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def careless_server():
    """Give the address of a server that ignores the condition of a PUT."""
    honest = DomainDispatcherApplication(create_backend_app)

    def careless(environ, start_response):
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return honest(environ, start_response)

    server = make_server("127.0.0.1", 0, careless, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture
def url(server, monkeypatch):
    yield from _bucket(server, monkeypatch)


@pytest.fixture
def careless_url(careless_server, monkeypatch):
    yield from _bucket(careless_server, monkeypatch)


def _bucket(server, monkeypatch):
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"store-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}/rxt"
    s3fs.S3FileSystem.clear_instance_cache()


def test_store_and_lease(url):
    store = ArtifactStore(url)
    store.check_writable()
    assert store.attempts("pretrain") == []
    lease = take(store, ATTEMPT, print, times=QUICK)
    with pytest.raises(LeaseHeld):
        take(store, ATTEMPT, print, times=QUICK)
    store.fs.pipe_file(f"{store.root}/pretrain/{ATTEMPT.artifact_id}/model/weights", b"w" * 10)
    store.append(ATTEMPT, "metrics.jsonl", "1\n")
    store.append(ATTEMPT, "metrics.jsonl", "2\n")
    assert store.read_text(ATTEMPT, "metrics.jsonl") == "1\n2\n"
    assert list(store.outputs(ATTEMPT)) == ["model/weights"]
    manifest = {"stage": "pretrain"}
    lease.commit(manifest)
    lease.release()
    assert json.loads(ArtifactStore(url).read_text(ATTEMPT, MANIFEST)) == manifest
    assert store.uri(ATTEMPT) == f"{url}/pretrain/0123456789ab-1"
    store.discard(ATTEMPT)
    assert store.attempts("pretrain") == [] and store.next_attempt("pretrain", "0123456789ab" + "0" * 52).number == 2


def without_condition(app):
    """Answers as SeaweedFS does: a refused PUT is not told which condition failed."""

    def serve(environ, start_response):
        answer = Response.from_app(app, environ)
        answer.data = re.sub(b"<Condition>.*?</Condition>", b"", answer.data)
        return answer(environ, start_response)

    return serve


def test_a_server_that_does_not_name_the_condition_that_failed(url, monkeypatch):
    import s3fs

    app = without_condition(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        store = ArtifactStore(url)
        assert [store.create_json(ATTEMPT, "manifest.json", {"by": name}) for name in "ab"] == [True, False]
        assert json.loads(store.read_text(ATTEMPT, "manifest.json")) == {"by": "a"}
    finally:
        server.shutdown()


def _create(url, barrier, queue):
    store = ArtifactStore(url)
    for number in range(1, 6):
        barrier.wait(SECONDS)
        queue.put((number, store.create_json(Attempt("race", "0" * 12, number), "manifest.json", {})))


def test_four_processes_race_and_one_creates_each_manifest(url):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_create, args=(url, barrier, queue), daemon=True) for _ in range(4)]
    for racer in racers:
        racer.start()
    results = [queue.get(timeout=SECONDS) for _ in range(20)]
    for racer in racers:
        racer.join(SECONDS)
    assert sorted(number for number, won in results if won) == [1, 2, 3, 4, 5]


def test_a_store_that_ignores_conditional_writes_is_refused_with_the_reason(careless_url):
    store = ArtifactStore(careless_url)
    with pytest.raises(StoreError, match="s3://.*ignores conditional writes: 4 of 4 writers created one file"):
        store.check_writable()
    assert store.fs.find(store.root) == []


def test_a_bucket_that_is_not_there(url):
    store = ArtifactStore("s3://no-such-bucket-here/x")
    for check in (store.check_readable, store.check_writable, store.stages):
        with pytest.raises(StageError, match="no-such-bucket.*: The specified bucket does not exist"):
            check()
    ArtifactStore(f"{url}/nothing-there-yet").check_readable()


def test_a_server_that_does_not_answer_is_a_store_error_though_no_os_error(url, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    store = ArtifactStore(url)
    for action in (lambda: store.names(ATTEMPT), lambda: store.write_json(ATTEMPT, "a.json", {})):
        with pytest.raises(StoreError, match="cannot be used: .*127.0.0.1:1"):
            action()
