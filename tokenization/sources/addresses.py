"""Find the file system of an address that a user gives."""

from __future__ import annotations

from urllib.parse import urlsplit

from fsspec import AbstractFileSystem

from tokenization.files.chains import filesystem_of


def located(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path there. Raises ValueError for a web address whose host
    cannot be told."""
    if url.startswith(("http://", "https://")):
        _check_host(url)
    return filesystem_of(url)


def _check_host(url: str) -> None:
    try:
        port = urlsplit(url).port
    except ValueError:
        port = 0
    if port == 0 and "@" in url:
        raise ValueError(
            "its host cannot be told; a `/`, `?`, `#` or `@` in a password is written %2F, %3F, %23 or %40"
        )
