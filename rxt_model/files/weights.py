"""Write and read tensors in the usual files: model.safetensors, or, from a certain size on, several
model-00001-of-0000N.safetensors with a model.safetensors.index.json that says which file holds what."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:  # the import takes a second, which each chat with a model would wait
    from torch.distributed.tensor import DTensor

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_SIZE = 5 * 10**9  # bytes


class ModelFolderError(ValueError):
    """A model folder cannot be loaded. The message says which file, what was found and what was expected."""


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], max_shard_size: int = MAX_SHARD_SIZE) -> None:
    """Write `tensors`, in order, to files of at most `max_shard_size` bytes. A larger tensor gets a file of its own.

    Each file appears whole, the index last. Files that an earlier model left there are removed.

    Of sharded tensors all ranks must call this together. Each writes every so-many-th file, and holds at most one file
    and one tensor more. They have one folder, or an empty one each; rank 0 writes the index.
    """
    rank, ranks = ranks_of(tensors)
    shards = _split(tensors, max_shard_size)
    names = [WEIGHTS] if len(shards) == 1 else [
        f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)
    ]  # fmt: skip
    if rank == 0:
        earlier = {folder / WEIGHTS, folder / INDEX, *folder.glob("model-[0-9]*-of-[0-9]*.safetensors")}
        for stale in earlier - {folder / name for name in names}:
            stale.unlink(missing_ok=True)
    for first in range(0, len(shards), ranks):
        on_cpu: dict[str, Tensor] = {}
        for writer, shard in enumerate(shards[first : first + ranks]):
            for key in shard:
                tensor = tensors[key].detach()
                whole = cast("DTensor", tensor).full_tensor() if _is_sharded(tensor) else tensor
                if writer == rank:
                    on_cpu[key] = whole.cpu().contiguous()
        if on_cpu:
            with replacing(folder / names[first + rank]) as temporary:
                save_file(on_cpu, temporary, metadata={"format": "pt"})
    if ranks > 1:
        dist.barrier()
    if len(shards) > 1 and rank == 0:
        total = sum(tensor.nbytes for tensor in tensors.values())
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        with replacing(folder / INDEX) as temporary:
            index = {"metadata": {"total_size": total}, "weight_map": places}
            temporary.write_text(json.dumps(index, indent=2, sort_keys=True), encoding="utf-8")


def ranks_of(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the rank, and how many of them hold these tensors together: one, unless some are sharded."""
    if any(_is_sharded(tensor) for tensor in tensors.values()):
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _is_sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return one sha256 for all tensors: names, types, shapes and bytes, whatever their order or device."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Tensors:
    """The tensors of a folder, by name, before any is loaded. Raises ModelFolderError unless every file is there,
    whole, and holds what the index says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for file, expected in _files(folder).items():
            with _opened(folder / file) as opened:
                found = set(opened.keys())
                for key in found:
                    self._places[key] = file
                    self.shapes[key] = tuple(opened.get_slice(key).get_shape())
            wrong = sorted(found ^ expected) if expected is not None else []
            if wrong:
                verdict = "missing" if wrong[0] not in found else "not expected there"
                raise ModelFolderError(
                    f"{folder / file}: {len(wrong)} tensors do not fit {INDEX}, first {wrong[0]}: {verdict}"
                )

    def place(self, name: str) -> Path:
        """Return the file that holds a tensor; for a missing tensor, the file that should list it."""
        return self.folder / self._places.get(name, INDEX if (self.folder / INDEX).is_file() else WEIGHTS)

    def get(self, name: str) -> Tensor:
        """Load one tensor to the CPU."""
        with _opened(self.place(name)) as opened:
            return opened.get_tensor(name)

    def load(self, device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """Load all tensors to a device."""
        loaded: dict[str, Tensor] = {}
        for file in sorted(set(self._places.values())):
            with _opened(self.folder / file, str(device)) as opened:
                loaded |= {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        return loaded


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Give a path to write to. It becomes `path` when everything is written and on the disk.

    A power cut leaves the old file or the new one, never an empty one. The file gets the permissions of a new file in
    that folder. The other packages use `tokenization.files.storage` instead, which this package may not import.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.unlink(missing_ok=True)  # a killed writer may have left it with other permissions
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        os.chmod(temporary, mode)  # safetensors replaces the file by one that only its owner may read
        _to_disk(temporary)
        os.replace(temporary, path)
        _to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _split(tensors: Mapping[str, Tensor], most: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > most:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    return shards


def _files(folder: Path) -> Mapping[str, set[str] | None]:
    """Return the files of tensors, each with the names that the index expects in it (None if there is no index)."""
    path = folder / INDEX
    if not path.is_file():
        return {WEIGHTS: None}
    if (folder / WEIGHTS).is_file():
        raise ModelFolderError(f"{folder}: holds both {WEIGHTS} and {INDEX}; expected one of them")
    try:
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files: dict[str, set[str]] = {name: set() for name in sorted(set(places.values()))}
        for key, name in places.items():
            files[name].add(key)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{path}: damaged ({error!r}); expected a weight_map of tensors to files") from error
    if outside := [name for name in files if Path(name).name != name]:
        raise ModelFolderError(f"{path}: names the file {outside[0]!r}; expected files beside it")
    return files


@contextmanager
def _opened(path: Path, device: str = "cpu") -> Generator[safe_open]:
    try:
        with safe_open(path, framework="pt", device=device) as opened:
            yield opened
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path}: not found; expected it to hold weights of the model") from error
    except SafetensorError as error:
        raise ModelFolderError(f"{path}: truncated or damaged ({error})") from error
