"""One run of the nano pipeline for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.nano import Workspace


@pytest.fixture(scope="session")
def nano(short_folder) -> Iterator[Workspace]:
    """Every stage is complete. Only read it; `first_run` is what the run printed."""
    workspace = Workspace.fresh(short_folder())
    workspace.first_run = workspace.nano("run", "tiny")
    yield workspace
    workspace.close()


@pytest.fixture
def copy(nano, short_folder) -> Iterator[Workspace]:
    """Give a copy of the finished pipeline, which may be changed."""
    workspace = nano.copied_to(short_folder())
    yield workspace
    workspace.close()


@pytest.fixture
def empty(short_folder) -> Iterator[Workspace]:
    """Give an empty store."""
    workspace = Workspace.fresh(short_folder())
    yield workspace
    workspace.close()
