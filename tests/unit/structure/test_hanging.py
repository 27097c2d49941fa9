"""Every wait in a test has a limit. A test that hangs fails under its own name, leaves no process, and the tests after
it run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import psutil

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

WAITS = {"wait", "join", "get", "result", "communicate"}  # with no argument, for ever
PLANTED = """
import ctypes, pathlib, subprocess, sys, threading

def start_one():
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with pathlib.Path(__file__).with_name("pids").open("a") as file:
        print(sleeper.pid, file=file)
    return sleeper

def test_waits_for_a_process():
    start_one().wait()

def test_waits_for_a_thread():
    start_one()
    threading.Event().wait()

def test_hangs_outside_of_python():
    start_one()
    c, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    while True:
        c.pthread_mutex_lock(mutex)  # for ever the second time, and Python hears of no signal meanwhile

def test_ends():
    pass
"""


def test_a_hung_test_fails_by_name_and_leaves_no_process(tmp_path):
    file, pids = tmp_path / "test_planted.py", tmp_path / "pids"
    file.write_text(PLANTED)
    config = ["-c", ROOT / "pyproject.toml", f"--rootdir={tmp_path}", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    limits = ["-o", "timeout=2", "-o", "faulthandler_timeout=4"]
    command = [sys.executable, "-m", "pytest", *config, *limits, "-n", "1", file]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS)
    for name in ("waits_for_a_process", "waits_for_a_thread", "hangs_outside_of_python"):
        assert f"FAILED test_planted.py::test_{name}" in done.stdout, done.stdout
    assert "3 failed, 1 passed" in done.stdout, done.stdout
    assert [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)] == []


def waits_for_ever(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    if name == "subprocess.Popen":
        return True
    if name in ("subprocess.run", "subprocess.check_output"):
        return "timeout" not in {keyword.arg for keyword in call.keywords}
    return name.rpartition(".")[2] in WAITS and "." in name and not call.args and not call.keywords


def test_every_wait_has_a_limit():
    """Processes are started by `tests.support.processes.started`, which sets one, or by `subprocess.run` with one."""
    folder = ROOT / "tests"
    files = [*folder.rglob("test_*.py"), *folder.rglob("conftest.py"), *(folder / "support").rglob("*.py")]
    calls = [(file, node) for file in files for node in ast.walk(ast.parse(file.read_text())) if type(node) is ast.Call]
    found = [f"{file.relative_to(folder)}:{call.lineno}" for file, call in calls if waits_for_ever(call)]
    allowed = {"support/processes.py", "support/nano.py"}  # these start the processes
    assert [place for place in found if place.rpartition(":")[0] not in allowed] == []
