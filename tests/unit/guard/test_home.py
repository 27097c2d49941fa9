"""A user id without an account has no home folder, and MLflow's import fails without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.guard.home import prepare_home


def test_without_a_home_folder_libraries_get_one_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    with pytest.raises(RuntimeError):
        Path.home()
    prepare_home()
    assert Path.home() == tmp_path / "home"


def test_a_home_folder_stays_even_if_it_is_not_there(monkeypatch):
    monkeypatch.setenv("HOME", "/nowhere")
    prepare_home()
    assert os.environ["HOME"] == "/nowhere"
