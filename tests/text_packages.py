"""Packages as their tools build them, out of made-up files."""

import io
import struct
import tarfile
import zipfile
import zlib

import pyarrow


def deb(files: dict[str, bytes], compression: str = "xz") -> bytes:
    """A Debian package as `dpkg-deb -b` lays it out."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w" if compression == "zst" else f"w:{compression}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    data = tar.getvalue()
    if compression == "zst":
        data = pyarrow.compress(data, codec="zstd", asbytes=True)
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (f"data.tar.{compression}", data)):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def wheel(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def r_object(*lines: str | None, version: int = 3) -> bytes:
    """One object of an R lazy-load data base: a character vector, serialised as R does."""
    body = b"X\n" + struct.pack(">iii", version, 0x40200, 0x30500)
    if version == 3:
        body += struct.pack(">i", 5) + b"UTF-8"
    body += struct.pack(">ii", 16, len(lines))
    for line in lines:
        content = b"" if line is None else line.encode()
        body += struct.pack(">ii", 0x40009, -1 if line is None else len(content)) + content
    return struct.pack(">I", len(body)) + zlib.compress(body)
