"""The archive of `rxt support` holds what explains a failure, and no secret."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import cli
from pipelines.session import Session
from pipelines.upkeep import support

PLANTED = {
    "RAY_AUTH_TOKEN": "planted-ray-token",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "PGPASSWORD": "planted-database-password",
    "HF_TOKEN": "planted-hub-token",
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "planted-passphrase",
    "RXT_NOTIFY": "curl -u bob:planted-login https://chat.example",
}
UNKNOWN_HERE = ("Authorization: Bearer planted-elsewhere", "hf_plantedplantedplantedplanted", "AKIAPLANTEDPLANTED12")


@pytest.fixture
def place(tmp_path, monkeypatch, short_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:planted-in-address@127.0.0.1:1/db")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(short_folder()))
    monkeypatch.setattr(support, "examine_machine", list)
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_records_and_logs_are_there_and_no_secret(place):
    session = Session.open("tiny", None, [])
    attempt = session.store.next_attempt("corpus", session.plan()["corpus"].fingerprint)
    secrets = " ".join([*PLANTED.values(), *UNKNOWN_HERE])
    failure = {"message": secrets, "traceback": secrets, "next_command": "", "repeats": False, "rerun": None}
    session.store.write_json(attempt, "attempt.json", {"stage": "corpus"})
    session.store.write_json(attempt, "failure.json", failure | {"type": "OSError", "time": 0.0})
    session.store.append(attempt, "log.txt", "x" * 200_000 + f"the end {secrets}")
    logs = support.ray_folder.folder() / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text(f"raylet died {secrets}")

    shown = CliRunner().invoke(cli.app, ["support", "--output", "bundle.zip"])
    assert shown.exit_code == 0 and shown.stdout.startswith("bundle.zip: "), shown.output
    assert (place / "bundle.zip").stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(place / "bundle.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    records = f"stages/corpus/{attempt.artifact_id}"
    assert {"about.json", "doctor.json", "environment.txt", "config.json", "status.json", "ray/raylet.err",
            f"{records}/failure.json", f"{records}/log.txt"} <= texts.keys()  # fmt: skip
    assert f"RXT_STORE={place}/store" in texts["environment.txt"] and "HF_TOKEN=***" in texts["environment.txt"]
    assert json.loads(texts["status.json"])["stages"][0]["state"] == "failed"
    log = texts[f"{records}/log.txt"]
    assert log.startswith("[the end of 200,") and "the end ***" in log and len(log) < 101_000
    assert [name for name, text in texts.items() if "lanted" in text or "PLANTED" in text] == []


def test_a_secret_that_is_too_short_to_be_found_elsewhere_is_not_in_the_environment(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw9")
    monkeypatch.setenv("RXT_STORE", "memory://bob:p'9@b/x")
    assert CliRunner().invoke(cli.app, ["support", "--output", "bundle.zip"]).exit_code == 0
    with zipfile.ZipFile(place / "bundle.zip") as archive:
        environment = archive.read("environment.txt").decode().splitlines()
    assert {"MLFLOW_TRACKING_PASSWORD=***", "RXT_STORE=memory://bob:***@b/x", "RXT_NOTIFY=***"} <= {*environment}


def test_a_damaged_manifest_is_in_the_archive(place):
    session = Session.open("tiny", None, [])
    attempt = session.store.next_attempt("corpus", session.plan()["corpus"].fingerprint)
    Path(session.store.uri(attempt)).mkdir(parents=True)
    Path(session.store.uri(attempt), "manifest.json").write_text("{ cut")
    assert CliRunner().invoke(cli.app, ["support", "--output", "bundle.zip"]).exit_code == 0
    with zipfile.ZipFile(place / "bundle.zip") as archive:
        assert "manifest.json is damaged" in json.loads(archive.read("status.json"))["error"]
        assert archive.read(f"stages/corpus/{attempt.artifact_id}/manifest.json") == b"{ cut"


def test_an_archive_that_fails_leaves_no_empty_file(place, monkeypatch):
    session = Session.open("tiny", None, [])
    monkeypatch.setattr(support, "examine_machine", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        support.write_bundle(session, place / "bundle.zip")
    assert not (place / "bundle.zip").exists()


def test_a_place_that_cannot_be_written(place):
    shown = CliRunner().invoke(cli.app, ["support", "--output", "no/such/bundle.zip"])
    assert shown.exit_code == 2 and "no/such/bundle.zip cannot be written: No such file" in shown.stderr
