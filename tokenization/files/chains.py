"""Addresses with `::` in them. fsspec takes each of them for a chain, such as `zip://a.txt::s3://bucket/b.zip`. So it
would read the file `a` in place of `a::b`."""

from __future__ import annotations

import fsspec

_OUTER = ("blockcache", "cached", "dir", "filecache", "libarchive", "reference", "simplecache", "tar", "zip")


def is_chain(url: str) -> bool:
    """Whether one filesystem reads from another."""
    first, chained, _ = url.partition("::")
    return bool(chained) and "://" in url and first.partition("://")[0] in _OUTER


def filesystem_of(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem and the path of an address, as `fsspec.url_to_fs`, but `::` in a name is part of the name."""
    if "::" not in url or is_chain(url):
        return fsspec.url_to_fs(url)
    protocol = url.partition("://")[0] if "://" in url else "file"
    kind = fsspec.get_filesystem_class(protocol)
    return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)
