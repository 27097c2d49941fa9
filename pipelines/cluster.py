"""Asks a running Ray cluster, and hands it jobs.

One short HTTP request asks the cluster first, because Ray's client retries for long before it says what is wrong. We
send the token as a header: Ray's client sends it only if `RAY_AUTH_MODE` was set before Ray was imported, while a head
demands it as soon as a token file exists.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from jobs.stage.context import StageError
from jobs.stage.ray_setup import cluster_address
from pipelines.guard.addresses import has_secret, masked_address
from pipelines.guard.token import Token
from pipelines.guard.transport import protect

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
PROBE_SECONDS = 5


class SubmitError(StageError):
    """The command was not handed to a cluster, or contact was lost."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job of a cluster. Times are in seconds since the epoch, 0 for what has not happened yet."""

    name: str
    state: str
    started: float
    ended: float
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> SubmittedJob:
        """What the job interface says about one."""
        started, ended = ((answer[key] or 0) / 1000 for key in ("start_time", "end_time"))
        return cls(answer["submission_id"], answer["status"], started, ended, answer["metadata"] or {})

    @property
    def has_ended(self) -> bool:
        return self.state in ("SUCCEEDED", "FAILED", "STOPPED")


class Cluster:
    """The job interface of a running cluster. Raises SubmitError if it cannot be reached or refuses the token."""

    def __init__(self, address: str | None) -> None:
        named = address or os.environ.get("RAY_API_SERVER_ADDRESS") or _http_only(cluster_address())
        self.address = _checked((named or DEFAULT_ADDRESS).rstrip("/"))
        self.token = Token.find()
        protect(self.address, "the token of the cluster" if self.token else "")
        self._get("/api/version")

    def nodes(self) -> int:
        """How many machines are alive; a head that has just started may not have registered itself yet."""
        answer = self._get("/api/v0/nodes?limit=1000&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE")
        with self._understood():
            return answer["data"]["result"]["total"]

    def jobs(self) -> list[SubmittedJob]:
        """All jobs that were submitted, oldest first."""
        answer = self._get("/api/jobs/")
        with self._understood():
            found = [SubmittedJob.of(job) for job in answer if job["submission_id"]]
        return sorted(found, key=lambda job: job.started)

    def job(self, beginning: str) -> SubmittedJob:
        """The one job whose name begins so. Raises SubmitError if there are none or several."""
        jobs = self.jobs()
        found = [job for job in jobs if job.name.startswith(beginning)]
        if len(found) != 1:
            those = ", ".join(job.name for job in found or jobs[-3:]) or "none"
            what = "several jobs begin so" if found else "no such job; the newest are"
            raise SubmitError(f"{beginning}: {what}: {those}", "rxt jobs")
        return found[0]

    def client(self):
        """Ray's client for this address and token."""
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # else RAY_ADDRESS would override what we pass
        from ray.job_submission import JobSubmissionClient

        for chatty in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        return JobSubmissionClient(self.address, headers=self.token.headers if self.token else None)

    def ray(self, *command: str) -> str:
        """A shell line that does something with a job by Ray's own tool."""
        mode = "RAY_AUTH_MODE=token " if self.token else ""
        return f"{mode}ray job {command[0]} --address {self.address} {shlex.join(command[1:])}"

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path)
        for name, value in (self.token.headers if self.token else {}).items():
            request.add_unredirected_header(name, value)  # another host must not get it
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SubmitError(*self._refusal(error)) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise SubmitError(
                f"no Ray cluster answers at {self.address}: {reason}",
                "RAY_AUTH_MODE=token ray start --head   (infra/README.md), or rxt submit --address URL …",
            ) from error
        except ValueError as error:
            raise self._no_dashboard() from error

    @contextmanager
    def _understood(self) -> Generator[None]:
        """Raise SubmitError if an answer has another form than Ray's."""
        try:
            yield
        except (LookupError, TypeError, AttributeError) as error:
            raise self._no_dashboard() from error

    def _no_dashboard(self) -> SubmitError:
        message = f"{self.address} answers, but is no Ray dashboard"
        return SubmitError(message, f"rxt submit --address {DEFAULT_ADDRESS} …")

    def _refusal(self, error: urllib.error.HTTPError) -> tuple[str, str]:
        fix = "RAY_AUTH_TOKEN_PATH=FILE rxt submit …   where FILE holds what the head's `ray get-auth-token` prints"
        if error.code in (401, 403):
            if self.token is None:
                return f"the cluster at {self.address} demands a token, and none was found here", fix
            return f"the cluster at {self.address} refused the token from {self.token.source}", fix
        return f"{self.address} answered HTTP {error.code} to {error.url}", "rxt submit --address URL …"


def _http_only(address: str) -> str:
    """RAY_ADDRESS often names the cluster's other port, which takes no jobs."""
    return address if address.startswith("http") else ""


def _checked(address: str) -> str:
    """The address, if it is one of an HTTP server and holds no secret."""
    if not address.startswith(("http://", "https://")):
        raise _unusable(address, "not an http URL")
    if has_secret(address):
        raise _unusable(
            masked_address(address), "a login in an address would be seen by everybody: name the token's file"
        )
    try:
        place = urlsplit(address)
        (place.hostname or "").encode("idna")  # a ValueError for what no name of a host can be, such as `a..b`
        is_plain = address.isascii() and address.isprintable() and " " not in address
        usable = bool(place.hostname) and place.port != 0 and is_plain
    except ValueError:
        usable = False
    if not usable:
        raise _unusable(address, "not an address of a server")
    return address


def _unusable(address: str, reason: str) -> SubmitError:
    return SubmitError(f"--address {address}: {reason}", f"rxt submit --address {DEFAULT_ADDRESS} …")
