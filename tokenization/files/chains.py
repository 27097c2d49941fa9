"""Addresses with `::` in them. fsspec takes each of them for a chain, such as `zip://a.txt::s3://bucket/b.zip`. So it
would read the file `a` in place of `a::b`."""

from __future__ import annotations

import fsspec
from fsspec.registry import known_implementations

_OUTER = ("blockcache", "cached", "dir", "filecache", "libarchive", "reference", "simplecache", "tar", "zip")


def is_chain(url: str) -> bool:
    """Whether one filesystem reads from another."""
    first, chained, _ = url.partition("::")
    return bool(chained) and "://" in url and first.partition("://")[0] in _OUTER


def filesystem_of(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem and the path of an address, as `fsspec.url_to_fs`, but `::` in a name is part of the name. Raises
    ImportError with the command that installs a filesystem which is known and missing."""
    as_usual = "::" not in url or is_chain(url)
    protocol = url.partition("://")[0] if "://" in url else "file"
    try:
        if as_usual:
            return fsspec.url_to_fs(url)
        kind = fsspec.get_filesystem_class(protocol)
        return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)
    except ImportError as error:
        package = known_implementations.get(protocol, {"class": ""})["class"].partition(".")[0]
        known = package not in ("", "fsspec")  # what fsspec itself holds names what it needs
        raise ImportError(f"{error}: `pip install {package}`" if known else str(error)) from error
