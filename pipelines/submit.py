"""`rxt submit` sends the same command to a running cluster as a Ray job, follows its log, and returns its exit code."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import overrides
from pipelines.cluster import Cluster, SubmitError
from pipelines.code_digest import ROOT
from pipelines.curriculum import curriculum
from pipelines.fingerprint import flatten, plain
from pipelines.guard.addresses import has_secret, masked_address, without_user
from pipelines.guard.secrets import redacted
from pipelines.guard.terminal import printable, say
from pipelines.invocation import DEFAULT_PRESET, JOB_CONFIG
from pipelines.planner import named
from pipelines.presets import PRESETS
from pipelines.revision import commit
from pipelines.session import preset_named

MAX_UPLOAD_BYTES = 50_000_000
UPLOADED = ("pipelines", "jobs", "tokenization", "rxt_model", "pyproject.toml")
CONFIG_NAME = "config.toml"
RECONNECT_ATTEMPTS, RECONNECT_SECONDS = 10, 3


def submit(address: str | None, command: list[str], wait: bool, *, store: str, tracking_uri: str) -> int:
    """Run `rxt COMMAND` as a job; `store` and `tracking_uri` are absolute. Returns the job's exit code.

    With `wait` false it returns 0 as soon as the job is accepted. Ctrl-C stops following, not the job: 130.
    """
    _check_secrets(store, tracking_uri)
    cluster = Cluster(address)
    _check_places(cluster, store, tracking_uri)
    config = _config_file(command)
    environment = {
        "RXT_STORE": store,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "RXT_COMMIT": commit(),
        # `ray job stop` is to the job what the first Ctrl-C is here: it saves what it needs and leaves.
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": "60",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    if sys.prefix != sys.base_prefix:
        # A head started outside this environment would run a Python without our packages. Elsewhere: no such folder.
        environment["PATH"] = f"{sys.prefix}/bin:${{PATH}}"
    if config:
        environment[JOB_CONFIG] = CONFIG_NAME
    job = f"rxt-{_preset(command)}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    client = cluster.client()
    with tempfile.TemporaryDirectory(prefix="rxt-submit-") as folder:
        _pack(Path(folder), config)
        size = _check_size(Path(folder))
        metadata = {"command": shlex.join(["rxt", *command]), "store": store, "code": _digest(Path(folder))}
        if same := _under_way(cluster, metadata):
            say(f"job {same} does this already, with the same code")
            return asyncio.run(follow(client, cluster, same)) if wait else 0
        try:
            client.submit_job(
                entrypoint=shlex.join(["python", "-m", "pipelines.start", *command]),
                submission_id=job,
                runtime_env={"working_dir": folder, "env_vars": {**environment, "RXT_JOB": job}},
                metadata={**metadata, "commit": commit()},
            )
        except (RuntimeError, OSError) as error:
            raise SubmitError(
                f"the cluster at {cluster.address} did not take the job: {redacted(str(error))}", "rxt submit …"
            ) from error
    say(f"job {job}   {shlex.join(['rxt', *command])}   ({size / 1e6:.1f} MB of code)")
    say(f"  dashboard  {cluster.address}/#/jobs/{job}")
    say(f"  follow     {cluster.ray('logs', '--follow', job)}")
    say(f"  stop       {cluster.ray('stop', job)}")
    if not wait:
        return 0
    try:
        return asyncio.run(follow(client, cluster, job))
    except KeyboardInterrupt:
        say(f"\njob {job} goes on\n  follow     {cluster.ray('logs', '--follow', job)}")
        say(f"  stop       {cluster.ray('stop', job)}")
        return 130


async def follow(client, cluster: Cluster, job: str) -> int:
    """Print the log as it grows, through lost connections, and return the exit code of the job's command."""
    import aiohttp

    printed = attempts = 0
    while True:
        try:
            seen = 0  # the log is sent from its beginning after every connection
            async for text in client.tail_job_logs(job):
                fresh = text[max(0, printed - seen) :]
                seen += len(text)
                printed = max(printed, seen)
                attempts = 0
                print(printable(fresh), end="", flush=True)
            info = client.get_job_info(job)
            while not info.status.is_terminal():
                await asyncio.sleep(0.3)
                info = client.get_job_info(job)
            break
        except (RuntimeError, OSError, aiohttp.ClientError) as error:
            attempts += 1
            if attempts > RECONNECT_ATTEMPTS:
                raise SubmitError(
                    f"lost contact with job {job} at {cluster.address}: {redacted(str(error))}",
                    cluster.ray("logs", "--follow", job),
                ) from error
            await asyncio.sleep(RECONNECT_SECONDS)
    if info.status == "STOPPED":
        say(f"job {job} was stopped")
        return 130
    if info.driver_exit_code is None:  # the command never began
        say(f"job {job} failed: {info.message}")
        return 1
    return info.driver_exit_code if info.driver_exit_code >= 0 else 1


def _under_way(cluster: Cluster, metadata: dict[str, str]) -> str | None:
    """The job that does the same with the same code. Raises SubmitError if one does the same with other code: both
    would write the same attempts."""
    for job in cluster.jobs():
        if job.has_ended or any(job.metadata.get(key) != metadata[key] for key in ("command", "store")):
            continue
        if job.metadata.get("code") != metadata["code"]:
            raise SubmitError(f"job {job.name} does this already, with other code", f"rxt jobs stop {job.name}")
        return job.name
    return None


def _digest(folder: Path) -> str:
    """One digest of the names and bytes of all files below a folder."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return whole.hexdigest()


def _check_secrets(store: str, tracking_uri: str) -> None:
    """Raises SubmitError for an address that holds a login. A job gets addresses: Ray shows its environment to
    everybody who may look at the dashboard."""
    for name, url, instead in (
        ("RXT_STORE", store, "its keys"),
        ("MLFLOW_TRACKING_URI", tracking_uri, "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or PGPASSWORD)"),
    ):
        if has_secret(url):
            raise SubmitError(
                f"{name}={masked_address(url)} holds a login, and who sees the cluster sees a job's environment",
                f"{name}={without_user(url)} rxt submit …   with {instead} in the environment of every machine",
            )


def _check_places(cluster: Cluster, store: str, tracking_uri: str) -> None:
    """Raises SubmitError if a place lies on one machine and the cluster has several."""
    for name, url, elsewhere in (
        ("RXT_STORE", store, "s3://bucket/folder"),
        ("MLFLOW_TRACKING_URI", tracking_uri, "http://HOST:5000"),
    ):
        is_local = "://" not in url or url.startswith(("file://", "memory://", "local://", "sqlite://"))
        if is_local and (nodes := cluster.nodes()) > 1:
            raise SubmitError(
                f"{name}={url} lies on one machine, but the cluster at {cluster.address} has {nodes} nodes",
                f"{name}={elsewhere} rxt submit …",
            )


def check_order(command: list[str], address: str | None, no_wait: bool) -> None:
    """Raises SubmitError for options of `submit` (here those before the command) that stand behind the command, where
    they would be the job's."""
    own, rest, words = [], [], iter(command)
    for word in words:
        if word == "--address":
            own += [word, next(words, "URL")]
        else:
            (own if word == "--no-wait" or word.startswith("--address=") else rest).append(word)
    if own:
        before = [*(("--address", address) if address else ()), *(("--no-wait",) if no_wait else ())]
        raise SubmitError(
            f"{own[0]} belongs to submit and stands before the command",
            shlex.join(["rxt", "submit", *before, *own, *rest]),
        )


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raises StageError for what the job itself would refuse: a preset, a key, a value or a stage that is not there."""
    preset, file = preset_named(arguments["preset"]), arguments["config"]
    if file is None or file.is_file() or not file.exists():  # what else it may be can be read once, or not at all
        stages = curriculum(overrides.resolve(preset, file, arguments["sets"] or ()))
        if name := arguments.get("stage") or arguments.get("until"):
            named(stages, name)


def _config_file(command: list[str]) -> Path | None:
    """The file of `--config`, the last one as in `rxt run`. Raises StageError for a configuration that no job can use:
    keys or values that do not fit, or a path that means nothing elsewhere."""
    files, sets = _values(command, "--config"), _values(command, "--set")
    file = Path(files[-1]) if files else None
    if file and file.exists() and not file.is_file():
        raise SubmitError(f"--config {file}: a job can be given a file, not a pipe or a folder", "rxt submit --help")
    settings = dict(flatten(plain(overrides.resolve(PRESETS[_preset(command)](), file, sets))))
    for key, path in settings.items():
        group, _, name = key.rpartition(".")
        # what has no kind is files; of the other kinds only `hub` has a path, the name of a data set
        if name == "path" and path and settings.get(f"{group}.kind", "files") == "files" and _is_relative(path):
            raise SubmitError(
                f"{key} = {path!r} is relative to this folder, and a job runs in another one",
                f"write {str(Path(path).expanduser().absolute())!r}, or a URL, and submit again",
            )
    return file


def _preset(command: list[str]) -> str:
    return next((word for word in [*_values(command, "--preset"), *command] if word in PRESETS), DEFAULT_PRESET)


def _is_relative(path: str) -> bool:
    return "://" not in path and not Path(path).is_absolute()


def _values(command: list[str], option: str) -> list[str]:
    """Every value that an option is given in a command, as `--option VALUE` or `--option=VALUE`."""
    found = []
    for at, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name != option:
            continue
        if not equals and at + 1 == len(command):
            raise SubmitError(f"{option} needs a value", "rxt submit --help")
        found.append(value if equals else command[at + 1])
    return found


def _pack(folder: Path, config: Path | None) -> None:
    """Copy what the job needs, and nothing else: our packages and the file of overrides."""
    for name in UPLOADED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, folder / name)
        elif name != "pyproject.toml":  # a wheel has none
            raise SubmitError(f"{source} is missing: jobs are submitted from a clone or a wheel", "git clone …")
    if config:
        shutil.copy(config, folder / CONFIG_NAME)


def _check_size(folder: Path) -> int:
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    total = sum(sizes.values())
    if total > MAX_UPLOAD_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise SubmitError(
            f"the code to upload has {total / 1e6:.0f} MB, more than {MAX_UPLOAD_BYTES / 1e6:.0f}; "
            f"largest: {largest.relative_to(folder)}, {sizes[largest] / 1e6:.0f} MB",
            "move data out of the packages",
        )
    return total
