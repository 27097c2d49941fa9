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
    """`does` says it in a table. `strike` returns whether there was anything to hit. `codes` are the exit codes with
    which the command may end then, None if it may go on."""

    does: str
    strike: Callable[[Scene], bool]
    codes: frozenset[int | None]


def kill_worker(scene: Scene) -> bool:
    """Kill one process that works for Ray: a worker, the controller of a training, the learner of `mrl`."""
    found = _running(scene, lambda name: name.startswith("ray::"))
    busy = [process for process in found if process.name() != "ray::IDLE"]
    if victims := sorted(busy or found, key=lambda process: process.pid):
        _kill(scene.random.choice(victims))
    return bool(victims)


def kill_server(server: str) -> Callable[[Scene], bool]:
    def strike(scene: Scene) -> bool:
        found = _running(scene, lambda name: name == server)
        for process in found:
            _kill(process)
        return bool(found)

    return strike


def _running(scene: Scene, wanted: Callable[[str], bool]) -> list[psutil.Process]:
    """Return the processes whose name is wanted, once there are any; none if the command ends before."""

    def found() -> list[psutil.Process]:
        return [process for process in scene.workspace.processes() if wanted(process.name())]

    until(lambda: found() or scene.command.process.poll() is not None)
    return found()


def kill_driver(scene: Scene) -> bool:
    return _signal(scene, lambda pid: os.kill(pid, signal.SIGKILL))


def terminate(scene: Scene) -> bool:
    return _signal(scene, lambda pid: os.kill(pid, signal.SIGTERM))


def hang_up(scene: Scene) -> bool:
    """Send what a closing terminal sends, to all that the command started."""
    return _signal(scene, lambda pid: os.killpg(pid, signal.SIGHUP))


def _signal(scene: Scene, send: Callable[[int], None]) -> bool:
    if scene.command.process.poll() is not None:
        return False
    send(scene.command.process.pid)
    return True


def fill_disk(scene: Scene) -> bool:
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
    return scene.command.process.returncode != 0


def run_second(scene: Scene) -> bool:
    """Begin the same command beside the first. One of them is refused, and the other goes on."""
    return _one_is_refused(scene, scene.begin())


def step_clock(scene: Scene) -> bool:
    """Begin the same command where the clock is one hour ahead: the machine seems to have started an hour later, as
    after a step of NTP or the resumption of a virtual machine."""
    lines = Path("/proc/stat").read_text().splitlines()
    stepped = [f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime ") else line for line in lines]
    stat = scene.workspace.folder / "stat"
    stat.write_text("\n".join(stepped) + "\n")
    within = ("unshare", "--mount", "sh", "-c", f'mount --bind {stat} /proc/stat && exec "$@"', "sh")
    return _one_is_refused(scene, scene.begin(within))


def _one_is_refused(scene: Scene, second: Command) -> bool:
    pair = (scene.command, second)
    until(lambda: any(command.process.poll() is not None for command in pair))
    ended, scene.command = pair if pair[0].process.poll() is not None else pair[::-1]
    if ended.process.returncode == 0:  # the pipeline was complete first, and the other one finds that
        ended, scene.command = scene.command, ended
    assert " is being written by pid " in ended.ends_with(REFUSED), ended.output
    return True


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
    "clock": Fault("the same command beside it, with the clock one hour ahead", step_clock, frozenset({None, 0})),
}
