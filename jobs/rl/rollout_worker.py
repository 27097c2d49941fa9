"""The rollout worker actor holds the short-term memory of its conversations, answers, and writes to memory.

One call plays one turn of every conversation in a batch. The worker saves its state after each call by renaming a file,
and loads it in `__init__`, so an actor that died comes back with the memory of its conversations. If the answers of a
call were lost and the call is repeated, the worker returns the stored answers.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save

from jobs.rl import policy
from jobs.rl.episodes import Episode, running
from jobs.rl.replay_buffer import Sample
from jobs.stage.model_folder import load_reactive
from jobs.stage.resources import Device
from rxt_model.generate import Sampling, answer
from rxt_model.state import remember
from tokenization.files import storage
from tokenization.hashing import stable_seed

if TYPE_CHECKING:
    from jobs.rl.weight_sync import Policy  # it imports Ray, which a worker by itself does not need


@dataclass(frozen=True)
class RolloutBatch:
    """Conversations for one worker, longest first. `key` tells batches apart by purpose and policy version.
    Temperature 0 means greedy answers."""

    key: str
    episodes: tuple[Episode, ...]
    temperature: float
    seed: int

    @property
    def identity(self) -> list[str]:
        """What tells this batch apart from others in a worker's saved state."""
        return [self.key, *(episode.id for episode in self.episodes)]


class RolloutWorker:
    """Plays conversations. It keeps their state in the file `state_uri`, which no other worker uses. Model and memory
    are on `device`."""

    def __init__(self, model_uri: str, state_uri: str, threads: int, device: Device = "cpu") -> None:
        torch.set_num_threads(threads)
        self._model = load_reactive(model_uri, device).requires_grad_(False)
        self._version: int | None = None
        self._state_uri = state_uri
        self._identity: list[str] = []
        self._turns: list[list[Sample]] = []
        self._writes = 0
        self._memory = torch.empty(0)
        self._load()

    def pid(self) -> int:
        """The id of the worker's process."""
        return os.getpid()

    def writes(self) -> int:
        """The number of interactions that this worker has written to memory, restarts included."""
        return self._writes

    def interact(self, batch: RolloutBatch, turn: int, weights: Policy) -> list[Sample]:
        """Answer `turn` in the conversations where it is asked, and write it to memory in all that have it. Returns
        one sample per answer.

        Turn 0 starts from a new memory. Turns must come in order, or RuntimeError is raised; a repeated turn returns
        the stored samples.
        """
        if self._identity == batch.identity and turn < len(self._turns):
            return self._turns[turn]
        if turn == 0:
            self._identity, self._turns = batch.identity, []
            self._memory = policy.initial_memory(self._model, batch.episodes, batch.seed)
        elif self._identity != batch.identity or turn != len(self._turns):
            raise RuntimeError(f"turn {turn} of {batch.key} was asked for, but this worker holds "
                               f"{len(self._turns)} turns of {self._identity[:1]}")  # fmt: skip
        if self._version != weights.version:
            self._model.load_state_dict(weights.fetch())
            self._version = weights.version
        samples = self._advance(batch, turn)
        self._turns.append(samples)
        self._save()
        return samples

    @torch.no_grad()
    def _advance(self, batch: RolloutBatch, turn: int) -> list[Sample]:
        active = batch.episodes[: running(batch.episodes, turn)]
        self._memory = self._memory[:, : len(active)]
        asked = [row for row, episode in enumerate(active) if turn in episode.asked]
        samples = self._answer(batch, asked, turn) if asked else []
        answers = {row: sample.answer for row, sample in zip(asked, samples, strict=True)}
        told = [episode.told(turn, answers.get(row)) for row, episode in enumerate(active)]
        self._memory = remember(self._model, self._memory, told)
        self._writes += len(active)
        return samples

    def _answer(self, batch: RolloutBatch, rows: list[int], turn: int) -> list[Sample]:
        episodes, memory = [batch.episodes[row] for row in rows], self._memory[:, rows]
        prompts = [e.turns[turn].prompt for e in episodes]
        rooms = [max(1, self._model.config.length - len(prompt)) for prompt in prompts]
        seeds = [stable_seed(batch.seed, "answer", e.id, turn) for e in episodes]
        sampling = Sampling(temperature=batch.temperature)
        answers = answer(self._model, memory, prompts, rooms, sampling, seeds)
        if batch.temperature == 0:
            return [Sample(tuple(a), ()) for a in answers]
        scores = policy.score_answers(self._model, memory, prompts, answers, batch.temperature)
        parts = scores.log_probs.split([len(a) for a in answers])
        return [Sample(tuple(a), tuple(p.tolist())) for a, p in zip(answers, parts, strict=True)]

    def _save(self) -> None:
        """Write memory and record to one file, so that they can never disagree."""
        record = {
            "identity": self._identity,
            "turns": [[asdict(s) for s in samples] for samples in self._turns],
            "writes": self._writes,
        }
        text = torch.frombuffer(bytearray(json.dumps(record).encode()), dtype=torch.uint8)
        storage.write(self._state_uri, save({"memory": self._memory.contiguous(), "record": text}))

    def _load(self) -> None:
        data = storage.read(self._state_uri)
        if data is None:
            return
        held = load(data)
        record = json.loads(held["record"].numpy().tobytes())
        self._memory = held["memory"].to(self._model.embedding.weight.device)
        self._identity, self._writes = record["identity"], record["writes"]
        self._turns = [
            [Sample(tuple(s["answer"]), tuple(s["log_probs"])) for s in samples] for samples in record["turns"]
        ]
