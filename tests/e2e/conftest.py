"""One run of the nano pipeline for all end-to-end tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nano import Workspace


def short_folder() -> Path:
    """Ray keeps sockets there, and their paths must be short."""
    return Path(tempfile.mkdtemp(prefix="rxt-", dir="/tmp"))


@pytest.fixture(scope="session")
def nano() -> Iterator[Workspace]:
    """Every stage complete. Only to be read; `first_run` is what the run printed."""
    workspace = Workspace.fresh(short_folder())
    workspace.first_run = workspace.nano("run", "tiny")
    yield workspace
    workspace.close()


@pytest.fixture
def copy(nano) -> Iterator[Workspace]:
    """The finished pipeline, to be changed."""
    workspace = nano.copied_to(short_folder())
    yield workspace
    workspace.close()


@pytest.fixture
def empty() -> Iterator[Workspace]:
    """A store in which nothing is."""
    workspace = Workspace.fresh(short_folder())
    yield workspace
    workspace.close()
