"""Build the examples of CONTRIBUTING.md in a copy of the repository: new files, and differences to existing ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.code_digest import ROOT

BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 300  # until a command that hangs is given up
COPIED = ("pipelines", "jobs", "rxt_model", "tokenization", "tests", "docs", "pyproject.toml", "README.md")


def new_files(guide: str) -> dict[str, str]:
    """Return, by path, the content of the blocks whose first line names a file."""
    found = {}
    for block in BLOCK.finditer(guide):
        first, _, rest = block["body"].partition("\n")
        if block["kind"] == "python" and (named := re.fullmatch(r"# ([\w/]+\.py)", first)):
            found[named[1]] = rest
    return found


def edits(guide: str) -> list[tuple[str, str, str]]:
    """Return (path, old text, new text) of every hunk of the differences. Each only adds lines."""
    found = []
    for block in BLOCK.finditer(guide):
        if block["kind"] != "diff":
            continue
        head, *hunks = block["body"].split("@@\n")
        (path,) = re.findall(r"^\+\+\+ b/(\S+)$", head, re.MULTILINE)
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            assert all(line[0] in " +" for line in lines), f"{path}: a line that others may change is replaced:\n{hunk}"
            old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" ", " +"))
            found.append((path, old, new))
    return found


class Copy:
    """A copy of the repository with all examples of the guide in it, in which Python processes run."""

    def __init__(self, folder: Path, guide: str) -> None:
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results", "old_store")
                )
            else:
                shutil.copy(source, folder)
        for path, content in new_files(guide).items():
            assert not (folder / path).exists(), f"{path} exists already"
            (folder / path).write_text(content)
        for path, old, new in edits(guide):
            text = (folder / path).read_text()
            assert text.count(old) == 1, (
                f"{path} has {text.count(old)} places like this one; move your line, or change the guide:\n{old}"
            )
            (folder / path).write_text(text.replace(old, new))

    def run(self, *command: str) -> str:
        """Return what a command prints in the copy. Fails if the command does."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("RXT_", "MLFLOW_"))}
        env |= {"RXT_STORE": f"{self.folder}/store", "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, *words: str) -> str:
        """Return what `python WORDS` prints in the copy. Fails if it does."""
        return self.run(sys.executable, *words)

    def script(self, text: str) -> str:
        """Return what a script prints that imports the copy's packages."""
        return self.python("-c", f"import pipelines\nassert {str(self.folder)!r} in pipelines.__path__[0]\n{text}")

    def tests(self, *words: str) -> None:
        """Run tests of the copy, with the examples among what they test. Fails if none is selected."""
        self.python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words)
