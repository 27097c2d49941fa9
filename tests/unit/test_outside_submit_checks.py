"""What `rxt submit` refuses before a cluster is involved."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from ports import free_port

from jobs.context import StageError
from pipelines import submit
from pipelines.submit import Cluster, SubmitError


@pytest.fixture
def web_page():
    """Address of a server that answers every path, with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_an_unreachable_cluster_is_named_with_the_reason():
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SubmitError, match=f"{address}: .*refused") as error:
        Cluster(address + "/")
    assert "ray start --head" in error.value.remedy


def test_something_else_on_the_port_is_told_apart(web_page):
    with pytest.raises(SubmitError, match=f"{web_page} answers, but is no Ray dashboard"):
        Cluster(web_page)


def test_the_other_port_of_ray_takes_no_jobs(monkeypatch):
    with pytest.raises(SubmitError, match="ray://127.0.0.1:10001: not an http URL"):
        Cluster("ray://127.0.0.1:10001")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(submit, "DEFAULT_ADDRESS", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SubmitError, match=submit.DEFAULT_ADDRESS):
        Cluster(None)


def test_only_our_packages_and_the_named_file_are_packed(tmp_path, monkeypatch):
    config = tmp_path / "a b.toml"
    config.write_text("[sft]")
    folder = tmp_path / "packed"
    folder.mkdir()
    assert submit._config_file(["run", "tiny", "--config", "first.toml", f"--config={config}"]) == config
    submit._pack(folder, config)
    assert (folder / "config.toml").read_text() == "[sft]"
    assert {p.name for p in folder.iterdir()} == {*submit.UPLOADED, "config.toml"}
    assert not list(folder.rglob("__pycache__"))
    assert submit._check_size(folder) == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    monkeypatch.setattr(submit, "MAX_UPLOAD_BYTES", 1000)
    with pytest.raises(SubmitError, match=r"largest: \w+/.*\.py"):
        submit._check_size(folder)


def test_a_configuration_that_is_missing_is_named():
    for command in (["run", "--config", "nowhere.toml"], ["run", "--config"]):
        with pytest.raises(StageError, match="--config"):
            submit._config_file(command)


def test_texts_named_by_a_relative_path_are_refused(tmp_path):
    file = tmp_path / "my.toml"
    for path, refused in (("texts/en.jsonl", True), (f"{tmp_path}/en.jsonl", False), ("s3://bucket/*.txt", False)):
        source = f'{{ name = "x", kind = "files", path = "{path}", language = "en", licence = "CC0-1.0" }}'
        file.write_text(f"[corpus]\nsources = [{source}]\n")
        for words in (["--config", str(file)], ["--set", f"corpus.sources=[{source}]"]):
            if not refused:
                submit._config_file(["run", *words])
                continue
            with pytest.raises(SubmitError, match="path 'texts/en.jsonl' is relative") as error:
                submit._config_file(["run", *words])
            assert str(Path(path).absolute()) in error.value.remedy
    file.write_text('[corpus]\nsources = [{ name = "x", kind = "hub", path = "someone/texts" }]\n')
    assert submit._config_file(["run", "--config", str(file)]) == file


def test_without_a_clone_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setattr(submit, "ROOT", Path(tmp_path))
    with pytest.raises(SubmitError, match="from a clone"):
        submit._pack(tmp_path, None)
