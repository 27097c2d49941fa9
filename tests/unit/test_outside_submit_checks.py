"""What `rxt submit` refuses before a cluster is involved."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from ports import free_port

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


def test_only_our_packages_and_named_files_are_packed(tmp_path, monkeypatch):
    config = tmp_path / "a b.toml"
    config.write_text("[sft]")
    folder = tmp_path / "packed"
    folder.mkdir()
    command = submit._pack(folder, ["run", "tiny", f"--config={config}"])
    assert command == ["run", "tiny", "--config=config-2-a b.toml"]
    assert (folder / "config-2-a b.toml").read_text() == "[sft]"
    assert {p.name for p in folder.iterdir()} == {*submit.UPLOADED, "config-2-a b.toml"}
    assert not list(folder.rglob("__pycache__"))
    assert submit._check_size(folder) == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    monkeypatch.setattr(submit, "MAX_UPLOAD_BYTES", 1000)
    with pytest.raises(SubmitError, match=r"largest: \w+/.*\.py"):
        submit._check_size(folder)


def test_a_configuration_that_is_missing_is_named(tmp_path):
    for command in (["run", "--config", "nowhere.toml"], ["run", "--config"]):
        folder = tmp_path / str(len(command))
        folder.mkdir()
        with pytest.raises(SubmitError, match="--config"):
            submit._pack(folder, command)


def test_without_a_clone_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setattr(submit, "ROOT", Path(tmp_path))
    with pytest.raises(SubmitError, match="from a clone"):
        submit._pack(tmp_path, ["run"])
