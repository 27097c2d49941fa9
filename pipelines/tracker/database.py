"""Prepares a database for MLflow before MLflow touches it: its driver, its schema, and who creates it.

MLflow itself would try an unreachable server for minutes, and processes that create a schema at the same time break it.
So one process creates it while the others wait: in a file beside the SQLite database that is renamed when it is whole,
or under a lock of the database server.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.guard.addresses import masked_address
from pipelines.guard.secrets import redacted
from pipelines.tracker.environment import prepare_environment
from pipelines.tracker.errors import TrackingError

if TYPE_CHECKING:
    from sqlalchemy import Engine

PROBE_SECONDS = 3
PATIENCE_SECONDS = 10  # for another program that may be creating the schema
PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # of drivers
LOCKS = {
    "postgresql": "SELECT pg_advisory_lock(727874)",
    "mysql": "SELECT GET_LOCK('rxt-mlflow', 600)",
    "mssql": "EXEC sp_getapplock @Resource = 'rxt-mlflow', @LockMode = 'Exclusive', @LockOwner = 'Session'",
}
FIRST_TABLE = "experiments"  # that MLflow creates
ANOTHER = "MLFLOW_TRACKING_URI=sqlite:////another/mlflow.db rxt run"


def prepare(uri: str) -> None:
    """Reach the database `uri`, and create the schema of a new one. Raises TrackingError within seconds if the driver
    is missing, the database cannot be reached, or another version of MLflow made its schema."""
    prepare_environment()
    if uri.startswith("sqlite"):
        _probe_sqlite(sqlite_path(uri), uri)
    engine = _engine(uri)
    from sqlalchemy.exc import DBAPIError

    try:
        if _state(engine, uri) != "current":
            with _alone(engine, uri):
                engine.dispose()  # the file that it has open may have been replaced meanwhile
                _make_current(engine, uri)
    except DBAPIError as error:  # it can be opened, and what is in it cannot be read
        raise _unusable(uri, error.orig or error) from error
    finally:
        engine.dispose()


def sqlite_path(uri: str) -> Path:
    """The file of a SQLite database. SQLAlchemy knows what a percent sign means in an address: its versions differ."""
    path = uri.partition(":///")[2]
    if "%" in path:
        from sqlalchemy import make_url

        path = make_url(uri).database or ""
    return Path(path)


def sqlite_uri(path: Path) -> str:
    """The address of a SQLite database in a file, whatever signs its name has."""
    if not {"%", "?"} & set(str(path)):
        return f"sqlite:///{path}"
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def _probe_sqlite(path: Path, uri: str) -> None:
    """Raises at once where MLflow would retry for a minute: no folder, no database, locked, read-only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError("that is no file")
        connection = sqlite3.connect(path, timeout=PROBE_SECONDS)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE rxt_probe (x)")  # a transaction can begin where nothing can be written
            connection.rollback()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as error:
        raise _unusable(uri, error) from error


def _unusable(uri: str, error: BaseException) -> TrackingError:
    """What to say of an error of a driver."""
    reason = redacted(" ".join(str(error).split()))[:300]
    is_damaged = uri.startswith("sqlite") and "malformed" in reason
    remedy = _put_aside(sqlite_path(uri)) if is_damaged else ANOTHER
    return TrackingError(f"MLflow at {masked_address(uri)} cannot be used: {reason}", remedy)


def _put_aside(path: Path) -> str:
    return f"mv {path} {path}.broken   and run again: a new one is made, and results do not depend on it"


def _engine(uri: str) -> Engine:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError

    waits = {} if uri.startswith("sqlite") else {"timeout" if uri.startswith("mssql") else "connect_timeout": 3}
    try:
        engine = sqlalchemy.create_engine(uri, connect_args=waits)
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "", error.name or "")
        raise TrackingError(
            f"MLflow at {masked_address(uri)} cannot be used: the driver {error.name} is not installed",
            f"pip install '{package}'",
        ) from error
    except (ArgumentError, ValueError) as error:
        raise _unusable(uri, error) from error
    try:
        engine.connect().close()
    except Exception as error:  # each driver has its own
        engine.dispose()
        raise _unusable(uri, getattr(error, "orig", None) or error) from error
    return engine


def _state(engine: Engine, uri: str) -> str:
    """`empty`, `current`, or `half` if the creation of the schema was cut off. Raises TrackingError for the schema of
    another version, and for a database of another program."""
    import sqlalchemy
    from mlflow.store.db import utils

    tables = set(sqlalchemy.inspect(engine).get_table_names())
    ours = {name for name in tables if not name.startswith(("alembic_", "_alembic_"))}
    revisions: list[str] = []
    if "alembic_version" in tables:
        with engine.connect() as connection:
            revisions += connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalars()
    if not ours and not revisions:
        return "empty"
    if ours and FIRST_TABLE not in ours:
        told = (
            f"MLflow at {masked_address(uri)} cannot be used: that is the database of another program, with the tables"
        )
        raise TrackingError(f"{told} {', '.join(sorted(ours)[:3])}", ANOTHER)
    if len(revisions) != 1 or any(name.startswith("_alembic_tmp_") for name in tables):
        return "half"
    if revisions[0] == utils._get_latest_schema_revision():
        return "current" if utils._all_tables_exist(engine) else "half"
    raise _other_version(uri, revisions[0])


def _other_version(uri: str, found: str) -> TrackingError:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow import __version__
    from mlflow.store.db import utils

    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    expected = utils._get_latest_schema_revision()
    told = f"MLflow at {masked_address(uri)} has the schema {found}, and MLflow {__version__} needs {expected}"
    try:
        script.get_revision(found)
    except CommandError:
        return TrackingError(f"{told}: a newer MLflow made it", f"pip install 'mlflow>{__version__},<4'")
    path, upgrade = sqlite_path(uri), "python -m mlflow db upgrade"
    copy_first = f"cp {path} {path}.{found} && {upgrade} {uri}"
    if not uri.startswith("sqlite"):
        copy_first = f'{upgrade} "$MLFLOW_TRACKING_URI"   after a copy of the database'
    return TrackingError(f"{told}: an older MLflow made it", copy_first)


def _make_current(engine: Engine, uri: str) -> None:
    """Called while no other `rxt` is at it."""
    from mlflow.store.db import utils

    since = time.monotonic()
    while (state := _state(engine, uri)) == "half" and time.monotonic() - since < PATIENCE_SECONDS:
        time.sleep(0.5)
    if state == "half":
        remedy = _put_aside(sqlite_path(uri))
        if not uri.startswith("sqlite"):
            remedy = "restore the copy that was made before the upgrade, or give MLflow an empty database"
        raise TrackingError(
            f"MLflow at {masked_address(uri)} is half migrated: the creation of its schema was cut off", remedy
        )
    if state == "empty" and uri.startswith("sqlite"):
        _create_sqlite(sqlite_path(uri).resolve())  # a link stays, and leads to the new one
    elif state == "empty":
        utils._initialize_tables(engine)


def _create_sqlite(path: Path) -> None:
    """A database that appears whole under its name."""
    import sqlalchemy
    from mlflow.store.db import utils
    from sqlalchemy import event

    for leftover in path.parent.glob(f"{path.name}.new-*"):  # of a process that was killed here
        leftover.unlink()
    unfinished = path.with_name(f"{path.name}.new-{uuid.uuid4().hex}")
    engine = sqlalchemy.create_engine(sqlite_uri(unfinished))

    @event.listens_for(engine, "connect")
    def hurry(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # it is synced once, when it is whole

    try:
        utils._initialize_tables(engine)
        engine.dispose()
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _alone(engine: Engine, uri: str) -> Generator[None]:
    """Keep other processes out while the block lasts. They wait."""
    import sqlalchemy

    if uri.startswith("sqlite"):
        folder = os.open(sqlite_path(uri).resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
        return
    with engine.connect() as connection:  # its end frees the lock
        lock = LOCKS[engine.dialect.name if engine.dialect.name in LOCKS else "mysql"]
        connection.execute(sqlalchemy.text(lock))
        try:
            yield
        finally:
            with suppress(Exception):
                connection.invalidate()
