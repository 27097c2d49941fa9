"""The stage's own checkpoints: whole folders, and one record that names the newest complete one.

No generator state is in them: every draw is a function of the seed, the iteration, the conversation and the turn. The
conversations' cursors are the iteration; their memory lies in the workers' files.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import ray
from ray.actor import ActorHandle

from jobs.rl.replay_buffer import ReplayBuffer
from jobs.stage.context import Restart, StageError
from tokenization.files import storage

RECORD = "checkpoint.json"


class Progress(NamedTuple):
    """Where the stage is: iterations done, which is also the policy's version, and trajectories not yet learned."""

    iteration: int
    buffer: ReplayBuffer


def save(folder_uri: str, learner: ActorHandle, progress: Progress) -> None:
    """The record is replaced last, then older folders go: there is a complete checkpoint at every moment."""
    phase = "rolled-out" if len(progress.buffer) else "learned"
    name = f"iteration-{progress.iteration:08d}-{phase}"
    ray.get(learner.save.remote(f"{folder_uri}/{name}"))
    storage.write(f"{folder_uri}/{name}/buffer.json", progress.buffer.to_json().encode())
    previous = storage.read(f"{folder_uri}/{RECORD}")
    record = {"folder": name, "iteration": progress.iteration, "policy_version": progress.iteration}
    storage.write(f"{folder_uri}/{RECORD}", json.dumps(record).encode())
    if previous is not None and json.loads(previous)["folder"] != name:
        storage.remove(f"{folder_uri}/{json.loads(previous)['folder']}")


def restore(folder_uri: str, learner: ActorHandle) -> Progress | None:
    """Load the recorded checkpoint into the learner; None if there is none. One that cannot be read is an error."""
    data = storage.read(f"{folder_uri}/{RECORD}")
    if data is None:
        return None
    record = json.loads(data)
    folder = f"{folder_uri}/{record['folder']}"
    buffer = storage.read(f"{folder}/buffer.json")
    if buffer is None:
        raise StageError(f"{folder}/buffer.json is missing, but {RECORD} names it", Restart())
    ray.get(learner.load.remote(folder, record["policy_version"]))
    return Progress(record["iteration"], ReplayBuffer.from_json(buffer.decode()))
