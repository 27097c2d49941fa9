"""A checkpoint folder from elsewhere runs no code when it is loaded."""

from __future__ import annotations

import io
import pickle

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, MetadataIndex

from jobs.training.checkpoint_reader import read_metadata, reader


class Attack:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def state():
    return {"model": {"w": torch.arange(6.0).view(2, 3), "n": torch.ones(2, dtype=torch.bfloat16)}}


@pytest.fixture
def folder(tmp_path):
    dcp.save(state(), checkpoint_id=str(tmp_path / "step"))
    return tmp_path / "step"


@pytest.mark.parametrize("form", ["{}", "memory://{}"])
def test_what_dcp_wrote_is_read(tmp_path, form):
    uri = form.format(tmp_path / "step")
    dcp.save(state(), checkpoint_id=uri)
    found = {"model": {name: torch.zeros_like(tensor) for name, tensor in state()["model"].items()}}
    dcp.load(found, storage_reader=reader(uri))
    assert all(torch.equal(found["model"][name], tensor) for name, tensor in state()["model"].items())


def test_metadata_that_calls_a_function_is_refused_and_named(folder, tmp_path):
    (folder / ".metadata").write_bytes(pickle.dumps(Attack(tmp_path / "owned")))
    with pytest.raises(dcp.CheckpointException, match=r"it names (_?io)\.open"):
        dcp.load(state(), storage_reader=reader(str(folder)))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (Metadata({"w": BytesStorageMetadata()}), "BytesStorageMetadata"),
        (Metadata({}, storage_data={MetadataIndex("w"): _StorageInfo("../../else", 0, 1)}), "no file of the folder"),
        ({"a": 1}, "not the metadata"),
    ],
)
def test_what_would_be_unpickled_later_or_lies_elsewhere_is_refused(metadata, reason):
    with pytest.raises(pickle.UnpicklingError, match=reason):
        read_metadata(io.BytesIO(pickle.dumps(metadata)))
