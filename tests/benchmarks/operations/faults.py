"""The faults of the chaos run: what each does to a running command, and how that command may end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from tests.support.nano import Command, Workspace
from tests.support.processes import SECONDS, until

REFUSED = 2


@dataclass
class Scene:
    """A running command, what begins another one like it, and draws that decide what a fault hits."""

    workspace: Workspace
    command: Command
    begin: Callable[..., Command]
    random: Random


@dataclass(frozen=True)
class Fault:
    """`does` says it in a table. `codes` are the exit codes with which the command may end, None if it may go on."""

    does: str
    strike: Callable[[Scene], None]
    codes: frozenset[int | None]


def kill_worker(scene: Scene) -> None:
    """Kill one process that works for Ray: a worker, the controller of a training, the learner of `mrl`."""
    found = [process for process in scene.workspace.processes() if process.name().startswith("ray::")]
    busy = [process for process in found if process.name() != "ray::IDLE"]
    if victims := sorted(busy or found, key=lambda process: process.pid):
        _kill(scene.random.choice(victims))


def kill_server(name: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        for process in scene.workspace.processes():
            if process.name() == name:
                _kill(process)

    return strike


def kill_driver(scene: Scene) -> None:
    scene.command.process.kill()


def terminate(scene: Scene) -> None:
    scene.command.process.terminate()


def hang_up(scene: Scene) -> None:
    """Send what a closing terminal sends, to all that the command started."""
    os.killpg(scene.command.process.pid, signal.SIGHUP)


def fill_disk(scene: Scene) -> None:
    """Take all space of the store until the command has ended."""
    filler = scene.workspace.store / "filler"
    with filler.open("wb") as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):  # no space is left
                while True:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
    try:
        scene.command.process.wait(SECONDS)
    finally:
        filler.unlink()


def run_second(scene: Scene) -> None:
    """Begin the same command beside the first. One of them is refused, and the other goes on."""
    _one_is_refused(scene, scene.begin())


def step_clock(scene: Scene) -> None:
    """Begin the same command where the clock has been set by an hour: the machine seems to have started an hour later,
    as after a step of NTP or the resumption of a virtual machine."""
    lines = Path("/proc/stat").read_text().splitlines()
    stepped = [f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime ") else line for line in lines]
    stat = scene.workspace.folder / "stat"
    stat.write_text("\n".join(stepped) + "\n")
    within = ("unshare", "--mount", "sh", "-c", f'mount --bind {stat} /proc/stat && exec "$@"', "sh")
    _one_is_refused(scene, scene.begin(within))


def _one_is_refused(scene: Scene, second: Command) -> None:
    pair = (scene.command, second)
    until(lambda: any(command.process.poll() is not None for command in pair))
    ended, scene.command = pair if pair[0].process.poll() is not None else pair[::-1]
    if ended.process.returncode == 0:  # the pipeline was complete first, and the other one finds that
        ended, scene.command = scene.command, ended
    assert " is being written by pid " in ended.ends_with(REFUSED), ended.output


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


FAULTS = {
    "worker": Fault("SIGKILL to a worker, controller or learner of Ray", kill_worker, frozenset({None, 0, 1})),
    "driver": Fault("SIGKILL to the command itself", kill_driver, frozenset({-signal.SIGKILL})),
    "raylet": Fault("SIGKILL to the raylet", kill_server("raylet"), frozenset({1})),
    "gcs": Fault("SIGKILL to Ray's control store", kill_server("gcs_server"), frozenset({1})),
    "terminate": Fault("SIGTERM to the command", terminate, frozenset({130})),
    "hangup": Fault("SIGHUP to all its processes, as a closed terminal", hang_up, frozenset({130})),
    "full disk": Fault("no space left for the store", fill_disk, frozenset({1, 2})),
    "second run": Fault("the same command beside it", run_second, frozenset({None, 0})),
    "clock": Fault("the same command, the clock set by an hour", step_clock, frozenset({None, 0})),
}
