"""Whole files on a local disk and on an object store."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from hashlib import sha256

import fsspec
import pytest

from tokenization.files import storage
from tokenization.files.chains import filesystem_of


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_what_was_put_is_found_replaced_and_removed(folder):
    assert storage.read(f"{folder}/a/b") is None
    storage.write(f"{folder}/a/b", b"one")
    storage.write(f"{folder}/a/b", b"two")
    assert storage.read(f"{folder}/a/b") == b"two"
    storage.remove(f"{folder}/a")
    assert storage.read(f"{folder}/a/b") is None
    storage.remove(f"{folder}/a")


def test_a_local_file_is_replaced_by_rename(tmp_path, monkeypatch):
    storage.write(f"{tmp_path}/state", b"old")

    def fail(source, target):
        raise OSError("killed here")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="killed here"):
        storage.write(f"{tmp_path}/state", b"new")
    assert storage.read(f"{tmp_path}/state") == b"old"


def test_what_cannot_be_finished_leaves_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with pytest.raises(RuntimeError, match="no more"), storage.appearing(f"{folder}/a") as file:
        file.write(b"half")
        raise RuntimeError("no more")
    assert storage.read(f"{folder}/a") is None and not list(tmp_path.rglob("*.tmp"))
    assert storage.publish(f"{folder}/a", lambda file: file.write(b"whole")) == (5, sha256(b"whole").hexdigest())
    assert storage.read(f"{folder}/a") == b"whole" and not list(tmp_path.rglob("*.tmp"))


def test_of_two_that_create_a_file_the_first_wins(folder):
    fs, path = fsspec.url_to_fs(f"{folder}/a/b")
    assert [storage.create(fs, path, data) for data in (b"one", b"two")] == [True, False]
    assert storage.read(f"{folder}/a/b") == b"one" and fs.ls(os.path.dirname(path), detail=False) == [path]


@pytest.mark.parametrize(("url", "package"), [("gs://bucket/a", "gcsfs"), ("abfs://bucket/a", "adlfs")])
def test_a_filesystem_that_is_not_installed_comes_with_the_command_that_installs_it(url, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"`pip install {package}`$"):
        filesystem_of(url)
