"""`rxt jobs`: the jobs that `rxt submit` handed to a cluster."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Annotated

import typer

from pipelines.commands.arguments import Json

Address = Annotated[str | None, typer.Option("--address", metavar="URL", help="The cluster's dashboard.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="Its name, or the beginning of it.")]


def show(address: Address = None, as_json: Json = False) -> None:
    """The jobs of a cluster, newest last."""
    from pipelines.cluster import Cluster
    from pipelines.display import console_on, duration, print_table, table_of

    cluster = Cluster(address)
    found = [
        {
            "job": job.name,
            "state": job.state,
            "command": job.metadata.get("command", ""),
            "started": job.started,
            "seconds": round((job.ended or time.time()) - job.started, 1) if job.started else 0.0,
        }
        for job in cluster.jobs()
    ]
    if as_json:
        print(json.dumps({"address": cluster.address, "jobs": found}, indent=2))
        return
    rows = [
        (
            job["job"],
            job["state"],
            job["command"],
            time.strftime("%Y-%m-%d %H:%M", time.localtime(job["started"])) if job["started"] else "-",
            duration(job["seconds"]),
        )
        for job in found
    ]
    print(f"cluster {cluster.address}")
    print_table(console_on(sys.stdout), table_of(("job", "state", "command", "started", "took"), rows))


def follow(job: JobName, address: Address = None) -> int:
    """Print a job's log as it grows; the exit code is the job's."""
    from pipelines.cluster import Cluster
    from pipelines.submit import follow as follow_job

    cluster = Cluster(address)
    return asyncio.run(follow_job(cluster.client(), cluster, cluster.job(job).name))


def stop(job: JobName, address: Address = None) -> None:
    """What one Ctrl-C is to `rxt run`: running stages save what they have and leave."""
    from pipelines.cluster import Cluster

    cluster = Cluster(address)
    name = cluster.job(job).name
    cluster.client().stop_job(name)
    print(f"job {name} was asked to stop: running stages save what they have\nnext: rxt jobs follow {name}")
