"""Find the file system that an address names, and tell addresses that would be misunderstood."""

from __future__ import annotations

from urllib.parse import urlsplit

import fsspec
from fsspec import AbstractFileSystem

_WEB = ("http://", "https://")
# File systems of fsspec that read from another one, which stands behind `::`.
_CHAINED = frozenset("zip tar libarchive dir reference filecache simplecache blockcache cached".split())


def located(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path there. A name may have `::` in it. Raises ValueError for a web
    address whose host cannot be told."""
    if url.startswith(_WEB):
        _check_host(url)
    if "::" not in url or is_chained(url):
        return fsspec.url_to_fs(url)
    protocol, separator, _ = url.partition("://")
    kind = fsspec.get_filesystem_class(protocol if separator else "file")
    return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)


def is_chained(url: str) -> bool:
    """Whether what stands behind `::` in an address is where the file system before it reads from."""
    first, chained, _ = url.partition("::")
    return bool(chained) and first.partition("://")[0] in _CHAINED


def _check_host(url: str) -> None:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0 and "@" in url:
        raise ValueError(
            "its host cannot be told; a `/`, `?`, `#` or `@` in a password is written %2F, %3F, %23 or %40"
        )
