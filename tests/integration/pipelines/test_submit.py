"""Submitting to a real head with token authentication on, on private ports of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import cli, start
from pipelines import submit as module
from pipelines.cluster import Cluster, SubmitError
from pipelines.guard.token import TokenError
from pipelines.submit import submit
from tests.support.nano import Workspace, built
from tests.support.processes import SECONDS, started, until
from tests.support.servers import cluster

TOKEN = "5f" * 32
CLI = """
import json, os, sys, time

def main():
    print("command", sys.argv[1:])
    print("environment", json.dumps(dict(os.environ)))
    print("here", sorted(os.listdir(".")))
    if "sleep" in sys.argv:
        try:
            print("sleeping", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("saved what it needs", flush=True)
            sys.exit(130)
    if "RXT_JOB_CONFIG" in os.environ:
        print("config", open(os.environ["RXT_JOB_CONFIG"]).read())
    print("zażółć gęślą jaźń")
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def head(short_folder):
    """Give the address of a head that runs for this module."""
    folder = short_folder()
    with ExitStack() as nodes:
        address, gcs = nodes.enter_context(cluster.head(folder, TOKEN, os.environ))

        def add_node() -> None:
            nodes.enter_context(cluster.another_node(short_folder(), gcs, TOKEN, os.environ))
            cluster.wait_for_nodes(address, TOKEN, 2)

        yield address, add_node, folder


@pytest.fixture
def workspace(short_folder):
    found = Workspace.fresh(short_folder())
    yield found
    found.close()


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """Make a repository whose command line is a few lines; `pipelines.start` is the real one."""
    root = tmp_path / "clone"
    for package in ("pipelines", "jobs", "tokenization", "rxt_model"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").touch()
    (root / "pipelines" / "cli.py").write_text(CLI)
    shutil.copy(start.__file__, root / "pipelines" / "start.py")
    (root / "pyproject.toml").touch()
    (root / ".env").write_text("SECRET=1")
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    return root


PLANTED = {
    "AWS_ACCESS_KEY_ID": "planted-aws-id",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "AWS_SESSION_TOKEN": "planted-aws-session",
    "MLFLOW_TRACKING_USERNAME": "planted-mlflow-user",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "PGPASSWORD": "planted-database-password",
    "HF_TOKEN": "planted-hub-token",
}
WHERE = {"store": "/data/artifacts", "tracking_uri": "sqlite:////data/mlflow.db"}


def test_the_job_runs_the_same_command_and_its_exit_code_comes_back(head, clone, tmp_path, capsys, monkeypatch):
    address, *_ = head
    (tmp_path / "my.toml").write_text("sft.steps = 7")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    command = ["run", "tiny", "--set", "export.name=a b", "--config", str(tmp_path / "my.toml")]
    assert submit(address, command, True, **WHERE) == 3

    first, dashboard, follow, stop, *log = capsys.readouterr().out.splitlines()
    job = first.split()[1]
    assert dashboard.split()[-1] == f"{address}/#/jobs/{job}"
    assert follow.split(None, 1)[1] == f"RAY_AUTH_MODE=token ray job logs --address {address} --follow {job}"
    assert stop.split(None, 1)[1] == f"RAY_AUTH_MODE=token ray job stop --address {address} {job}"
    log = "\n".join(log)
    assert f"command {command}" in log
    assert "config sft.steps = 7" in log and "zażółć gęślą jaźń" in log
    files = ["config.toml", "jobs", "pipelines", "pyproject.toml", "rxt_model", "tokenization"]
    assert f"here {files}" in log
    environment = json.loads(next(x for x in log.splitlines() if x.startswith("environment")).split(None, 1)[1])
    assert environment["RXT_STORE"] == "/data/artifacts" and environment["RXT_JOB"] == job
    assert environment["MLFLOW_TRACKING_URI"] == "sqlite:////data/mlflow.db" and "RXT_COMMIT" in environment
    assert "hush" not in environment.values()
    recorded = Cluster(address).client().get_job_info(job)
    assert TOKEN not in f"{recorded.runtime_env} {recorded.metadata}"


def test_interrupting_leaves_the_job_alone_and_stopping_it_lets_it_save(head, clone):
    address, *_ = head
    code = f"""
import sys
from pathlib import Path
from pipelines import submit
submit.ROOT = Path({str(clone)!r})
sys.exit(submit.submit({address!r}, ["sleep"], True, **{WHERE!r}))
"""
    with started([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as follower:
        lines = [follower.stdout.readline()]
        while lines[-1] != "sleeping\n":
            assert lines[-1], f"it ended early: {lines}"
            lines.append(follower.stdout.readline())
        follower.send_signal(signal.SIGINT)
        rest, _ = follower.communicate(timeout=SECONDS)
    job = lines[0].split()[1]
    assert follower.returncode == 130 and f"job {job} goes on" in rest and "ray job stop" in rest

    client = Cluster(address).client()
    assert client.get_job_status(job) == "RUNNING"
    client.stop_job(job)
    until(lambda: client.get_job_status(job).is_terminal())
    assert client.get_job_status(job) == "STOPPED" and "saved what it needs" in client.get_job_logs(job)


def test_a_second_submission_follows_the_first_and_jobs_are_listed_and_stopped(head, clone, capsys):
    address, *_ = head
    command = ["stage", "rerun", "sft", "sleep"]
    assert submit(address, command, False, **WHERE) == 0
    name = capsys.readouterr().out.split()[1]
    assert name.startswith("rxt-tiny-")
    assert submit(address, command, False, **WHERE) == 0
    assert capsys.readouterr().out == f"job {name} does this already, with the same code\n"
    (clone / "pipelines" / "edited.py").touch()
    with pytest.raises(SubmitError, match=f"job {name} does this already, with other code") as error:
        submit(address, command, False, **WHERE)
    assert error.value.remedy == f"rxt jobs stop {name}"
    cluster = Cluster(address)
    until(lambda: "sleeping" in cluster.client().get_job_logs(name))

    def rxt(*words):
        return CliRunner().invoke(cli.app, ["jobs", *words, "--address", address])

    listed = json.loads(rxt("--json").stdout)["jobs"]
    assert (listed[-1]["job"], listed[-1]["state"]) == (name, "RUNNING")
    assert listed[-1]["command"] == "rxt stage rerun sft sleep"
    assert f"job {name} was asked to stop" in rxt("stop", name[:-1]).stdout
    until(lambda: cluster.job(name).has_ended)
    followed = rxt("follow", name)
    assert followed.exit_code == 130 and "saved what it needs" in followed.stdout
    assert name in rxt().stdout
    wrong = rxt("stop", "rxt-nobody")
    assert wrong.exit_code == 2 and "no such job; the newest are: " in wrong.stderr


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"tracking_uri": "postgresql://u:planted@h/db"}, r"MLFLOW_TRACKING_URI=postgresql://u:\*\*\*@h/db holds"),
        ({"store": "s3://key:planted-password@bucket/x"}, r"RXT_STORE=s3://key:\*\*\*@bucket/x holds"),
    ],
)  # fmt: skip
def test_an_address_with_a_login_is_not_sent(clone, changed, shown):
    with pytest.raises(SubmitError, match=shown) as error:
        submit("http://127.0.0.1:1", ["run"], True, **{**WHERE, **changed})
    assert "planted" not in f"{error.value} {error.value.remedy}" and "every machine" in error.value.remedy


def test_a_wrong_or_missing_token_explains_itself(head, clone, tmp_path, monkeypatch):
    address, *_ = head
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(SubmitError, match="refused the token from RAY_AUTH_TOKEN$") as error:
        submit(address, ["run"], True, **WHERE)
    assert "get-auth-token" in error.value.remedy and "0000" not in str(error.value)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SubmitError, match="demands a token, and none was found"):
        submit(address, ["run"], True, **WHERE)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(TOKEN + "\n")
    assert Cluster(address).token.source == str(tmp_path / ".ray" / "auth_token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(TokenError, match="nowhere: no such file"):
        submit(address, ["run"], True, **WHERE)


def test_the_real_command_writes_shards_on_the_cluster_and_leaves_no_secret_anywhere(head, workspace):
    address, _, session = head
    config = workspace.folder / "nano.toml"
    config.write_text(config.read_text().replace('path = "', f'path = "{workspace.folder}/'))
    command = ("submit", "--address", address, "run", "tiny", "--config", "nano.toml", "--until", "text-shards")
    output = workspace.rxt(*command, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, **PLANTED)
    log = output.partition("  stop ")[2]
    assert f"store {workspace.store}   " in log and "preset tiny   config nano.toml" in log
    assert re.search(r"^text-shards: \d+/\d+   text-\d+ [\d,]+ tokens$", log, re.MULTILINE)
    assert built(log) == ["corpus", "tokenizer", "text-shards"]
    status = workspace.status()
    assert status["text-shards"]["state"] == "complete"
    assert (workspace.artifact("text-shards") / "train-00000.arrow").exists()
    assert "next: rxt run --config nano.toml   builds " in log

    (job,) = re.findall(r"^job (\S+)", output, re.MULTILINE)
    request = urllib.request.Request(f"{address}/api/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        told = [output.encode(), response.read()]
    secrets = [secret.encode() for secret in (TOKEN, *PLANTED.values())]
    assert not [secret for secret in secrets for text in told if secret in text]
    left = [path for folder in (workspace.folder, session) for path in folder.rglob("*") if path.is_file()]
    assert {"mlflow.db", "manifest.json", f"job-driver-{job}.log"} <= {path.name for path in left}
    # the jobs of other tests on this cluster print their environment
    left = [path for path in left if job in path.name or not path.name.startswith("job-driver-")]
    assert not [path for path in left for secret in secrets if secret in path.read_bytes()]


def test_a_folder_is_refused_as_the_place_of_several_nodes(head, clone, capsys):
    address, add_node, _ = head
    add_node()
    with pytest.raises(SubmitError, match="/data/artifacts lies on one machine.*2 nodes") as error:
        submit(address, ["run"], True, **WHERE)
    assert "RXT_STORE=s3://" in error.value.remedy
    shared = {"store": "s3://bucket/artifacts"}
    with pytest.raises(SubmitError, match="sqlite:////data/mlflow.db lies on one machine.*2 nodes") as error:
        submit(address, ["run"], True, **{**WHERE, **shared})
    assert error.value.remedy.startswith("MLFLOW_TRACKING_URI=http://")
    shared["tracking_uri"] = "http://mlflow:5000"
    assert submit(address, ["run"], False, **shared) == 0
    assert capsys.readouterr().out.startswith("job rxt-")
