"""Learner -> rollout workers: how new weights travel. By the object store; a collective would have the same calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import ray
from torch import Tensor


class Policy(Protocol):
    """Sent along with every call to a worker, so that a worker that was restarted finds the current weights too."""

    @property
    def version(self) -> int:
        """How many updates made it."""
        ...

    def fetch(self) -> dict[str, Tensor]:
        """The weights of this version. Read-only: copy them into a model."""


@dataclass(frozen=True)
class ObjectStorePolicy:
    """Weights as one object; it travels from learner to workers without passing through the driver."""

    version: int
    weights: ray.ObjectRef

    def fetch(self) -> dict[str, Tensor]:
        return ray.get(self.weights)


def publish(learner: Any, version: int) -> ObjectStorePolicy:
    """The learner's present weights as policy `version`. `learner` is an actor handle with a method `weights`."""
    return ObjectStorePolicy(version, learner.weights.remote(version))
