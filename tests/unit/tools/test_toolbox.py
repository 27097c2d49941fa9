"""Tools in their own process: what they may not do, and what becomes of those that hang, end or say too much."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from jobs.tools.toolbox import CUT, Toolbox, ToolResult
from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS
from tokenization.tools.calls import ToolCall
from tokenization.tools.search import Passage

SUM = ToolCall("calculator", "1 + 1")
PASSAGES = [Passage("a.txt", "Konewka stoi w szopie."), Passage("b.txt", "The boiler is new. " * 30)]
FORBIDDEN = {
    "write": "open(sys.argv[2], 'w')",
    "read": "open(sys.argv[2])",
    "connect": "socket.create_connection(('127.0.0.1', 9))",
    "start": "subprocess.run(['true'])",
    "remove": "os.remove(sys.argv[2])",
    "memory": "bytes(2 << 30)",
}


@pytest.fixture
def tools():
    with Toolbox(PASSAGES) as made:
        yield made


def process_of(tools: Toolbox) -> int:
    assert tools._process is not None
    return tools._process.pid


def test_calls_are_answered_and_failures_are_results(tools):
    assert tools.run(SUM) == ToolResult("2")
    assert tools.run(ToolCall("calculator", "9**9**9")) == ToolResult("error: too large", failed=True)
    assert tools.run(ToolCall("look_up", "Gdzie jest konewka?")) == ToolResult("Konewka stoi w szopie.", "a.txt")
    assert tools.run(ToolCall("look_up", "zebra\n")) == ToolResult("nothing found")
    with Toolbox() as without:
        assert without.run(ToolCall("look_up", "x")) == ToolResult("error: there is no tool 'look_up'", failed=True)


def test_a_tool_that_hangs_is_killed_and_the_next_call_has_another(tools):
    assert tools.run(SUM) == ToolResult("2")
    hanging = process_of(tools)
    os.kill(hanging, signal.SIGSTOP)
    tools.seconds, began = 0.5, time.monotonic()
    assert tools.run(SUM) == ToolResult("error: calculator took longer than 0.5 s", failed=True)
    assert 0.5 <= time.monotonic() - began < SECONDS
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)
    tools.seconds = SECONDS
    assert tools.run(SUM) == ToolResult("2") and process_of(tools) != hanging


def test_a_tool_that_ends_says_so(tools):
    tools.run(SUM)
    os.kill(process_of(tools), signal.SIGKILL)
    assert tools.run(SUM) == ToolResult("error: calculator stopped", failed=True)
    assert tools.run(SUM) == ToolResult("2")


def test_a_result_that_is_too_long_is_cut(tools):
    tools.characters = 10
    assert tools.run(ToolCall("look_up", "boiler")) == ToolResult("The boiler" + CUT, "b.txt")


def test_an_interrupt_leaves_no_answer_for_the_next_call(tools, monkeypatch):
    tools.run(SUM)

    real, waits = select.select, []

    def interrupted(*arguments):
        waits.append(arguments)
        if len(waits) > 1:  # the call was written, and its answer is on the way
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("jobs.tools.toolbox.select.select", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tools.run(ToolCall("calculator", "3 + 3"))
    assert tools.run(SUM) == ToolResult("2")


@pytest.mark.parametrize("deed", FORBIDDEN)
def test_the_process_of_tools_may_not(deed, tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("here")
    script = f"""
import os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from tokenization.tools.worker import confine
confine()
try:
    {FORBIDDEN[deed]}
except (PermissionError, MemoryError) as error:
    print("refused", type(error).__name__)
"""
    command = [sys.executable, "-I", "-S", "-c", script, str(ROOT), str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout.split()[:1] == ["refused"], done.stderr
    assert kept.read_text() == "here"
