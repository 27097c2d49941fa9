"""Addresses of services: how to show them without the secrets in them, and which of them a proxy must not see."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

HIDDEN = "***"
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
_IN_TEXT = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s'\"<>]+)")
_QUERY = re.compile(
    r"(?P<name>[?&;][^=&;#\s]*(?:password|passwd|pwd|token|secret|key|credential|sig)[^=&;#\s]*=)[^&;#\s'\"<>]+", re.I
)


def masked(text: str) -> str:
    """`text` with the secrets hidden in all URLs that it holds: `postgresql://u:***@host/db`, `https://***@host`.

    A user's name is shown if a password stands beside it, since it may be a token otherwise.
    """
    return _QUERY.sub(rf"\g<name>{HIDDEN}", _IN_TEXT.sub(_masked, text))


def has_secret(url: str) -> bool:
    """Whether an address holds a password, or a user's name that may be a token."""
    return masked(url) != url


def without_user(url: str) -> str:
    """An address without the user's name and password."""
    match = _IN_TEXT.fullmatch(url)
    if match is None:
        return url
    _, address = _split(match["rest"])
    return match["scheme"] + address


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
    user, address = _split(match["rest"])
    if user is None:
        return match[0]
    name, colon, _ = user.partition(":")
    if not colon:
        return f"{match['scheme']}{HIDDEN}@{address}"
    return f"{match['scheme']}{name}:{HIDDEN}@{match['rest'].rpartition('@')[2]}"


def _split(rest: str) -> tuple[str | None, str]:
    """User info, None if there is none, and the rest of what follows `scheme://`.

    A password with a slash, a hash or a question mark in it is against the rules, and must not be shown either.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, colon, port = authority.rpartition(":")
    if "@" in authority:
        user, _, host = authority.rpartition("@")
        return user, host + rest[len(authority) :]
    if colon and not port.isdigit() and not authority.endswith("]") and "@" in rest:
        user, _, address = rest.rpartition("@")
        return user, address
    return None, rest
