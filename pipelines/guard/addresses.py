"""Addresses of services: how to show them without the secrets in them, and which of them a proxy must not see."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

HIDDEN = "***"
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
_DATABASES = ("postgresql", "mysql", "mssql")  # their drivers take all before the last `@` for a login
_PORT = r"\d+(?:[/?#\s'\"<>,;)\]}]|[.:]?(?:\s|$))"
_LOGIN = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://+)(?P<name>[^\s'\"<>/?#@:\[]*)"
    rf"(?:(?<!/)@(?:[^\s'\"<>/?#]*@)?|:(?P<password>(?:(?!\s|{_PORT})[^\n]*?|\d[^\s'\"<>]*?)@(?:[^\s'\"<>]*@)?))"
)
_IN_QUERY = r"(?P<name>[?&;][^=&;#\s]*(?:password|passwd|pwd|token|secret|key|credential|sig)[^=&;#\s]*=)"
_QUERY = re.compile(rf"{_IN_QUERY}(?P<value>[^&;#]+)", re.I)
_QUERY_IN_TEXT = re.compile(rf"{_IN_QUERY}[^&;#\s'\"<>]+", re.I)


def masked(text: str) -> str:
    """`text` with the secrets hidden in all URLs that it holds: `postgresql://u:***@host/db`, `https://***@host`.

    A user's name is shown if a password stands beside it, since it may be a token otherwise.
    """
    return _QUERY_IN_TEXT.sub(rf"\g<name>{HIDDEN}", _LOGIN.sub(_masked, text))


def masked_address(url: str) -> str:
    """The same for a text that is one address and nothing else, whatever its password holds."""
    scheme, login, place = _split(url)
    name, colon, _ = login.partition(":")
    if colon:  # the password may hold more, after an `@` and a slash
        shown, place = f"{name}:{HIDDEN}@", place.rpartition("@")[2]
    else:
        shown = f"{HIDDEN}@" if login else ""
    return _QUERY.sub(rf"\g<name>{HIDDEN}", f"{scheme}{shown}{place}")


def has_secret(url: str) -> bool:
    """Whether an address holds a password, or a user's name that may be a token."""
    return masked_address(url) != url


def passwords(url: str) -> set[str]:
    """The secrets that an address holds."""
    _, login, _ = _split(url)
    name, colon, password = login.partition(":")
    return {password if colon else name, *(match["value"] for match in _QUERY.finditer(url))} - {""}


def without_user(url: str) -> str:
    """An address without the user's name and password."""
    scheme, _, place = _split(url)
    return scheme + place


def is_loopback(url: str) -> bool:
    """Whether a request to this URL stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reach_directly(*hosts: str) -> None:
    """Keep requests of this process and its children to `hosts` away from the proxies that the environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        known = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        os.environ[name] = ",".join(dict.fromkeys([*known, *hosts]))


def _masked(match: re.Match[str]) -> str:
    if match["password"] is None:
        is_path = match["scheme"].endswith(":///")
        return match[0] if is_path else f"{match['scheme']}{HIDDEN}@"
    is_port = re.match(_PORT, match["password"]) and not match["scheme"].startswith(_DATABASES)
    is_place = is_port and _is_host(match["name"])
    return match[0] if is_place else f"{match['scheme']}{match['name']}:{HIDDEN}@"


def _is_host(name: str) -> bool:
    """Whether it is a host for sure. Any other name before a number, a slash and an `@` may be a user's."""
    return name == "localhost" or bool(re.fullmatch(r"[\d.]+", name))


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, login (empty if there is none), and the rest of an address. The login of a memory:// store stands behind
    a third slash.

    A password with a slash, a hash or a question mark in it is against the rules, and must not be shown either. So
    `http://a:12/b@c` counts as a login, since it may be one.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "", "", url
    place = rest.lstrip("/")
    beginning = url.removesuffix(place)
    first = re.split(r"[/?#]", place, maxsplit=1)[0]
    name, colon, port = first.rpartition(":")
    is_path = rest.startswith("/") and not colon
    if is_path or first.startswith("["):
        login = ""
    elif scheme.startswith(_DATABASES):
        login = place.rpartition("@")[0] if colon or "@" in first else ""
    elif "@" in first:
        login = first.rpartition("@")[0]
    else:
        login = place.rpartition("@")[0] if colon and not (port.isdigit() and _is_host(name)) else ""
    return beginning, login, place.removeprefix(f"{login}@") if login else place
