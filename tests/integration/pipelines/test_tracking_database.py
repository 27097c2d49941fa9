"""The database of MLflow: its driver, its schema, who creates it, and runs whose process was lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.processes import this_process
from pipelines.session import tracking_uri
from pipelines.tracker import database, liveness
from pipelines.tracker.database import ANOTHER, prepare, sqlite_path, sqlite_uri
from pipelines.tracker.errors import TrackingError
from pipelines.tracking import Tracking
from tests.support.processes import SECONDS, until
from tests.support.servers.unprivileged import as_owner, folder_of_nobody

OLDER = "cc1f77228345"  # a revision that MLflow knows


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made") / "new" / "mlflow.db"
    (path.parent).mkdir()
    (path.parent / "mlflow.db.new-0123").touch()  # of a process that was killed while it created one
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return Path(shutil.copy(made, tmp_path / "copy.db"))


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)


def test_a_new_database_is_whole_or_not_there_at_all(made):
    assert [path.name for path in made.parent.iterdir()] == ["mlflow.db"]
    prepare(f"sqlite:///{made}")


def test_the_schema_of_an_older_version_is_named_with_the_command_that_upgrades_a_copy(copy):
    change(copy, f"UPDATE alembic_version SET version_num = '{OLDER}'")
    with pytest.raises(TrackingError, match=f"schema {OLDER}, and MLflow .* needs [0-9a-f]+: an older MLflow") as error:
        Tracking(f"sqlite:///{copy}", "tiny").check()
    upgrade = f"cp {copy} {copy}.{OLDER} && python -m mlflow db upgrade sqlite:///{copy}"
    assert error.value.remedy == upgrade


def test_the_schema_of_a_newer_version_is_named(copy):
    change(copy, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(TrackingError, match="schema ffffffffffff.*: a newer MLflow made it") as error:
        prepare(f"sqlite:///{copy}")
    assert error.value.remedy.startswith("pip install 'mlflow>")


@pytest.mark.parametrize(
    "cut", ["DELETE FROM alembic_version", "CREATE TABLE _alembic_tmp_tags (x)", "DROP TABLE tags"]
)
def test_a_half_migrated_database_is_named_with_the_way_out(copy, cut, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0)
    change(copy, cut)
    with pytest.raises(TrackingError, match="is half migrated") as error:
        prepare(f"sqlite:///{copy}")
    assert error.value.remedy.startswith(f"mv {copy} {copy}.broken")


@pytest.mark.parametrize("page", [100, 4096])
def test_a_damaged_database_is_named_with_the_way_out(copy, page):
    whole = copy.read_bytes()
    copy.write_bytes(whole[:page] + b"\xff" * (len(whole) - page))
    with pytest.raises(TrackingError, match=f"MLflow at sqlite:///{copy} cannot be used: .*malformed$") as error:
        Tracking(f"sqlite:///{copy}", "tiny").check()
    assert error.value.remedy.startswith(f"mv {copy} {copy}.broken")


def test_the_database_of_another_program_stays_where_it_is(tmp_path):
    change(tmp_path / "shop.db", "CREATE TABLE orders (number)")
    with pytest.raises(TrackingError, match="the database of another program, with the tables orders$") as error:
        prepare(f"sqlite:///{tmp_path}/shop.db")
    assert error.value.remedy == database.ANOTHER


@pytest.mark.parametrize("closed", ["mlflow.db", "."])
def test_a_database_that_may_not_be_written_is_refused_before_mlflow_tries(made, closed):
    with folder_of_nobody() as folder:
        shutil.copy(made, folder)
        with as_owner(folder):
            (folder / closed).chmod(0o555)
            with pytest.raises(TrackingError, match="/mlflow.db cannot be used: [a-z ]+$") as error:
                prepare(f"sqlite:///{folder}/mlflow.db")
    assert error.value.remedy == ANOTHER


def test_what_is_no_file_stays_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(TrackingError, match="cannot be used: that is no file"):
            prepare(f"sqlite:///{tmp_path}/{name}")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("target", ["there", "absent"])
def test_a_link_to_a_database_stays_and_the_database_is_made_where_it_leads(tmp_path, target):
    place, link = tmp_path / "disk" / "m.db", tmp_path / "m.db"
    place.parent.mkdir()
    if target == "there":
        place.touch()
    link.symlink_to(place)
    prepare(f"sqlite:///{link}")
    assert link.is_symlink() and os.listdir(place.parent) == ["m.db"]
    prepare(f"sqlite:///{place}")


def test_the_driver_of_a_file_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Tracking("sqlite+pysqlite:///named.db", "tiny").check()
    assert sorted(os.listdir()) == ["named.db"]
    with pytest.raises(TrackingError, match=r"'sqlite\+other:///x\.db': not the driver of SQLite that Python has"):
        Tracking("sqlite+other:///x.db", "tiny")


@pytest.mark.parametrize(
    ("uri", "reason", "remedy"),
    [
        ("postgresql+pg8000://u:hush-hush@h/db", "the driver pg8000 is not installed", "pip install 'pg8000'"),
        ("mysql://u:hush-hush@h/db", "the driver MySQLdb is not installed", "pip install 'mysqlclient'"),
        ("postgresql+nosuch://u:hush-hush@h/db", "nosuch", "MLFLOW_TRACKING_URI="),
    ],
)  # fmt: skip
def test_a_driver_that_is_missing_is_named_and_the_password_is_not(uri, reason, remedy):
    with pytest.raises(TrackingError, match=r"MLflow at \w+(\+\w+)?://u:\*\*\*@") as error:
        Tracking(uri, "tiny").check()
    assert reason in str(error.value) and error.value.remedy.startswith(remedy)
    assert "hush" not in f"{error.value} {error.value.remedy}"


def _prepare(uri, barrier, queue):
    barrier.wait(SECONDS)
    try:
        prepare(uri)
        with closing(sqlite3.connect(sqlite_path(uri), timeout=SECONDS)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS users (pid)")
            connection.execute("INSERT INTO users VALUES (?)", [os.getpid()])
        queue.put("")
    except Exception as error:  # the test shows it
        queue.put(repr(error))


def test_several_first_users_of_a_database_create_it_once(tmp_path, made):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(4), context.Queue()
    uri = f"sqlite:///{tmp_path}/m.db"
    users = [context.Process(target=_prepare, args=(uri, barrier, queue), daemon=True) for _ in range(4)]
    for user in users:
        user.start()
    assert [queue.get(timeout=SECONDS) for _ in users] == [""] * 4
    for user in users:
        user.join(SECONDS)
    prepare(uri)
    with closing(sqlite3.connect(tmp_path / "m.db")) as connection:  # what one had written, no other has replaced
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (4,)


@pytest.fixture
def lost(copy):
    """A run of a machine that was lost, with a child."""
    uri = f"sqlite:///{copy}"
    killed = Tracking(uri, "tiny")
    parent = killed.start_run("rxt run tiny", [])
    killed._heartbeat.stop()
    child = killed.start_stage(parent, "sft", "0123456789ab-1", "uri", "f" * 64, 1, {}, {}, sampled=False)
    client = MlflowClient(tracking_uri=uri)
    record = this_process() | {"processes": "another start of this machine"}
    client.set_tag(parent, liveness.PROCESS, json.dumps(record))
    return uri, client, parent, child


def states(client, *runs):
    return [client.get_run(run).info.status for run in runs]


def test_a_run_elsewhere_that_shows_no_sign_of_life_is_ended_by_a_later_one(lost, monkeypatch):
    uri, client, parent, child = lost
    monkeypatch.setattr(liveness, "LOST_SECONDS", 0)
    first = Tracking(uri, "tiny")
    first.start_run("rxt run tiny", [])
    assert states(client, parent, child) == ["RUNNING", "RUNNING"]  # seen for the first time
    first.end_run("FINISHED")
    assert states(client, parent, child) == ["KILLED", "KILLED"]


def test_a_run_elsewhere_that_beats_goes_on(lost, monkeypatch):
    uri, client, parent, child = lost
    monkeypatch.setattr(liveness, "LOST_SECONDS", 0)
    for beat in range(3):
        client.set_tag(parent, liveness.HEARTBEAT, str(beat))
        tracking = Tracking(uri, "tiny")
        tracking.start_run("rxt run tiny", [])
        client.set_tag(parent, liveness.HEARTBEAT, f"{beat}.5")
        tracking.end_run("FINISHED")
    assert states(client, parent, child) == ["RUNNING", "RUNNING"]


def test_a_living_run_counts_up_its_tag(copy, monkeypatch):
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.05)
    tracking = Tracking(f"sqlite:///{copy}", "tiny")
    parent = tracking.start_run("rxt run tiny", [])
    client = MlflowClient(tracking_uri=f"sqlite:///{copy}")
    until(lambda: int(client.get_run(parent).data.tags.get(liveness.HEARTBEAT, 0)) >= 2)
    tracking.end_run("FINISHED")


def test_a_child_below_a_parent_that_has_ended_is_ended(lost):
    uri, client, parent, child = lost
    client.set_terminated(parent, "KILLED")
    Tracking(uri, "tiny").start_run("rxt run tiny", [])
    assert states(client, child) == ["KILLED"]


def test_a_database_stands_in_a_folder_of_any_name(made, tmp_path, monkeypatch):
    """A branch `feature/x` gives such a folder to continuous integration. MLflow makes an empty folder beside it."""
    folder = tmp_path / "feature%2Fx 50% ?"
    folder.mkdir()
    shutil.copy(made, folder / "mlflow.db")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("pipelines.session.own_folder", lambda: Path())
    tracking = Tracking(tracking_uri(), "nano")
    tracking.check()
    assert sqlite_path(tracking.uri) == folder / "mlflow.db"
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    prepare(sqlite_uri(folder / "other.db"))
    assert (folder / "other.db").stat().st_size > 0
