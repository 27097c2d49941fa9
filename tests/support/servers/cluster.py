"""Ray clusters of one machine: a head, and raylets that count as machines of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.processes import free_port, started, until

RAY = str(Path(sys.executable).with_name("ray"))


@contextmanager
def head(folder: Path, token: str, environment: Mapping[str, str], cpus: int = 1) -> Generator[tuple[str, int]]:
    """Run a head that demands `token`. Give the address of its dashboard and the port of its GCS."""
    gcs, dashboard = free_port(), free_port()
    address = f"http://127.0.0.1:{dashboard}"
    options = f"--head --port {gcs} --dashboard-host 127.0.0.1 --dashboard-port {dashboard} --temp-dir {folder}"
    with _node(options, token, environment, cpus) as process:
        wait_for_nodes(address, token, 1, process)
        yield address, gcs


@contextmanager
def another_node(
    folder: Path, gcs: int, token: str, environment: Mapping[str, str], cpus: int = 1
) -> Generator[subprocess.Popen]:
    """Run a raylet as a second machine, with a `folder` of its own: in the head's, it would replace the folder in which
    a job runs. It may not have joined yet."""
    options = f"--address 127.0.0.1:{gcs} --node-ip-address 127.0.0.2 --temp-dir {folder}"
    with _node(options, token, environment, cpus) as process:
        yield process


def wait_for_nodes(address: str, token: str, count: int, process: subprocess.Popen | None = None) -> None:
    """Ask as the state page of the dashboard does until so many nodes live."""
    url = f"{address}/api/v0/nodes?limit=10&filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})

    def are_there() -> bool:
        with suppress(OSError), urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)["data"]["result"]["total"] == count
        return False

    until(are_there, process)


def kill_raylet(node: subprocess.Popen) -> None:
    """Kill the raylet of a node, and so its tasks and actors, without a word."""
    raylets = [child for child in psutil.Process(node.pid).children(recursive=True) if child.name() == "raylet"]
    assert len(raylets) == 1, raylets
    raylets[0].kill()


@contextmanager
def _node(options: str, token: str, environment: Mapping[str, str], cpus: int) -> Generator[subprocess.Popen]:
    clean = {name: value for name, value in environment.items() if not name.startswith("RAY_")}
    clean |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    limits = f"--num-cpus {cpus} --object-store-memory 100000000 --disable-usage-stats --block"
    limits += f" --dashboard-agent-listen-port {free_port()}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started([RAY, "start", *options.split(), *limits.split()], 7200, env=clean, **quiet) as process:
        yield process
