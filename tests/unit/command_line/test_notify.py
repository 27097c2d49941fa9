"""The command in RXT_NOTIFY hears how a run ended, and changes nothing itself."""

from __future__ import annotations

import json

import pytest

from pipelines import notify as module
from pipelines.notify import notify
from pipelines.session import Session


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("HF_TOKEN", "planted-hub-token")
    return Session.open("tiny", None, [])


def test_one_object_with_the_outcome_the_reason_and_all_states(session, tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_NOTIFY", f"cat > {tmp_path}/heard")
    notify(session, 2, 125.0, "the store is away: planted-hub-token")
    heard = json.loads((tmp_path / "heard").read_text())
    assert heard["text"].endswith(": refused after 2 min 5 s: the store is away: ***")
    assert (heard["outcome"], heard["exit_code"], heard["seconds"]) == ("refused", 2, 125.0)
    assert heard["preset"] == "tiny" and {stage["state"] for stage in heard["stages"]} == {"missing", "blocked"}


def test_a_run_that_a_damaged_manifest_ends_is_told(session, tmp_path, monkeypatch):
    attempt = session.store.next_attempt("corpus", session.plan()["corpus"].fingerprint)
    session.store.write_json(attempt, "manifest.json", {})
    monkeypatch.setenv("RXT_NOTIFY", f"cat > {tmp_path}/heard")
    notify(session, 2, 1.0, "manifest.json is damaged")
    heard = json.loads((tmp_path / "heard").read_text())
    assert heard["text"].endswith(": manifest.json is damaged") and heard["stages"] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo oops >&2; exit 7", "warning: the command in RXT_NOTIFY ended with exit code 7: oops\n"),
        (r"printf 'caf\351' >&2; exit 7", "warning: the command in RXT_NOTIFY ended with exit code 7: caf\ufffd\n"),
        (r"printf '\351'; printf '\351' >&2", ""),
        ("exec sleep 9", "warning: the command in RXT_NOTIFY did not end within 0.3 s\n"),
        ("true", ""),
        ("", ""),
    ],
)
def test_a_command_that_fails_is_a_warning(session, monkeypatch, capsys, command, said):
    monkeypatch.setattr(module, "LIMIT_SECONDS", 0.3 if "sleep" in command else 30)
    monkeypatch.setenv("RXT_NOTIFY", command)
    notify(session, 0, 1.0)
    assert capsys.readouterr().err == said
