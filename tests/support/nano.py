"""Run the real command line on the smallest pipeline, with its own folders and processes, which can be killed.

python -m tests.support.nano FOLDER     writes its texts and its configuration
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import psutil

from pipelines.code_digest import ROOT
from tests.support.nano_text import write_texts
from tests.support.processes import SECONDS, until

RXT = str(Path(sys.executable).with_name("rxt"))


class Workspace:
    """A folder with texts, configuration, store, tracking database and Ray's files, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.database = folder, folder / "store", folder / "mlflow.db"

    @classmethod
    def fresh(cls, folder: Path) -> Workspace:
        write_texts(folder)
        shutil.copy(ROOT / "tests" / "assets" / "nano.toml", folder)
        return cls(folder)

    def copied_to(self, folder: Path) -> Workspace:
        """Copy results and tracking history. Modification times of files stay."""
        ignored = shutil.ignore_patterns("ray", "output-*", "mlflow-artifacts")
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=ignored)
        return Workspace(folder)

    @property
    def environment(self) -> dict[str, str]:
        """Return the user's environment, without what the test session has set for its own Ray."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RXT_", "MLFLOW_"))}
        return own | {
            "RXT_STORE": str(self.store),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}",
            "RAY_TMPDIR": str(self.folder),
        }

    def start(self, *words: str, **environment: str) -> Command:
        return Command(self, words, self.environment | environment)

    def rxt(self, *words: str, code: int = 0, **environment: str) -> str:
        """Return everything the command printed. Fails unless it exits with `code`."""
        return self.start(*words, **environment).ends_with(code)

    def nano(self, *words: str, code: int = 0, **environment: str) -> str:
        """Run a command on the nano pipeline."""
        return self.rxt(*words, "--config", "nano.toml", code=code, **environment)

    def status(self, *words: str) -> dict[str, dict[str, Any]]:
        """Return the status by stage."""
        return {entry["stage"]: entry for entry in json.loads(self.nano("status", "--json", *words))["stages"]}

    def begun(self, stage: str) -> Path | None:
        """Return the folder of a stage that was begun and is not complete."""
        folders = (path.parent for path in (self.store / stage).glob("*/attempt.json"))
        return next((folder for folder in folders if not (folder / "manifest.json").exists()), None)

    def artifact(self, stage: str, *words: str) -> Path:
        """Return the folder of the attempt that decides about a stage."""
        return Path(self.status(*words)[stage]["uri"])

    def weights(self, *stages: str) -> dict[str, bytes]:
        """Return the weights that each stage has trained."""
        status = self.status()
        return {stage: Path(status[stage]["uri"], "model", "model.safetensors").read_bytes() for stage in stages}

    def processes(self) -> list[psutil.Process]:
        """Return all living processes that a command in this folder started, orphans included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("RXT_STORE") == str(self.store):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def kill(self, command: Command) -> None:
        """Send SIGKILL to the driver alone. What it had started must soon end by itself."""
        command.kill()
        _, alive = psutil.wait_procs(self.processes(), timeout=15)
        assert alive == []

    def close(self) -> None:
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder)


class Command:
    """A running `rxt …`, started by the words `program`. It leads a session, as in a terminal, and prints to a file."""

    def __init__(
        self,
        workspace: Workspace,
        words: tuple[str, ...],
        environment: dict[str, str],
        program: tuple[str, ...] = (RXT,),
    ) -> None:
        self.words = words
        with NamedTemporaryFile(dir=workspace.folder, prefix="output-", delete=False) as log:
            self.log = Path(log.name)
            self.process = subprocess.Popen(
                (*program, *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=workspace.folder,
                env=environment,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def ends_with(self, code: int) -> str:
        try:
            found = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"rxt {' '.join(self.words)} ran for {SECONDS} s:\n{self.output}") from None
        assert found == code, f"rxt {' '.join(self.words)} gave {found}:\n{self.output}"
        return self.output

    def until(self, happened: Callable[[], bool]) -> Command:
        """Return as soon as `happened` is true. Fails if the command ends before."""
        try:
            until(happened, self.process)
        except AssertionError as error:
            raise AssertionError(f"rxt {' '.join(self.words)}: {error}\n{self.output}") from None
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def interrupt(self) -> None:
        """Send what Ctrl-C in a terminal sends, to all that it started."""
        os.killpg(self.process.pid, signal.SIGINT)


def built(output: str) -> list[str]:
    """Return the stages that a command completed, in order."""
    return re.findall(r"^(\S+): complete ", output, re.MULTILINE)


def reused(output: str) -> list[str]:
    return re.findall(r"^(\S+): reused ", output, re.MULTILINE)


def resumed(output: str, stage: str) -> int:
    """Return the step at which a command resumed a stage."""
    (step,) = re.findall(rf"^{stage}: resumed at step (\d+)", output, re.MULTILINE)
    return int(step)


def main() -> None:
    """Write texts and configuration into the new folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    Workspace.fresh(folder)


if __name__ == "__main__":
    main()
