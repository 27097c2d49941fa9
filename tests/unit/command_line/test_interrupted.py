"""Ctrl-C, SIGTERM and SIGHUP end `rxt` at any moment in one line and with exit code 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from pipelines import chat, cli, start
from pipelines.session import Session
from tests.support.processes import SECONDS


def ended(folder: Path, ignored: bool = False) -> tuple[int, str]:
    """`rxt --version` where the named module is one that sends a Ctrl-C while it is loaded."""
    signal_before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        environment = os.environ | {"PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.start", "--version"],
            env=environment, cwd=start.__file__.rpartition("/pipelines/")[0],
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal_before)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_while_modules_are_loaded(tmp_path, name):
    """Also where a module catches all exceptions."""
    sends = f"import os, signal\ntry:\n    os.kill(os.getpid(), signal.{name})\nexcept BaseException:\n    pass\n"
    (tmp_path / "typer.py").write_text(sends + "raise SystemExit(7)\n")
    assert ended(tmp_path) == (130, "interrupted\n")


def test_what_is_ignored_as_in_a_shells_background_stays_so(tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(7)\n")
    assert ended(tmp_path, ignored=True) == (7, "")


def test_while_a_command_works(monkeypatch):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Session, "open", interrupt)
    shown = CliRunner().invoke(cli.app, ["status"])
    assert (shown.exit_code, shown.stdout, shown.stderr) == (130, "", "interrupted\n")


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in start.ENDS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", start.ENDS)
def test_before_a_command_hears_signals_itself(monkeypatch, capfd, handlers, number):
    monkeypatch.setattr(cli, "prepare_home", lambda: signal.raise_signal(number))
    monkeypatch.setattr(cli, "prepare_streams", lambda: None)
    with pytest.raises(SystemExit) as left:
        start.main()
    assert left.value.code == 130 and capfd.readouterr().err == "interrupted\n"


def test_a_chat_that_answers_is_ended_and_does_not_go_on_with_the_next_turn(monkeypatch, capfd, handlers):
    """Ctrl-C stops an answer alone."""

    def answers():
        yield "a"
        signal.raise_signal(signal.SIGTERM)
        yield "b"

    session = SimpleNamespace(
        answer=lambda said: answers(), kept_tokens=lambda said: (1, 1), fills_up=lambda: False, call=None, tools=None
    )
    monkeypatch.setattr(cli, "prepare_streams", lambda: None)
    monkeypatch.setattr(cli, "app", lambda **_: chat._say(session, "Hello"))
    with pytest.raises(SystemExit) as left:
        start.main()
    assert left.value.code == 130 and capfd.readouterr().out == "rxt> a"
