"""Save and restore stage `mrl`: one folder per checkpoint, and a record that names the newest complete one.

Checkpoints hold no generator state, since every draw is a function of the seed, the iteration, the conversation and the
turn. The iteration decides which conversations come next. The workers keep the conversations' memory in their own
files.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from jobs.rl.learning.group import LearnerGroup
from jobs.rl.replay_buffer import ReplayBuffer
from jobs.stage.context import Restart, StageError
from tokenization.files import storage

RECORD = "checkpoint.json"


class Progress(NamedTuple):
    """How far the stage is: `iteration` iterations are done, and `buffer` holds trajectories that are not yet learned.

    The number of iterations is also the version of the policy.
    """

    iteration: int
    buffer: ReplayBuffer


def save(folder_uri: str, learner: LearnerGroup, progress: Progress) -> None:
    """Write a checkpoint below `folder_uri`. The record is replaced once the new folder is complete, and only then is
    the old folder removed, so that a complete checkpoint exists at every moment."""
    phase = "rolled-out" if len(progress.buffer) else "learned"
    name = f"iteration-{progress.iteration:08d}-{phase}"
    learner.save(f"{folder_uri}/{name}")
    storage.write(f"{folder_uri}/{name}/buffer.json", progress.buffer.to_json().encode())
    previous = storage.read(f"{folder_uri}/{RECORD}")
    record = {"folder": name, "iteration": progress.iteration, "policy_version": progress.iteration}
    storage.write(f"{folder_uri}/{RECORD}", json.dumps(record).encode())
    if previous is not None and json.loads(previous)["folder"] != name:
        storage.remove(f"{folder_uri}/{json.loads(previous)['folder']}")


def restore(folder_uri: str, learner: LearnerGroup) -> Progress | None:
    """Load the recorded checkpoint into the learners. Returns None if there is none; raises StageError if its buffer is
    missing."""
    data = storage.read(f"{folder_uri}/{RECORD}")
    if data is None:
        return None
    record = json.loads(data)
    folder = f"{folder_uri}/{record['folder']}"
    buffer = storage.read(f"{folder}/buffer.json")
    if buffer is None:
        raise StageError(f"{folder}/buffer.json is missing, but {RECORD} names it", Restart())
    learner.load(folder, record["policy_version"])
    return Progress(record["iteration"], ReplayBuffer.from_json(buffer.decode()))
