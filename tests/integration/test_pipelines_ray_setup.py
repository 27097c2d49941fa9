"""Joining a cluster that is not there ends quickly, with the address and the remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

JOIN = """
import sys
from jobs import ray_setup
from jobs.configs import Execution
from jobs.context import StageError
try:
    ray_setup.ensure_ray(Execution())
except StageError as error:
    print(f"{error} | {error.next_command}")
    sys.exit(2)
import ray
print(int(ray.cluster_resources()["CPU"]))
ray_setup.shutdown()
"""


def join(**environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", JOIN], env=clean | environment, capture_output=True, text=True, timeout=120
    )


def test_a_cluster_that_does_not_answer():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    result = join(RAY_ADDRESS=address)
    assert result.returncode == 2
    assert result.stdout.startswith(f"no Ray cluster answers at {address}") and "unset RAY_ADDRESS" in result.stdout


@pytest.mark.parametrize("name", ["RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_AUTH_MODE"])
def test_what_the_user_has_set_stays(name, monkeypatch):
    from jobs.ray_setup import prepare_environment

    monkeypatch.setenv(name, "as the user said")
    prepare_environment()
    assert os.environ[name] == "as the user said"
