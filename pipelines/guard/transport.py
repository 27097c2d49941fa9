"""How secrets travel: never through a proxy in clear text, and in clear text at all only after a warning."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from pipelines.guard.addresses import has_secret, is_loopback, masked_address, reach_directly, without_user
from pipelines.guard.terminal import say

_warned: set[str] = set()


def has_mlflow_login(uri: str) -> bool:
    """Whether MLflow's client sends a login to this server."""
    return has_secret(uri) or any(
        os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD", "TOKEN")
    )


def protect(url: str, secret: str) -> None:
    """Call this before `secret` (what it is, not its value; empty if there is none) goes to a server.

    A server on this machine is never asked through a proxy. One elsewhere that does not speak TLS is not, either, if a
    secret goes to it, and the user is warned.
    """
    place = urlsplit(without_user(url))
    if not place.hostname or place.scheme == "https" or not (secret or is_loopback(place.geturl())):
        return
    reach_directly(place.hostname)
    if not is_loopback(place.geturl()) and url not in _warned:
        _warned.add(url)
        say(f"warning: {secret} goes to {masked_address(url)} in clear text: use https, or a tunnel of ssh", sys.stderr)
