"""If no cluster is at the address, joining it ends quickly, with the address and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import SECONDS, free_port, started, until

JOIN = """
import sys
from jobs.stage import ray_setup
from jobs.configs.execution import Execution
from jobs.stage.context import StageError
try:
    ray_setup.ensure_ray(Execution())
except StageError as error:
    print(f"{error} | {error.remedy}")
    sys.exit(2)
import ray
print(int(ray.cluster_resources()["CPU"]))
ray_setup.shutdown()
"""


def without_ray() -> dict[str, str]:
    """This environment without the settings of the Ray that other tests have started in this process."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def join(**environment):
    command = [sys.executable, "-c", JOIN]
    return subprocess.run(command, env=without_ray() | environment, capture_output=True, text=True, timeout=SECONDS)


def test_the_address_of_a_dashboard_is_told_from_that_of_a_cluster():
    refused = join(RAY_ADDRESS="http://head:8265")
    message, _, remedy = refused.stdout.strip().partition(" | ")
    assert refused.returncode == 2
    assert message == "RAY_ADDRESS=http://head:8265: that is the dashboard's address; `rxt run` joins HOST:6379"
    assert remedy == "export RAY_ADDRESS=HOST:6379, or `rxt submit --address http://head:8265 run`"


@pytest.fixture(scope="module")
def head(short_folder):
    """Start a cluster on this machine that demands a token. Gives its address and the file of its token."""
    folder = short_folder()
    token = folder / "token"
    token.write_text("a-token-of-this-test-alone-0123456789")
    port = free_port()
    command = [
        Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}",
        "--include-dashboard=false", "--num-cpus=2", f"--object-store-memory={100 << 20}", f"--temp-dir={folder}/ray",
    ]  # fmt: skip
    environment = without_ray() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "HOME": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"127.0.0.1:{port}"
    with started(command, seconds=3600, env=environment, **quiet) as process:
        until(lambda: join(RAY_ADDRESS=address, RAY_AUTH_TOKEN_PATH=str(token)).returncode == 0, process)
        yield address, token


def test_joining_with_the_token(head):
    address, token = head
    result = join(RAY_ADDRESS=address, RAY_AUTH_TOKEN_PATH=str(token))
    assert result.returncode == 0 and result.stdout.strip() == "2", result.stderr


def test_a_wrong_token_explains_itself(head, tmp_path):
    (tmp_path / "other").write_text("some-other-token-0123456789012345")
    result = join(RAY_ADDRESS=head[0], RAY_AUTH_TOKEN_PATH=str(tmp_path / "other"))
    assert result.returncode == 2
    assert result.stdout.startswith(f"the Ray cluster at {head[0]} refused our token")
    assert "RAY_AUTH_TOKEN_PATH=FILE" in result.stdout


@pytest.mark.parametrize("place", ["127.0.0.1:{port}", " 127.0.0.1:{port}\n", "a..b:{port}"])
def test_a_cluster_that_does_not_answer(place):
    address = place.format(port=free_port())
    result = join(RAY_ADDRESS=address)
    assert result.returncode == 2
    told = f"no Ray cluster answers at {address.strip()}: "
    assert result.stdout.startswith(told) and "unset RAY_ADDRESS" in result.stdout


def test_auto_where_the_last_ray_of_the_machine_has_ended(short_folder):
    folder = short_folder()
    address = f"127.0.0.1:{free_port()}"
    (folder / "ray").mkdir()
    (folder / "ray" / "ray_current_cluster").write_text(address)  # as `ray start` leaves it
    found = "from ray._private import services\n"
    found += "services.find_gcs_addresses = type('None', (), {'__call__': lambda self: set(), 'cache_clear': int})()\n"
    command = [sys.executable, "-c", found + JOIN]  # the Ray of other tests runs, and must not be found
    environment = without_ray() | {"RAY_ADDRESS": "auto", "RAY_TMPDIR": str(folder)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert result.returncode == 2, result.stderr
    assert result.stdout.startswith("no Ray cluster answers at ") and "unset RAY_ADDRESS" in result.stdout
    assert address.rpartition(":")[2] in result.stdout


@pytest.mark.parametrize("name", ["RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_AUTH_MODE"])
def test_what_the_user_has_set_stays(name, monkeypatch):
    from jobs.stage.ray_setup import prepare_environment

    monkeypatch.setenv(name, "as the user said")
    prepare_environment()
    assert os.environ[name] == "as the user said"


def test_ray_starts_at_the_second_try_outlives_its_thread_stays_on_loopback_has_no_idle_worker_and_leaves_nothing():
    code = """
import os, subprocess, threading, psutil
from jobs.stage import ray_setup
from jobs.configs.execution import Execution
start, frozen = subprocess.Popen.__init__, []
def start_frozen_at_first(process, command, *rest, **options):
    start(process, command, *rest, **options)
    if command[0].endswith("gcs_server") and frozen:
        os.environ["RAY_gcs_server_port_wait_time_s"] = "30"
    elif command[0].endswith("gcs_server"):  # before it can say where it listens
        frozen.append(psutil.Process(process.pid))
        frozen[0].suspend()
subprocess.Popen.__init__ = start_frozen_at_first
thread = threading.Thread(target=ray_setup.ensure_ray, args=(Execution(),))
thread.start()
thread.join()
import ray
children = [process for process in psutil.Process().children(recursive=True) if process.name() != "raylet"]
print(sum("default_worker" in (line := " ".join(child.cmdline())) or "ray::IDLE" in line for child in children))
print(frozen[0].is_running(), ray.get(ray.remote(lambda: 7).remote(), timeout=60))
children = psutil.Process().children(recursive=True)
sockets = [socket for process in (psutil.Process(), *children) for socket in process.net_connections("inet")]
print(*{socket.laddr.ip.removeprefix("::ffff:") for socket in sockets if socket.status == psutil.CONN_LISTEN})
ray_setup.shutdown()
print(len(children) > 0, len(psutil.wait_procs(children, timeout=10)[1]))
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    clean["RAY_gcs_server_port_wait_time_s"] = "1"
    result = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=SECONDS)
    assert result.stdout.split() == ["0", "False", "7", "127.0.0.1", "True", "0"], result.stderr
