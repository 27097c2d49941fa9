"""Start or join Ray once per process. Ray itself is imported when it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import psutil

from jobs.configs.execution import Execution
from jobs.stage.context import StageError

OBJECT_STORE_BYTES = 300 << 20
PROBE_SECONDS = 5
SERVERS = ("gcs_server", "raylet")  # without one of them a Ray is dead
_REMEDY = "unset RAY_ADDRESS     to run on this machine"

DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # this hook can hang a run below `uv run`
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}
WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",  # work is spread over processes already
    "RAYON_NUM_THREADS": "1",  # the encoding engine keeps a cache of words per thread
    "OMP_NUM_THREADS": "1",
}

_lock = threading.Lock()
_keeper: _Keeper | None = None


class RayUnavailable(StageError):
    """Ray cannot be started or joined."""


def prepare_environment() -> None:
    """Settings that Ray reads while it is imported, so call this before. What the user has set stays."""
    for name, value in (DRIVER_ENVIRONMENT | _authentication()).items():
        os.environ.setdefault(name, value)


def ensure_ray(execution: Execution) -> None:
    """Join the cluster of RAY_ADDRESS, or start Ray on this machine; nothing if this process has Ray already.

    Raises RayUnavailable, within seconds, for a cluster that does not answer or refuses the token.
    """
    global _keeper
    with _lock:
        prepare_environment()
        import ray

        if not ray.is_initialized():
            _keeper = _Keeper(execution)
            _keeper.start()
            _keeper.started.result()


def shutdown() -> None:
    """Leave Ray, and end it where `ensure_ray` started it."""
    global _keeper
    with _lock:
        if _keeper is not None:
            import ray

            ray.shutdown()
            _keeper.left.set()
            _keeper = None


def has_ended() -> bool:
    """Whether the Ray that was started here is gone, though nobody called `shutdown`: whoever waits for it waits in
    vain, until Ray itself ends this process."""
    return _keeper is not None and not all(map(_is_alive, _keeper.servers))


class _Keeper(threading.Thread):
    """The thread that starts Ray, and stays: Linux kills Ray's processes when the thread that made them ends, and
    stages run on threads that come and go."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(name="ray-keeper", daemon=True)
        self._execution = execution
        self.started: Future[None] = Future()
        self.left = threading.Event()
        self.servers: list[psutil.Process] = []

    def run(self) -> None:
        address = os.environ.get("RAY_ADDRESS", "")
        try:
            if address in ("", "local"):
                _start_local(self._execution)
                self.servers = [child for child in psutil.Process().children() if child.name() in SERVERS]
            else:
                _join(address)
        except BaseException as error:
            self.started.set_exception(error)
            return
        self.started.set_result(None)
        self.left.wait()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _start_local(execution: Execution) -> None:
    import ray

    workers = max(execution.train.workers, execution.rl.rollout_workers, execution.data.parallelism)
    workers *= execution.parallel_stages
    helpers = 2  # a controller and a task beside the workers, also on a machine of two cores
    num_cpus = max(os.cpu_count() or 1, workers + helpers)
    # otherwise Ray starts no more processes at a time than the machine has cores, and stages wait for each other's
    at_once = {"RAY_worker_maximum_startup_concurrency": str(num_cpus)}

    with _environment(WORKER_ENVIRONMENT | at_once):
        ray.init(
            address="local",
            num_cpus=num_cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def _join(address: str) -> None:
    if address.startswith(("http://", "https://")):
        raise RayUnavailable(
            f"RAY_ADDRESS={address}: that is the dashboard's address; `rxt run` joins HOST:6379",
            f"export RAY_ADDRESS=HOST:6379, or `rxt submit --address {address} run`",
        )
    _probe(address)
    import ray
    from ray.exceptions import RayError

    # A job's own settings are in our environment already, and Ray refuses to be told them twice.
    told = {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in os.environ}
    try:
        with _environment({"RAY_gcs_server_port_wait_time_s": str(PROBE_SECONDS)}):
            ray.init(address=address, runtime_env={"env_vars": told}, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        if "InvalidAuthToken" in f"{error} {error.__cause__}":  # Ray wraps it in errors about the connection
            raise RayUnavailable(
                f"the Ray cluster at {address} refused our token, or demands one and found none",
                "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE rxt run     with the token of the cluster's head in FILE",
            ) from error
        raise RayUnavailable(f"cannot join the Ray cluster at {address}: {_first_line(error)}", _REMEDY) from error


def _probe(address: str) -> None:
    """Ray itself would try for a long time to reach a host that does not answer."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except OSError as error:
        raise RayUnavailable(f"no Ray cluster answers at {address}: {error}", _REMEDY) from error


def _authentication() -> dict[str, str]:
    """Token authentication, said explicitly: a cluster's token is not sent otherwise. A Ray of our own gets a fresh
    token, as its ports listen on every interface and one that Ray generates would lie in the home folder for all."""
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:
        return {}
    named = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or Path("~/.ray/auth_token").expanduser().exists():
        return {"RAY_AUTH_MODE": "token"}
    joins = os.environ.get("RAY_ADDRESS", "local") not in ("", "local")
    return {} if joins else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    """`values` for the processes that Ray starts meanwhile, where the user has not set them; this one keeps its own."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
