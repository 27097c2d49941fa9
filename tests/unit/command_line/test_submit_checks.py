"""What `rxt submit` refuses before a cluster is involved."""

from __future__ import annotations

import http.server
import os
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.stage.context import StageError
from pipelines import cli, cluster, submit
from pipelines.cluster import Cluster, SubmitError
from tests.support.processes import free_port


@pytest.fixture
def web_page(request):
    """Give the address of a server that answers every path with a page, or with what a test names."""
    answer = getattr(request, "param", b"<html>")

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

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


@pytest.mark.parametrize(
    "web_page", [b"[1]", b"5", b'[{"submission_id": "a"}]', b'{"data": null}', b'{"data": {}}'], indirect=True
)
def test_other_json_on_the_port_is_told_apart(web_page):
    found = Cluster(web_page)
    for ask in (found.jobs, found.nodes):
        with pytest.raises(SubmitError, match=f"{web_page} answers, but is no Ray dashboard"):
            ask()


def test_the_other_port_of_ray_takes_no_jobs(monkeypatch):
    with pytest.raises(SubmitError, match="ray://127.0.0.1:10001: not an http URL"):
        Cluster("ray://127.0.0.1:10001")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(cluster, "DEFAULT_ADDRESS", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SubmitError, match=cluster.DEFAULT_ADDRESS):
        Cluster(None)


def test_a_job_is_given_no_pipe():
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(SubmitError, match=f"/dev/fd/{reading}: a job can be given a file"):
        submit._config_file(["run", "--config", f"/dev/fd/{reading}"])
    os.close(reading)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run --nope", "No such option: --nope"),
        ("run tiny more", "unexpected extra argument"),
        ("run tny", "error: tny: unknown preset; did you mean tiny?"),
        ("run --until sfd", "error: sfd: unknown stage; did you mean sft?"),
        ("run --set sft.stps=1", "error: sft.stps: unknown; did you mean sft.steps?"),
        ("run --config absent.toml", "error: --config absent.toml: no such file"),
        ("stage rerun", "Missing argument 'STAGE'"),
        ("stage rerun mrl", "error: mrl: unknown stage"),
    ],
)
def test_what_the_job_would_refuse_is_refused_before_a_cluster_is_asked(monkeypatch, words, told):
    monkeypatch.setattr(submit, "Cluster", lambda address: pytest.fail("the cluster was asked"))
    done = CliRunner().invoke(cli.app, ["submit", *words.split()])
    assert done.exit_code == 2 and told in done.output


def test_help_of_a_submitted_command_is_printed_here(monkeypatch):
    monkeypatch.setattr(submit, "Cluster", lambda address: pytest.fail("the cluster was asked"))
    done = CliRunner().invoke(cli.app, ["submit", "stage", "rerun", "--help"])
    assert done.exit_code == 0 and "rxt stage rerun" in done.output and "--downstream" in done.output


def test_only_our_packages_and_the_named_file_are_packed(tmp_path, monkeypatch):
    config = tmp_path / "a b.toml"
    config.write_text("sft.steps = 7")
    folder = tmp_path / "packed"
    folder.mkdir()
    assert submit._config_file(["run", "tiny", "--config", "first.toml", f"--config={config}"]) == config
    submit._pack(folder, config)
    assert (folder / "config.toml").read_text() == "sft.steps = 7"
    assert {p.name for p in folder.iterdir()} == {*submit.UPLOADED, "config.toml"}
    assert not list(folder.rglob("__pycache__"))
    assert submit._check_size(folder) == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    monkeypatch.setattr(submit, "MAX_UPLOAD_BYTES", 1000)
    with pytest.raises(SubmitError, match=r"largest: \w+/.*\.(py|toml)"):
        submit._check_size(folder)


def test_a_configuration_that_is_missing_is_named():
    for command in (["run", "--config", "nowhere.toml"], ["run", "--config"]):
        with pytest.raises(StageError, match="--config"):
            submit._config_file(command)


TEXTS = 'name = "x", kind = "{kind}", path = "{path}", language = "en", licence = "CC0-1.0"'


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("corpus.sources", TEXTS),
        ("corpus.benchmarks", 'name = "x", path = "{path}"'),
        ("interactions.sources", TEXTS + ', adapter = "query_answer"'),
        ("conversations.sources", TEXTS + ', adapter = "query_answer"'),
    ],
)
def test_texts_named_by_a_relative_path_are_refused(tmp_path, key, entry):
    file = tmp_path / "my.toml"
    for path, refused in (("texts/en.jsonl", True), (f"{tmp_path}/en.jsonl", False), ("s3://bucket/*.txt", False)):
        setting = f"{key} = [{{ {entry.format(kind='files', path=path)} }}]"
        file.write_text(setting)
        for words in (["--config", str(file)], ["--set", setting]):
            if not refused:
                submit._config_file(["run", *words])
                continue
            with pytest.raises(SubmitError, match=f"{key}.0.path = 'texts/en.jsonl' is relative") as error:
                submit._config_file(["run", *words])
            assert str(Path(path).absolute()) in error.value.remedy
    if "kind" in entry:
        file.write_text(f"{key} = [{{ {entry.format(kind='hub', path='someone/texts')} }}]")
        assert submit._config_file(["stage", "rerun", "corpus", "--preset=tiny", "--config", str(file)]) == file


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ("run tiny --address http://head:8265", "rxt submit --address http://head:8265 run tiny"),
        ("run --address=http://head:8265 --until sft", "rxt submit --address=http://head:8265 run --until sft"),
        ("--address http://head:8265 run --no-wait", "rxt submit --address http://head:8265 --no-wait run"),
        ("--no-wait stage rerun sft --address", "rxt submit --no-wait --address URL stage rerun sft"),
    ],
)
def test_its_own_options_behind_the_command_are_refused(words, following):
    result = CliRunner().invoke(cli.app, ["submit", *words.split()])
    assert result.exit_code == 2 and "belongs to submit" in result.stderr
    assert result.stderr.splitlines()[-1] == f"next: {following}"


def test_without_a_clone_nothing_is_submitted(tmp_path, monkeypatch):
    monkeypatch.setattr(submit, "ROOT", Path(tmp_path))
    with pytest.raises(SubmitError, match="from a clone"):
        submit._pack(tmp_path, None)
