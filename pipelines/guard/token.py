"""Finds the token of a Ray cluster."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from jobs.stage.context import StageError
from jobs.stage.ray_setup import token_file
from pipelines.guard.secrets import remember

LONGEST = 4096  # bytes
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what an HTTP header takes


class TokenError(StageError):
    """A token was named that cannot be used. The message names its place, not the token."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}", "ray get-auth-token   on the cluster's head prints the token")


@dataclass(frozen=True)
class Token:
    """A cluster's token, and where it was found. It is never printed and never part of a runtime environment."""

    value: str = field(repr=False)
    source: str

    @classmethod
    def find(cls) -> Token | None:
        """By Ray's own order of precedence: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

        Raises TokenError for a token that no header takes, and for a file that is named and cannot be read. A home
        folder that is missing or belongs to somebody else holds no token.
        """
        if os.environ.get("RAY_AUTH_MODE") == "disabled":
            return None
        if os.environ.get("RAY_AUTH_TOKEN", "").strip():
            return cls._checked(os.environ["RAY_AUTH_TOKEN"], "RAY_AUTH_TOKEN")
        if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
            return cls._read(Path(named), f"RAY_AUTH_TOKEN_PATH={named}")
        path = token_file()
        return cls._read(path, str(path)) if path else None

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.value}"}

    @classmethod
    def _read(cls, path: Path, source: str) -> Token:
        try:
            with path.open("rb") as file:
                data = file.read(LONGEST + 1)
        except FileNotFoundError:
            raise TokenError(source, "no such file") from None
        except OSError as error:
            raise TokenError(source, error.strerror or str(error)) from error
        return cls._checked(data.decode("utf-8", errors="replace"), source)

    @classmethod
    def _checked(cls, text: str, source: str) -> Token:
        value = text.strip()
        if not value:
            raise TokenError(source, "is empty")
        if len(value) > LONGEST or not _TOKEN.fullmatch(value):
            raise TokenError(source, "holds no token: that is one line of ASCII characters without spaces")
        remember(value)
        return cls(value, source)
