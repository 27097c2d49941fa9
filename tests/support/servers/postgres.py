"""A PostgreSQL of its own on loopback, which demands a password."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import SECONDS, free_port, started, until

NOBODY = 65534  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """Return the folder of `initdb`, `postgres`, `pg_dump`; Debian keeps it out of PATH. None if there is none."""
    debian = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres(folder: Path, user: str, password: str) -> Generator[int]:
    """Run a server whose data are below the new `folder`. Give its port; the database is called `postgres`."""
    place = programs()
    assert place is not None, "no PostgreSQL here: apt install postgresql"
    folder.mkdir()
    secret = folder / "password"
    secret.write_text(password)
    runs_as: dict[str, Any] = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    if runs_as:
        for path in (folder, secret):
            os.chown(path, NOBODY, NOBODY)
    data, port = folder / "data", free_port()
    subprocess.run(
        [place / "initdb", "-D", data, "-U", user, "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "-N"],
        check=True, stdout=subprocess.DEVNULL, timeout=SECONDS, cwd="/", **runs_as,
    )  # fmt: skip
    secret.unlink()
    command = [place / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c", "fsync=off"]
    log = open(os.devnull, "wb")
    with log, started(command, 7200, stdout=log, stderr=log, cwd="/", **runs_as) as server:
        ready = [place / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        until(lambda: subprocess.run(ready, stdout=log, timeout=SECONDS).returncode == 0, server)
        yield port
