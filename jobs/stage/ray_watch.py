"""Watches Ray while a run uses it: whether it has ended, and what its machines lack."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping, Sequence

import psutil

LOOK_SECONDS = 5.0  # between two looks
SILENT_SECONDS = 30.0  # until a cluster that does not answer counts as lost; Ray itself waits for twice as long
ANSWER_SECONDS = 5.0

Resources = Mapping[str, float]


class RayWatch:
    """Of a Ray whose GCS is at `address`; this process belongs to its node with the id `node`. `servers` are Ray's
    processes, by name, if it was started here. `look` is called every few seconds, on a thread that may wait; `ended`
    and `shortage` answer at once."""

    def __init__(self, address: str, node: str, servers: Mapping[str, psutil.Process]) -> None:
        self._address, self._node, self._servers = address, node, servers
        self._answered = time.monotonic()
        self._lost = ""
        self._waited: set[str] = set()
        self.shortage = ""

    @property
    def ended(self) -> str:
        """What has ended, empty if nothing. Then waiting for Ray is useless."""
        for name, process in self._servers.items():
            if not _is_alive(process):
                return f"Ray's {name} has ended"
        return self._lost

    def has_lost(self) -> bool:
        """Whether Ray has ended, asked at once, when an error looks like that."""
        if not self.ended and not self._answers():
            self._lost = self._silent
        return bool(self.ended)

    def look(self) -> None:
        """Ask the cluster whether it is there, and what waits for machines that it does not have."""
        if not self._answers():
            if time.monotonic() - self._answered > SILENT_SECONDS:
                self._lost = self._silent
            return
        self._answered = time.monotonic()
        from ray.autoscaler.v2.sdk import get_cluster_status

        try:
            status = get_cluster_status(self._address, ANSWER_SECONDS)
        except Exception:  # of several kinds; it may answer at the next look, and Ray ends with the thread that looks
            return
        alive = [*status.active_nodes, *status.idle_nodes]
        if alive and self._node not in {node.node_id for node in alive}:
            self._lost = f"the raylet of this machine, a node of the Ray cluster at {self._address}, has ended"
        nodes = [{usage.resource_name: usage.total for usage in node.resource_usage.usage} for node in alive]
        demands = status.resource_demands
        groups = {group.pg_id or "": _bundles(group) for group in demands.placement_group_demand}
        waiting = [bundles for name, bundles in groups.items() if name in self._waited]
        self._waited = set(groups)
        tasks = [[bundle] for demand in demands.ray_task_actor_demand for bundle in _bundles(demand)[:1]]
        self.shortage = shortage(nodes, [*waiting, *tasks])

    @property
    def _silent(self) -> str:
        return f"the Ray cluster at {self._address} does not answer"

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        except OSError:
            return False
        return True


def shortage(nodes: Sequence[Resources], demands: Iterable[Sequence[Resources]]) -> str:
    """`waits for 4 CPUs, the cluster has 2`, for the first of `demands` that `nodes` can never meet together; empty if
    there is none. A demand is a list of bundles, and each of them must fit on one node."""
    total = _sum(nodes)
    for bundles in demands:
        for name, amount in _sum(bundles).items():
            if amount > total.get(name, 0):
                return f"waits for {_count(amount, name)}, the cluster has {_short(total.get(name, 0), name)}"
        for bundle in bundles:
            for name, amount in bundle.items():
                largest = max(node.get(name, 0) for node in nodes)
                if amount > largest:
                    return f"waits for a machine with {_count(amount, name)}, the largest has {_short(largest, name)}"
    return ""


def _bundles(demand) -> list[Resources]:
    """Of a demand as Ray's status has it. Names of placement groups, which are resources to Ray, do not count."""
    return [
        {name: amount for name, amount in request.bundle.items() if "_group_" not in name and amount > 0}
        for request in demand.bundles_by_count
        for _ in range(request.count)
    ]


def _sum(parts: Iterable[Resources]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _count(amount: float, name: str) -> str:
    if name == "memory":
        return f"{_short(amount, name)} of memory"
    return f"{amount:g} {name}{'s' if amount != 1 else ''}"


def _short(amount: float, name: str) -> str:
    return f"{amount / 1e9:.1f} GB" if name == "memory" else f"{amount:g}"


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
