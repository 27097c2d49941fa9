"""Reads a DCP checkpoint folder without running what is in it.

DCP writes its metadata as a pickle, and loads it as one: a foreign `.metadata` could call any function. Here only the
few classes that DCP writes for a state of tensors are made. Bytes, which DCP would unpickle as well, are not among
them.
"""

from __future__ import annotations

import pickle
from typing import IO, Any, cast

import torch
from fsspec import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

_METADATA = "torch.distributed.checkpoint.metadata"
KNOWN = {
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),  # as newer Pythons write it
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    *((_METADATA, name) for name in ("Metadata", "MetadataIndex", "StorageMeta", "ChunkStorageMetadata")),
    *((_METADATA, name) for name in ("TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING")),
}


class MetadataUnpickler(pickle.Unpickler):
    """Makes what DCP writes about tensors, and nothing else. Raises pickle.UnpicklingError."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == "torch" and isinstance(getattr(torch, global_name, None), torch.dtype):
            return getattr(torch, global_name)
        if (module_name, global_name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which no checkpoint of tensors holds")
        return super().find_class(module_name, global_name)


def read_metadata(file: IO[bytes]) -> Metadata:
    """The metadata in a file. Raises pickle.UnpicklingError for anything else, also for data outside of the folder."""
    metadata = MetadataUnpickler(file).load()
    if not isinstance(metadata, Metadata):
        raise pickle.UnpicklingError("it is not the metadata of a checkpoint")
    names = {info.relative_path for info in (metadata.storage_data or {}).values()}
    if outside := sorted(name for name in names if "/" in name or name.startswith(".")):
        raise pickle.UnpicklingError(f"it names {outside[0]}, which is no file of the folder")
    return metadata


class _WithoutPickle(FileSystemReader):
    def read_metadata(self, *_: Any, **options: Any) -> Metadata:
        with self.fs.create_stream(self._get_metadata_path(options.get("rank")), "rb") as file:
            metadata = read_metadata(cast("IO[bytes]", file))
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _FromUrl(_WithoutPickle, FsspecReader):
    pass


def reader(uri: str) -> FileSystemReader:
    """A storage reader of DCP for the checkpoint folder at a path or URL."""
    fs, path = url_to_fs(uri)
    return _WithoutPickle(path) if isinstance(fs, LocalFileSystem) else _FromUrl(uri)
