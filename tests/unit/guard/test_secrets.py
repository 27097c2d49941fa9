"""No text that we show or record holds a secret that this process knows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.code_digest import ROOT
from pipelines.guard.secrets import redacted, remember
from tests.support.processes import SECONDS


@pytest.mark.parametrize(
    "name",
    ["RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN",
     "HUGGING_FACE_HUB_TOKEN", "PGPASSWORD", "MYSQL_PWD", "GOOGLE_API_KEY"],
)  # fmt: skip
def test_secrets_of_the_environment_are_hidden(monkeypatch, name):
    monkeypatch.setenv(name, "hush-hush")
    assert redacted("Invalid header b'Bearer hush-hush'") == "Invalid header b'Bearer ***'"


def test_what_names_a_place_is_shown(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/me/token")
    monkeypatch.setenv("OLDPWD", "/home/me/work")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsefalse")
    told = "/home/me/token /home/me/work falsefalse"
    assert redacted(told) == told


def test_the_password_of_an_address_is_hidden_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:p%40ss%2Fword@h/db")
    told = 'password "p@ss/word" for user u, p%40ss%2Fword, postgresql://u:p%40ss%2Fword@h/db'
    assert redacted(told) == 'password "***" for user u, ***, postgresql://u:***@h/db'


def test_a_secret_from_a_file_is_remembered():
    remember("from-a-file")
    assert redacted("x from-a-file y") == "x *** y"


def test_no_traceback_shows_a_secret(monkeypatch):
    code = """
import os, sys
from pipelines import cli
@cli.app.command()
def breaks():
    raise ValueError(f"Invalid header value Bearer {os.environ['RAY_AUTH_TOKEN']}")
sys.argv = ["rxt", "breaks"]
cli.main()
"""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush-hush")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1 and "Traceback" in done.stderr and "Bearer ***" in done.stderr
    assert "hush-hush" not in done.stdout + done.stderr
