"""The suite itself: a test that hangs fails by name, and Ctrl-C can be tested however the suite is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil

from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS

HANGING = """
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


IN_THE_BACKGROUND = """
import signal, subprocess, sys

def test_that_children_hear_what_is_ignored_here():
    signal.raise_signal(signal.SIGINT)
    told = subprocess.check_output([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"])
    assert b"default_int_handler" in told
"""


def run_planted(folder: Path, planted: str, *options: str, before: tuple[str, ...] = ()) -> str:
    """Return what pytest prints for these tests, with our conftest.py and configuration."""
    (folder / "test_planted.py").write_text(planted)
    config = [
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={folder}",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
    ]
    command = [*before, sys.executable, "-m", "pytest", *config, *options, "test_planted.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS).stdout


def is_alive(pid: int) -> bool:
    """Say whether a process runs. A killed one stays as a zombie until the system's first process collects it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_hung_test_fails_by_name_and_leaves_no_process(tmp_path):
    limits = ("-o", "timeout=3", "-o", "faulthandler_timeout=6")
    told = run_planted(tmp_path, HANGING, *limits, "-n", "1")
    for name in ("waits_for_a_process", "waits_for_a_thread", "hangs_outside_of_python"):
        assert f"FAILED test_planted.py::test_{name}" in told, told
    assert "3 failed, 1 passed" in told, told
    pids = map(int, (tmp_path / "pids").read_text().split())
    assert [pid for pid in pids if is_alive(pid)] == []


def test_children_hear_ctrl_c_where_the_suite_was_told_to_ignore_it(tmp_path):
    """This is the case with `nohup make test &` or cron, where processes inherit that SIGINT is ignored."""
    told = run_planted(tmp_path, IN_THE_BACKGROUND, before=("sh", "-c", 'trap "" INT; exec "$@"', "sh"))
    assert "failed" not in told and "100%" in told, told


def test_tests_with_the_ray_of_the_session_run_in_one_process():
    """Elsewhere each process of `pytest -n` would start a Ray for itself."""
    asks = re.compile(r"\bdef \w+\([^)]*\bray_session\b")
    tests = ROOT / "tests"
    asked = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py") if asks.search(path.read_text())}
    assert asked == {"integration"}
