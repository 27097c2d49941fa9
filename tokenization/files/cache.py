"""The cache of this machine. It holds only what can be fetched again, so it may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tokenization.files.integrity import DamagedFile, FileRecord, verify
from tokenization.files.storage import temporary

_ROOT = Path(__file__).resolve().parents[2]


def own_folder() -> Path:
    """Return the folder for what runs leave: `.rxt` of the working copy, or of the current folder if this code was
    installed from a wheel, since a store in site-packages would go with its environment."""
    return (_ROOT if (_ROOT / "pyproject.toml").exists() else Path.cwd()) / ".rxt"


def cache_folder() -> Path:
    """Return `RXT_CACHE`, or `cache` in our own folder if it is not set."""
    return Path(os.environ.get("RXT_CACHE", "").strip() or own_folder() / "cache").resolve()


def local_copy(url: str, recorded: FileRecord, folder: str) -> str:
    """Return the path of a local file that equals the record of `url`: that file itself if it is local, else a copy in
    `folder` of the cache, named after its digest. Raises DamagedFile, which names `url`."""
    fs, source = fsspec.url_to_fs(url)
    if isinstance(fs, LocalFileSystem):
        verify(source, recorded, url)
        return source
    if not fs.exists(source):
        raise DamagedFile(f"{url} is missing")
    copy = cache_folder() / folder / f"{recorded.sha256}{os.path.splitext(source)[1]}"
    try:
        if copy.exists():
            verify(str(copy), recorded)
            return str(copy)
    except DamagedFile:
        copy.unlink(missing_ok=True)  # fetch it again: the file at `url` may be whole
    with temporary(copy.parent, copy.name) as fetched:
        fs.get_file(source, str(fetched))
        verify(str(fetched), recorded, url)
        os.replace(fetched, copy)
    return str(copy)
