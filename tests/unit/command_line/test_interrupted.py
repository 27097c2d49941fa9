"""Ctrl-C at any moment ends in one line and exit code 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import cli, start
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


@pytest.mark.parametrize("catches", ["", "try:\n    interrupt()\nexcept BaseException:\n    pass\n"])
def test_while_modules_are_loaded(tmp_path, catches):
    call = catches or "interrupt()\n"
    body = f"import os, signal\ndef interrupt():\n    os.kill(os.getpid(), signal.SIGINT)\n    import time\n{call}"
    (tmp_path / "typer.py").write_text(body + "raise SystemExit(7)\n")
    assert ended(tmp_path) == (130, "interrupted\n")
    assert ended(tmp_path, ignored=True) == (7, "")  # as in a shell's background


def test_while_a_command_works(monkeypatch):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Session, "open", interrupt)
    shown = CliRunner().invoke(cli.app, ["status"])
    assert (shown.exit_code, shown.stdout, shown.stderr) == (130, "", "interrupted\n")


def test_between_commands(monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare_home", lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(cli, "prepare_streams", lambda: None)
    with pytest.raises(SystemExit) as left:
        start.main()
    assert left.value.code == 130 and capsys.readouterr().err == "interrupted\n"
