"""The Triton kernels equal their references, run by Triton's interpreter.

The interpreter is chosen when Triton is first imported, so the checks (interpreted/*.py) get a process of their own.
They use fp32: the interpreter multiplies bf16 wrongly.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import SECONDS

pytest.importorskip("triton")
FOLDER = Path(__file__).parent / "interpreted"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_kernels_equal_their_references(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / f"{name}.py")]
    done = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
