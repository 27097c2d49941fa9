"""`rxt doctor`: looks at everything that a run needs, before a run does, and says what mends it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import psutil

from jobs.stage import ray_folder
from jobs.stage.background import in_background
from jobs.stage.context import StageError
from jobs.stage.ray_setup import cluster_address
from pipelines.code_digest import ROOT
from pipelines.guard.addresses import masked_address
from pipelines.guard.secrets import redacted
from pipelines.guard.token import Token, TokenError

PROJECT = "rxt-pipeline"
PATIENCE_SECONDS = 20
FREE_BYTES, MEMORY_BYTES = 5_000_000_000, 8_000_000_000  # what the demo needs
DEVICES = Path("/dev")
PORTS = ((5000, "rxt ui"), (8265, "the dashboard of a Ray head"))


@dataclass(frozen=True)
class Finding:
    """What one check found. `next` is the command that mends it, empty if nothing must be done."""

    check: str
    state: Literal["ok", "note", "bad"]
    found: str
    next: str = ""


def examine_machine() -> list[Finding]:
    """All findings. A check that fails, or that gives no answer within PATIENCE_SECONDS, is a finding, too."""
    checks = (_python, _packages, _processors, _memory, _disk, _temporary, _gpus, _ports, _cluster, _store, _tracking)
    found = []
    for check in checks:
        name = check.__name__.strip("_")
        try:
            found += in_background(partial(_findings, check), name).result(PATIENCE_SECONDS)
        except TimeoutError:
            found.append(Finding(name, "bad", f"no answer within {PATIENCE_SECONDS} s", "rxt doctor"))
        except Exception as error:  # whatever is wrong with a machine, the other checks go on
            found.append(Finding(name, "bad", redacted(f"{type(error).__name__}: {error}")))
    return found


def print_findings(findings: list[Finding], as_json: bool) -> int:
    """One table, or one object. Returns 2 if anything is bad."""
    from pipelines.display import console_on, print_table, table_of

    code = 2 if any(finding.state == "bad" for finding in findings) else 0
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings], "exit_code": code}, indent=2))
        return code
    rows = [(finding.check, finding.state, finding.found, finding.next) for finding in findings]
    print_table(console_on(sys.stdout), table_of(("check", "state", "found", "next"), rows))
    return code


def _findings(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    return list(check())


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} in {sys.prefix}")


def _packages() -> Iterator[Finding]:
    """What pyproject.toml asks for, at the versions of constraints.txt."""
    constraints = ROOT / "constraints.txt"  # a wheel has none
    text = constraints.read_text(encoding="utf-8") if constraints.exists() else ""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
    missing, others = [], []
    for requirement in requires(PROJECT) or ():
        (name,) = re.findall(r"^[\w.-]+", requirement)
        try:
            installed = version(name)
        except PackageNotFoundError:
            if ";" not in requirement:  # else it is an extra, or for another system
                missing.append(name)
            continue
        if installed.partition("+")[0] != pinned.get(name, installed):
            others.append(f"{name} {installed} (tested: {pinned[name]})")
    install = f"{sys.executable} -m pip install -c constraints.txt -e '.[s3,kernels]'"
    if missing:
        yield Finding("packages", "bad", f"missing: {', '.join(missing)}", install)
    if others:
        yield Finding("packages", "note", f"other versions: {', '.join(others)}", install)
    if not missing and not others:
        yield Finding("packages", "ok", "at the tested versions")


def _processors() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("processors", "ok" if cores > 1 else "note", f"{cores} cores, load {os.getloadavg()[0]:.1f}")


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    found = f"{_giga(memory.available)} of {_giga(memory.total)} free"
    yield Finding("memory", "ok" if memory.total >= MEMORY_BYTES else "note", found)


def _disk() -> Iterator[Finding]:
    for name, place in (("results", _local_store()), ("temporary files", Path(tempfile.gettempdir()))):
        if place is None:
            continue
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        yield (
            Finding(f"disk for {name}", "ok", f"{_giga(free)} free at {there}")
            if free > FREE_BYTES
            else Finding(f"disk for {name}", "note", f"only {_giga(free)} free at {there}", "rxt gc")
        )


def _temporary() -> Iterator[Finding]:
    if trouble := ray_folder.trouble():
        yield Finding("folder of Ray", "bad", trouble, "export RAY_TMPDIR=/tmp/rxt-$(id -u)")


def _gpus() -> Iterator[Finding]:
    """What torch finds. It takes seconds to load, so it is not asked where there is no device of a driver."""
    if not [*DEVICES.glob("nvidia[0-9]*"), *DEVICES.glob("dxg")]:  # the second is that of WSL
        yield Finding("GPUs", "ok", f"none; torch {version('torch')}")
        return
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        found = ", ".join(f"{gpu.name} {_giga(gpu.total_memory)}" for gpu in names)
        yield Finding("GPUs", "ok", f"{found}; torch {torch.__version__}")
    else:
        found = f"there is one, and torch {torch.__version__} cannot use it"
        yield Finding("GPUs", "bad", found, "install the CUDA build of torch: docs/installation.md")


def _ports() -> Iterator[Finding]:
    for port, what in PORTS:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                yield Finding(f"port {port}", "note", f"somebody listens there already: {what}, or another program")


def _cluster() -> Iterator[Finding]:
    """The cluster that `rxt run` would join. Without RAY_ADDRESS it starts its own."""
    address = cluster_address()
    try:
        Token.find()
    except TokenError as error:
        yield Finding("token of a cluster", "note", str(error), str(error.remedy))
    if address in ("", "local"):
        yield Finding("Ray", "ok", f"{version('ray')}, started by each run on this machine")
        return
    host, _, port = address.rpartition(":")
    shown = masked_address(address)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        yield Finding("Ray", "ok", f"RAY_ADDRESS={shown} answers")
    except (OSError, ValueError) as error:
        yield Finding("Ray", "bad", f"RAY_ADDRESS={shown}: {redacted(str(error))}", "unset RAY_ADDRESS")


def _store() -> Iterator[Finding]:
    from pipelines.artifacts import ArtifactStore
    from pipelines.session import store_url

    def look() -> str:
        store = ArtifactStore(store_url())
        store.check_shared()
        store.check_readable()
        store.check_writable()
        return f"{store.shown}: {len(store.stages())} stages have results"

    yield _reached("store", look)


def _tracking() -> Iterator[Finding]:
    from pipelines.invocation import DEFAULT_PRESET
    from pipelines.session import tracking_uri
    from pipelines.tracker.database import sqlite_path
    from pipelines.tracking import Tracking, absolute_uri

    def look() -> str:
        uri = absolute_uri(tracking_uri())
        if uri.startswith("sqlite") and not sqlite_path(uri).exists():
            return f"{masked_address(uri)}: the first run makes it"
        Tracking(uri, DEFAULT_PRESET).check()
        return masked_address(uri)

    yield _reached("tracking", look)


def _reached(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, "ok", look())
    except StageError as error:
        return Finding(check, "bad", redacted(str(error)), error.remedy if isinstance(error.remedy, str) else "")


def _local_store() -> Path | None:
    from pipelines.session import store_url

    return Path(store_url()).absolute() if "://" not in store_url() else None


def _giga(count: int) -> str:
    return f"{count / 1e9:.0f} GB"
