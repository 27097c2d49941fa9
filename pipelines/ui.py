"""`rxt ui` runs an MLflow server on this machine's loopback with few processes, and ends it with the command."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from pipelines.guard.addresses import reach_directly
from pipelines.guard.terminal import say
from pipelines.tracker.environment import ENVIRONMENT
from pipelines.tracker.errors import TrackingError
from pipelines.tracking import Tracking

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 10


def serve_ui(uri: str, port: int, preset: str = "tiny") -> int:
    """Show the runs of `uri` until Ctrl-C or SIGTERM; returns 0.

    A `uri` that is a server already is only pointed at. Raises TrackingError if the port is taken, the database cannot
    be used, or the server does not start.
    """
    tracking = Tracking(uri, preset)
    if tracking.uri.startswith("http"):
        tracking.check()
        say(f"MLflow already serves these runs: {tracking.shown}/{tracking.page()}")
        return 0
    _check_port(port)
    tracking.check()
    page = f"http://{HOST}:{port}/{tracking.page()}"
    signal.signal(signal.SIGTERM, _interrupt)
    command = _command(tracking, port)
    server = _start(command, tracking.uri)
    try:
        _wait_until_up(server, command, port)
        say(f"MLflow on {tracking.shown}\n  {page}\nCtrl-C ends it")
        code = server.wait()
        raise TrackingError(f"the MLflow server ended by itself with exit code {code}", "rxt ui")
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(server)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise TrackingError(f"port {port} on {HOST}: {error.strerror}", f"rxt ui --port {port + 1}") from error


def _command(tracking: Tracking, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", HOST, "--port", str(port)]
    if tracking.artifacts:
        command += ["--artifacts-destination", tracking.artifacts]
    return command


def _start(command: list[str], uri: str) -> subprocess.Popen[bytes]:
    """In its own process group, so that a Ctrl-C reaches us alone and we end its workers in order. The address of the
    database travels in the environment, since everybody on the machine sees a command line."""
    environment = {**os.environ, **ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment["MLFLOW_BACKEND_STORE_URI"] = uri
    # Anything the server logs per request would bury the one line that matters.
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _wait_until_up(server: subprocess.Popen[bytes], command: list[str], port: int) -> None:
    reach_directly(HOST)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TrackingError(f"the MLflow server did not start (exit code {server.poll()})", shlex.join(command))


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and insist after a while, or at another Ctrl-C."""
    for sign, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(server.pid, sign)
        except ProcessLookupError:
            return
        try:
            server.wait(patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue
