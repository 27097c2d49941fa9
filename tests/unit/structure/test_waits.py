"""Every wait in a test has a limit, so that a test that hangs fails where it hangs."""

from __future__ import annotations

import ast

import pytest

from pipelines.code_digest import ROOT

STARTERS = {"run", "call", "check_call", "check_output"}  # of subprocess; these wait, and take a timeout
# where a timeout stands among the arguments of a method that waits
LIMIT = {"wait": 0, "join": 0, "result": 0, "get": 1, "acquire": 1, "communicate": 1, "wait_for": 1}
ALLOWED = {"support/processes.py", "support/nano.py"}  # these start the processes


def imported(tree: ast.Module) -> dict[str, str]:
    """Return the full names of what a file imports from subprocess and os, or by another name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module in ("subprocess", "os", "time"):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_value(node: ast.expr | None, *values: object) -> bool:
    return isinstance(node, ast.Constant) and any(node.value is value for value in values)


def waits_for_ever(call: ast.Call, name: str) -> bool:
    """Tell whether a call of the function with this full name waits without a limit."""
    module, _, method = name.rpartition(".")
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    limit = keywords.get("timeout")
    if module == "subprocess" and method in STARTERS:
        return limit is None or is_value(limit, None)
    if name in ("subprocess.Popen", "os.wait", "os.waitpid"):
        return "WNOHANG" not in ast.unparse(call)
    if not module or method not in LIMIT:
        return False
    first, place = (call.args or [keywords.get("block", keywords.get("blocking"))])[0], LIMIT[method]
    if limit is None and len(call.args) > place:
        limit = call.args[place]
    if method == "get" and not is_value(first, True) and (call.args or first):  # of a dictionary, or one that returns
        return is_value(keywords.get("timeout"), None)
    return (limit is None or is_value(limit, None)) and not (method == "acquire" and is_value(first, False))


def loops_for_ever(loop: ast.While, names: dict[str, str]) -> bool:
    """Tell whether a loop sleeps until something happens; `tests.support.processes.until` does that with a limit."""
    calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(full_name(call, names) == "time.sleep" for call in calls)


def full_name(call: ast.Call, names: dict[str, str]) -> str:
    first, dot, rest = ast.unparse(call.func).partition(".")
    return f"{names.get(first, first)}{dot}{rest}"


def unlimited(source: str) -> list[int]:
    """Return the lines of a file that may wait for ever."""
    tree = ast.parse(source)
    names = imported(tree)
    return sorted(
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and waits_for_ever(node, full_name(node, names)))
        or (isinstance(node, ast.While) and loops_for_ever(node, names))
    )


def test_every_wait_has_a_limit():
    """Tests start processes with `tests.support.processes.started`, which sets a limit, or with `subprocess.run` and a
    limit. What a `with` statement waits for is not looked at."""
    folder = ROOT / "tests"
    files = [*folder.rglob("test_*.py"), *folder.rglob("conftest.py"), *(folder / "support").rglob("*.py")]
    found = {str(file.relative_to(folder)): lines for file in files if (lines := unlimited(file.read_text()))}
    assert {file: lines for file, lines in found.items() if file not in ALLOWED} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "subprocess.run(c)",
        "subprocess.run(c, timeout=None)",
        "subprocess.call(c)",
        "subprocess.check_call(c)",
        "subprocess.check_output(c)",
        "subprocess.Popen(c)",
        "from subprocess import check_output\ncheck_output(c)",
        "from subprocess import run as start\nstart(c)",
        "import subprocess as sp\nsp.run(c)",
        "process.wait()",
        "process.wait(None)",
        "event.wait(timeout=None)",
        "process.communicate(b'x')",
        "process.communicate(input=b'x')",
        "thread.join()",
        "thread.join(None)",
        "future.result()",
        "queue.get()",
        "queue.get(True)",
        "queue.get(True, None)",
        "queue.get(block=True)",
        "queue.get(timeout=None)",
        "lock.acquire()",
        "lock.acquire(True)",
        "lock.acquire(timeout=None)",
        "condition.wait_for(happened)",
        "os.waitpid(pid, 0)",
        "from os import waitpid\nwaitpid(pid, 0)",
        "while not path.exists():\n    time.sleep(1)",
        "from time import sleep\nwhile True:\n    sleep(1)",
    ],
)
def test_a_wait_without_a_limit_is_found(planted):
    assert len(unlimited(planted)) == 1


@pytest.mark.parametrize(
    "allowed",
    [
        "subprocess.run(c, timeout=SECONDS)",
        "process.wait(SECONDS)",
        "process.communicate(b'x', timeout=SECONDS)",
        "thread.join(timeout=5)",
        "queue.get(timeout=5)",
        "queue.get(True, 5)",
        "queue.get(block=False)",
        "lock.acquire(timeout=5)",
        "lock.acquire(False)",
        "lock.acquire(blocking=False)",
        "condition.wait_for(happened, 5)",
        "os.waitpid(pid, os.WNOHANG)",
        "values.get('name')",
        "values.get('name', None)",
        "ray.get(reference)",
        "', '.join(names)",
        "while queue:\n    queue.pop()",
    ],
)
def test_a_wait_with_a_limit_is_left_alone(allowed):
    assert unlimited(allowed) == []
