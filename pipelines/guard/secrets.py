"""Secrets that this process knows, so that no message, traceback or record shows one."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from pipelines.guard.addresses import HIDDEN, masked, masked_address, passwords

_NAMES = re.compile(
    r"TOKEN|PASSWORD|PASSWD|PASSPHRASE|_PWD|SECRET|CREDENTIAL|ACCESS_KEY|API_KEY|PRIVATE_KEY|^RXT_NOTIFY$", re.I
)  # the last is a shell command
_NO_SECRETS = re.compile(r"_(PATH|FILE|URI|URL|MODE|DIR|PARALLELISM)$|^TOKENIZERS_", re.I)
_SHAPES = re.compile(
    r"(?<=Bearer )[\w.~+/=-]+|(?<=Basic )[\w+/=]+|\bhf_\w{20,}|\bgh[pousr]_\w{30,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
)
SHORTEST = 6  # characters; hiding shorter ones would hide parts of other words
_added: set[str] = set()


def remember(secret: str) -> None:
    """Hide this secret, too, which was read from a file."""
    _added.add(secret)


def redacted(text: str) -> str:
    """`text` without any secret that stands in the environment, was remembered, is part of a URL, or has the form of a
    well-known one."""
    for secret in sorted(_known(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return masked(_SHAPES.sub(HIDDEN, text))


def shown_setting(name: str, value: str) -> str:
    """A variable of the environment as it may be shown. A secret is hidden however short it is."""
    return f"{name}={HIDDEN if _is_secret(name) and value else masked_address(value)}"


def _is_secret(name: str) -> bool:
    return bool(_NAMES.search(name) and not _NO_SECRETS.search(name))


def _known() -> set[str]:
    found = set(_added)
    for name, value in os.environ.items():
        if _is_secret(name):
            found.add(value.strip())
        found |= {form for password in passwords(value) for form in _forms(password)}
    return {secret for secret in found if len(secret) >= SHORTEST}


def _forms(password: str) -> set[str]:
    """A password as it stands in a URL, and as it is."""
    return {password, unquote(password)}
