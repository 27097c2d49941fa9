"""The smallest pipeline on a cluster as users have one, with a machine lost on the way; one JSON line.

    python -m tests.benchmarks.operations.end_to_end                      all stages
    python -m tests.benchmarks.operations.end_to_end --until pretrain     fewer

A head and a second raylet, both with a token; artifacts on an S3 server; an MLflow server on PostgreSQL. All of them
listen on loopback, and every secret is a planted one. `rxt submit` runs the pipeline, and the second raylet is killed
while `pretrain` trains. Then every stage must be complete, MLflow must hold one finished tree, the model must answer
from its artifact on S3, and no secret may stand in any store, database, log, answer or terminal. It needs PostgreSQL
(Debian: `apt install postgresql`) and the extra `server`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.record import RESULTS, append, environment
from tests.support.nano import Workspace, built
from tests.support.processes import SECONDS, free_port, started, until
from tests.support.servers import cluster
from tests.support.servers.postgres import postgres, programs

SECRETS = {
    "RAY_AUTH_TOKEN": "5f" * 32,
    "AWS_ACCESS_KEY_ID": "planted-aws-id",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "PGPASSWORD": "planted-database-password",
    "HF_TOKEN": "planted-hub-token",
}
PLAIN = {"RAY_AUTH_MODE": "token", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "rxt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", metavar="STAGE", help="Stop after this stage.")
    arguments = parser.parse_args()
    common = {"benchmark": "end_to_end", **environment("ray", "mlflow", "s3fs", "moto", "psycopg")}
    with tempfile.TemporaryDirectory(prefix="rxt-", dir="/tmp") as folder, ExitStack() as servers:
        line = play(Path(folder), servers, ["--until", arguments.until] if arguments.until else [])
    print(line)
    append(RESULTS / "end_to_end.jsonl", [common | {"until": arguments.until or "export"} | line])


def play(folder: Path, servers: ExitStack, until_stage: list[str]) -> dict[str, int | float | str]:
    workspace = Workspace.fresh(folder)
    config = folder / "nano.toml"
    config.write_text(config.read_text().replace('path = "', f'path = "{folder}/'))
    places = start_servers(folder, servers)
    machine = {**workspace.environment, **places, **SECRETS, **PLAIN, "RXT_CACHE": str(folder / "cache")}
    token = SECRETS["RAY_AUTH_TOKEN"]
    address, gcs = servers.enter_context(cluster.head(folder / "head", token, machine, cpus=4))
    second = servers.enter_context(cluster.another_node(folder / "second", gcs, token, machine, cpus=4))
    cluster.wait_for_nodes(address, token, 2)
    user = {**places, **SECRETS, **PLAIN}

    began = time.monotonic()
    words = ("submit", "--address", address, "run", "tiny", "--config", "nano.toml", *until_stage)
    command = workspace.start(*words, **user)
    command.until(lambda: re.search(r"^pretrain: \d+/16 ", command.output, re.MULTILINE))
    cluster.kill_raylet(second)
    killed = time.monotonic()
    output = command.ends_with(0)
    ended = time.monotonic()

    status = json.loads(workspace.nano("status", "--json", **user))
    complete = [stage for stage in status["stages"] if stage["state"] == "complete"]
    assert {stage["stage"] for stage in complete} == set(built(output)), output
    if not until_stage:
        assert len(complete) == len(status["stages"]), status
    tree = check_tree(places["MLFLOW_TRACKING_URI"], complete)
    trained = "export" if not until_stage else until_stage[-1]
    said = workspace.nano("chat", "--stage", trained, "--prompt", "I am Helen Archer.", **user)
    assert said.count("rxt> ") == 1, said

    job = re.findall(r"^job (\S+)", output, re.MULTILINE)[0]
    told = [output, said, job_answer(address, job), json.dumps(status)]
    texts = [("terminal and job interface", text.encode()) for text in told]
    texts += bucket(places["AWS_ENDPOINT_URL"]) + database(places["PGPORT"]) + files(folder)
    found = [(place, name) for place, text in texts for name, value in SECRETS.items() if value.encode() in text]
    assert found == [], found
    return {
        "stages": len(complete),
        "runs": tree,
        "seconds": round(ended - began, 1),
        "seconds_before_kill": round(killed - began, 1),
        "texts_searched": len(texts),
        "secrets_found": len(found),
    }


def start_servers(folder: Path, servers: ExitStack) -> dict[str, str]:
    """Start PostgreSQL, S3 and MLflow. Give the variables that name them."""
    os.chmod(folder, 0o711)  # the database runs as another user
    port = servers.enter_context(postgres(folder / "postgres", "rxt", SECRETS["PGPASSWORD"]))
    s3, mlflow = free_port(), free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(s3)]
    servers.enter_context(started(moto, 7200, **quiet))
    places = {
        "RXT_STORE": f"s3://{BUCKET}/artifacts",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3}",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{mlflow}",
        "PGPORT": str(port),
    }
    until(lambda: answers(places["AWS_ENDPOINT_URL"]))
    object_store(places["AWS_ENDPOINT_URL"]).mkdir(BUCKET)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(mlflow)]
    command += ["--artifacts-destination", f"s3://{BUCKET}/mlflow"]
    own = {**os.environ, **places, **SECRETS, **PLAIN, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    own["MLFLOW_BACKEND_STORE_URI"] = f"postgresql+psycopg://rxt@127.0.0.1:{port}/postgres"
    del own["MLFLOW_TRACKING_URI"]
    servers.enter_context(started(command, 7200, env=own, **quiet))
    until(lambda: answers(f"{places['MLFLOW_TRACKING_URI']}/health"))
    return places


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def check_tree(uri: str, complete: list[dict]) -> int:
    """Check that MLflow holds one finished run of the command, and below it one of each stage. Return their number."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("rxt-tiny")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["rxt.stage"]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert [run.info.status for run in parents] == ["FINISHED"], parents
    assert len(runs) == 1 + len(children) and children.keys() == {stage["stage"] for stage in complete}
    for stage in complete:
        run = children[stage["stage"]]
        assert run.info.run_id == stage["mlflow_run_id"] and run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    assert client.get_metric_history(children["pretrain"].info.run_id, "train/loss")[-1].step == 16
    return len(runs)


def job_answer(address: str, job: str) -> str:
    token = {"Authorization": f"Bearer {SECRETS['RAY_AUTH_TOKEN']}"}
    request = urllib.request.Request(f"{address}/api/jobs/{job}", headers=token)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.read().decode()


def object_store(url: str):
    import s3fs

    key, secret = SECRETS["AWS_ACCESS_KEY_ID"], SECRETS["AWS_SECRET_ACCESS_KEY"]
    return s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=url)


def bucket(url: str) -> list[tuple[str, bytes]]:
    """Give all objects: artifacts, and what MLflow keeps."""
    filesystem = object_store(url)
    found = [(name, filesystem.cat_file(name)) for name in filesystem.find(BUCKET)]
    assert any(name.endswith("manifest.json") for name, _ in found)
    return found


def database(port: str) -> list[tuple[str, bytes]]:
    place = programs()
    assert place is not None
    dump = subprocess.run(
        [place / "pg_dump", "-h", "127.0.0.1", "-p", port, "-U", "rxt", "postgres"],
        env={**os.environ, "PGPASSWORD": SECRETS["PGPASSWORD"]}, check=True, capture_output=True, timeout=SECONDS,
    ).stdout  # fmt: skip
    assert b"alembic_version" in dump
    return [("PostgreSQL", dump)]


def files(folder: Path) -> list[tuple[str, bytes]]:
    """Give what commands and Ray left on the disk, logs included."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "postgres")]
    assert any(path.name.startswith("job-driver-") for path in paths)
    return [(str(path), path.read_bytes()) for path in paths]


if __name__ == "__main__":
    main()
