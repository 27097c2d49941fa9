"""Read files from a Debian package (an `ar` archive around a tar), a wheel (a zip) or a source archive of PyPI or npm
(a compressed tar), without unpacking to disk."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile

import pyarrow


def read_members(archive: bytes, pattern: str) -> dict[str, bytes]:
    """Return the regular files whose path matches `pattern` (`re.search`): contents by path without `./`, sorted."""
    members = _zip if archive.startswith(b"PK") else _tar
    return dict(sorted(members(archive, re.compile(pattern)).items()))


def _zip(archive: bytes, pattern: re.Pattern[str]) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist() if pattern.search(name)}


def _tar(archive: bytes, pattern: re.Pattern[str]) -> dict[str, bytes]:
    found = {}
    body = _data_tar(archive) if archive.startswith(b"!<arch>\n") else io.BytesIO(archive)
    with tarfile.open(fileobj=body, mode="r|*") as tar:
        for member in tar:
            path = member.name.removeprefix("./")
            content = tar.extractfile(member) if member.isfile() and pattern.search(path) else None
            if content is not None:
                found[path] = content.read()
    return found


def _data_tar(archive: bytes) -> io.BufferedIOBase | pyarrow.NativeFile:
    """Return the member `data.tar.*`. An `ar` member has a header of 60 bytes, its size at byte 48, and even length."""
    start = len(b"!<arch>\n")
    while start < len(archive):
        name = archive[start : start + 16].decode("ascii").strip().rstrip("/")
        size = int(archive[start + 48 : start + 58])
        if name.startswith("data.tar"):
            body = io.BytesIO(archive[start + 60 : start + 60 + size])
            # tarfile reads zstd only from Python 3.14 on
            return pyarrow.CompressedInputStream(body, "zstd") if name.endswith(".zst") else body
        start += 60 + size + size % 2
    raise ValueError("this Debian package holds no data.tar")
