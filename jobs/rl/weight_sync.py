"""Send new weights from the learner to the rollout workers through Ray's object store.

A collective operation could take its place behind the same interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import ray
from torch import Tensor

if TYPE_CHECKING:
    from jobs.rl.learning.group import LearnerGroup  # it imports the model


class Policy(Protocol):
    """The weights to use. Every call to a worker carries them, so that a restarted worker gets the current ones too."""

    @property
    def version(self) -> int:
        """The number of updates that made this policy."""
        ...

    def fetch(self) -> dict[str, Tensor]:
        """Return the weights of this version by name. They are read-only: copy them into a model."""


@dataclass(frozen=True)
class ObjectStorePolicy:
    """Weights as one object, which goes from learner to workers without passing through the driver."""

    version: int
    weights: ray.ObjectRef

    def fetch(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return ray.get(self.weights)


def publish(learner: LearnerGroup, version: int) -> ObjectStorePolicy:
    """Return the learners' present weights as policy `version`."""
    return ObjectStorePolicy(version, learner.weights(version))
