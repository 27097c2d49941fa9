"""Whole files on a local disk and on an object store."""

from __future__ import annotations

import os
import uuid

import pytest

from jobs.rl import files


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_what_was_put_is_found_replaced_and_removed(folder):
    assert files.get(f"{folder}/a/b") is None
    files.put(f"{folder}/a/b", b"one")
    files.put(f"{folder}/a/b", b"two")
    assert files.get(f"{folder}/a/b") == b"two"
    files.remove(f"{folder}/a")
    assert files.get(f"{folder}/a/b") is None
    files.remove(f"{folder}/a")


def test_a_local_file_is_replaced_by_rename(tmp_path, monkeypatch):
    files.put(f"{tmp_path}/state", b"old")

    def fail(source, target):
        raise OSError("killed here")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="killed here"):
        files.put(f"{tmp_path}/state", b"new")
    assert files.get(f"{tmp_path}/state") == b"old"
