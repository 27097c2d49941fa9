"""Build packages from made-up files, as the usual tools build them."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import pyarrow


def deb(files: dict[str, bytes], compression: str = "xz") -> bytes:
    """Build a Debian package as `dpkg-deb -b` lays it out."""
    tar = io.BytesIO()
    mode: Any = "w" if compression == "zst" else f"w:{compression}"
    with tarfile.open(fileobj=tar, mode=mode) as archive:
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


def source_archive(files: dict[str, bytes]) -> bytes:
    """Build a source archive of PyPI, or a package of npm."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def wheel(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def r_object(*lines: str | None, version: int = 3) -> bytes:
    """Serialise a character vector as R does, as one object of an R lazy-load data base."""
    body = b"X\n" + struct.pack(">iii", version, 0x40200, 0x30500)
    if version == 3:
        body += struct.pack(">i", 5) + b"UTF-8"
    body += struct.pack(">ii", 16, len(lines))
    for line in lines:
        content = b"" if line is None else line.encode()
        body += struct.pack(">ii", 0x40009, -1 if line is None else len(content)) + content
    return struct.pack(">I", len(body)) + zlib.compress(body)


def dictd(entries: dict[str, str]) -> dict[str, bytes]:
    """Make the files of a dictionary in dictd format. Its index lists every entry twice, as if under two names."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text, index = b"", ""
    for word, entry in entries.items():
        numbers = [digits[n // 64] + digits[n % 64] for n in (len(text), len(entry.encode()))]
        index += f"{word}\t{numbers[0]}\t{numbers[1]}\n" * 2
        text += entry.encode()
    return {"usr/share/dictd/d.dict.dz": gzip.compress(text), "usr/share/dictd/d.index": index.encode()}


def catalogue(messages: dict[str, str], order: str) -> bytes:
    """Make a message catalogue of gettext (`.mo`). `order` is its byte order, as `struct` writes it."""
    tables, strings = ([], []), b""
    start = 28 + 16 * len(messages)
    for pair in messages.items():
        for table, text in zip(tables, pair, strict=True):
            table += [len(text.encode()), start + len(strings)]
            strings += text.encode() + b"\0"
    numbers = [0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, start, *tables[0], *tables[1]]
    return struct.pack(f"{order}{len(numbers)}I", *numbers) + strings
