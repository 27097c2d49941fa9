"""Start or join Ray once per process. Ray is imported only when it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from jobs.configs.execution import Execution
from jobs.stage import ray_folder
from jobs.stage.context import StageError
from jobs.stage.ray_watch import LOOK_SECONDS, RayWatch
from tokenization.files.storage import NO_SPACE

OBJECT_STORE_BYTES = 300 << 20
PROBE_SECONDS = 5
STARTS = 3  # Ray gives its servers half a minute, which may be too short on a busy machine
SERVERS = ("gcs_server", "raylet")  # if one of them ends, Ray is dead
_SHORT_FOLDER = (
    "mkdir -p /tmp/rxt-$(id -u) && RAY_TMPDIR=/tmp/rxt-$(id -u) rxt run   as Ray needs a short folder of its own"
)
_BUSY = "run the same command again: a machine that is very busy starts Ray too slowly"
_REMEDY = "unset RAY_ADDRESS     to run on this machine"

DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # this hook can hang a run below `uv run`
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}
LOCAL_ENVIRONMENT = {
    # Whatever the system, this names the node 127.0.0.1, and Ray's servers listen there alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",  # Ray already spreads the work over processes
    "RAYON_NUM_THREADS": "1",  # the encoding engine keeps a cache of words per thread
    "OMP_NUM_THREADS": "1",
}

_lock = threading.Lock()
_keeper: _Keeper | None = None


class RayUnavailable(StageError):
    """Ray cannot be started or joined."""


def prepare_environment() -> None:
    """Set what Ray reads while it is imported; call this before that. Variables that the user has set stay.

    Raises RayUnavailable if Ray would have to start here, and its folder cannot be used.
    """
    if _starts_here() and (trouble := ray_folder.trouble()):
        raise RayUnavailable(f"Ray cannot be started here: {trouble}", _SHORT_FOLDER)
    local = LOCAL_ENVIRONMENT if _starts_here() else {}
    for name, value in (DRIVER_ENVIRONMENT | local | _authentication()).items():
        os.environ.setdefault(name, value)


def ensure_ray(execution: Execution) -> None:
    """Join the cluster at RAY_ADDRESS, or start Ray on this machine, unless this process already has Ray.

    Raises RayUnavailable within seconds if the cluster does not answer or refuses the token.
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
    """Leave Ray, and end it if `ensure_ray` started it."""
    global _keeper
    with _lock:
        if _keeper is not None:
            import ray

            ray.shutdown()
            _keeper.left.set()
            _keeper = None


def cluster_address() -> str:
    """RAY_ADDRESS without white space around it, such as the end of the line of a file that it came from."""
    return os.environ.get("RAY_ADDRESS", "").strip()


def has_joined() -> bool:
    """Whether this process joined a cluster, instead of starting Ray for itself."""
    return _keeper is None or not _starts_here()


def ended() -> str:
    """What has ended of the Ray that this process uses, empty if nothing. Then waiting for Ray is useless, until Ray
    itself ends this process."""
    return _keeper.watch.ended if _keeper is not None and _keeper.watch else ""


def is_lost() -> bool:
    """Whether Ray has ended, asked at once, when an error looks like that. Then `ended` says what."""
    return _keeper is not None and _keeper.watch is not None and _keeper.watch.has_lost()


def shortage() -> str:
    """What is waited for and the cluster does not have, such as `waits for 1 GPU, the cluster has 0`; empty if
    nothing."""
    return _keeper.watch.shortage if _keeper is not None and _keeper.watch else ""


class _Keeper(threading.Thread):
    """This thread starts Ray, stays, and watches it. Linux kills Ray's processes when the thread that started them
    ends, and stages run on threads that end."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(name="ray-keeper", daemon=True)
        self._execution = execution
        self.started: Future[None] = Future()
        self.left = threading.Event()
        self.watch: RayWatch | None = None

    def run(self) -> None:
        try:
            servers = {}
            if _starts_here():
                _start_local(self._execution)
                servers = {child.name(): child for child in psutil.Process().children() if child.name() in SERVERS}
            else:
                _join(cluster_address())
            import ray

            here = ray.get_runtime_context()
            self.watch = RayWatch(here.gcs_address, here.get_node_id(), servers)
        except BaseException as error:  # asking for the result raises it again
            self.started.set_exception(error)
            return
        self.started.set_result(None)
        while not self.left.wait(LOOK_SECONDS):
            self.watch.look()


def _start_local(execution: Execution) -> None:
    import ray

    workers = max(execution.train.workers, execution.rl.rollout_workers, execution.data.parallelism)
    workers *= execution.parallel_stages
    helpers = 2  # a controller and a task run beside the workers, also on a machine with two cores
    num_cpus = max(os.cpu_count() or 1, workers + helpers)
    starting = {
        # Otherwise Ray starts only as many processes at once as the machine has cores, and stages wait for each other.
        "RAY_worker_maximum_startup_concurrency": str(num_cpus),
        # Otherwise a process starts for every CPU, used or not, beside Ray's servers, which have half a minute.
        "RAY_prestart_worker_first_driver": "0",
    }

    # A terminal that closes sends SIGHUP to all its processes. Ray's inherit that this thread blocks it, so that they
    # live until the stages have saved.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    earlier = set(psutil.Process().children())
    for start in range(1, STARTS + 1):
        try:
            with _environment(WORKER_ENVIRONMENT | starting):
                ray.init(
                    address="local",
                    num_cpus=num_cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            return
        except Exception as error:  # Ray raises many kinds here, some of them plain Exceptions
            way_out = _way_out(error)
            if start == STARTS or way_out != _BUSY:
                raise RayUnavailable(f"Ray cannot be started here: {_first_line(error)}", way_out) from error
        _kill_servers_except(earlier)


def _kill_servers_except(earlier: set[psutil.Process]) -> None:
    """Kill the processes of Ray that a failed start left behind."""
    left = []
    for child in set(psutil.Process().children()) - earlier:
        with suppress(psutil.Error):  # it has ended
            if "/ray/" in " ".join(child.cmdline()):
                child.kill()
                left.append(child)
    psutil.wait_procs(left, PROBE_SECONDS)


def _way_out(error: BaseException) -> str:
    """What helps against an error of Ray's start."""
    if "AF_UNIX" in str(error) or isinstance(error, PermissionError):
        return _SHORT_FOLDER
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return "make room in the folder of RAY_TMPDIR, or of /tmp without it"
    return _BUSY


def _join(address: str) -> None:
    if address.startswith(("http://", "https://")):
        raise RayUnavailable(
            f"RAY_ADDRESS={address}: that is the dashboard's address; `rxt run` joins HOST:6379",
            f"export RAY_ADDRESS=HOST:6379, or `rxt submit --address {address} run`",
        )
    _probe(address)
    import ray
    from ray.exceptions import RayError

    # The settings of a submitted job are already in this environment, and Ray refuses to get them twice.
    told = {name: value for name, value in WORKER_ENVIRONMENT.items() if name not in os.environ}
    try:
        with _environment({"RAY_gcs_server_port_wait_time_s": str(PROBE_SECONDS)}):
            ray.init(address=address, runtime_env={"env_vars": told}, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        if "InvalidAuthToken" in f"{error} {error.__cause__}":  # Ray hides it in connection errors
            raise RayUnavailable(
                f"the Ray cluster at {address} refused our token, or demands one and found none",
                "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE rxt run     with the token of the cluster's head in FILE",
            ) from error
        raise RayUnavailable(f"cannot join the Ray cluster at {address}: {_first_line(error)}", _REMEDY) from error


def _probe(address: str) -> None:
    """Raise RayUnavailable soon if the host does not answer; Ray itself would try for a long time."""
    address = _found(address)
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError) as error:  # the second for what no name of a host can be, such as `a..b`
        raise RayUnavailable(f"no Ray cluster answers at {address}: {error}", _REMEDY) from error


def _found(address: str) -> str:
    """The cluster that Ray finds on this machine for the address `auto`: one that runs, or else the last one started,
    which may have ended. Other addresses stay, and so does `auto` where Ray finds nothing."""
    if address != "auto":
        return address
    from ray._private.services import canonicalize_bootstrap_address

    try:
        return canonicalize_bootstrap_address(address) or address
    except ConnectionError:
        return address


def _authentication() -> dict[str, str]:
    """Variables that turn on token authentication, since Ray sends a cluster's token only then.

    A Ray on this machine gets a fresh token, because its ports are open to all users of this machine. Ray itself would
    make one token for all runs and leave it in the home folder. What lies there already is the token of some cluster.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:
        return {}
    named = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if not named and _starts_here():
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {"RAY_AUTH_MODE": "token"} if named or token_file() else {}


def _starts_here() -> bool:
    return cluster_address() in ("", "local")


def token_file() -> Path | None:
    """~/.ray/auth_token, if there is a home folder with such a file that we may read. A container may run under a user
    that has no home, or with the home of another one."""
    try:
        path = Path.home() / ".ray" / "auth_token"
        return path if path.is_file() and os.access(path, os.R_OK) else None
    except (OSError, RuntimeError):
        return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    """Set the variables in `values` that the user has not set, for the processes that Ray starts inside the context."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
