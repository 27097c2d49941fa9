"""Every stage has the losses of one worker, whatever the layout: through the code that its workers run, with all that
it draws, from its shards to its last step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from jobs.configs.execution import TrainExecution
from jobs.configs.training import SmatConfig, SmatPhase
from jobs.training.loop import Cadence, train
from jobs.training.rank import prepare
from rxt_model.config import MemoryConfig
from tests.support.ranks import on_ranks
from tests.support.stages import configs
from tests.support.stages.configs import make_world, stage_parts
from tests.support.training_data import ARCHITECTURE

STEPS = 2
STAGES = [name for name in configs.STAGES if f"{name}_rehearsal" not in configs.STAGES]  # which has all that it has
# a selective write learns importance, and a copying head names states; neither can be taught by self-supervision
SHAPE = replace(
    ARCHITECTURE, memory=MemoryConfig(slots=8, variant="selective"), copying=True, encoder_neighbours=(1, -1)
)
PHASES = (SmatPhase(until=99, turns=4, train=("decoder", "memory", "encoder")),)
LAYOUTS = {
    1: [TrainExecution(workers=1), TrainExecution(workers=1, micro_batches=4)],
    2: [TrainExecution(workers=2, shard="block", micro_batches=2)],
    4: [
        TrainExecution(workers=4, expert_parallel=2, shard="block", activation_checkpointing=True),
        TrainExecution(workers=4, replicas=2, expert_parallel=2),
    ],
}


def losses(name: str, uris: dict[str, str], execution: TrainExecution) -> list[dict[str, float]]:
    """Return what the first steps of a stage tell on this rank."""
    function, config, inputs = stage_parts(name, uris)
    if isinstance(config, SmatConfig):
        config = config.model_copy(update={"phases": PHASES})
    part = prepare(function, config, execution, inputs, torch.device("cpu"))
    told: list[dict[str, float]] = []
    train(
        part.objective,
        part.optimizer,
        part.batch_at,
        config,
        Cadence(1, 1),
        log=lambda _, values: told.append(dict(values)),
        should_stop=lambda: len(told) == STEPS - 1,
        micro_batches=execution.micro_batches,
    )
    return [
        {key: value for key, value in values.items() if key.endswith(("loss", "gradient_norm", "balance", "tokens"))}
        for values in told
    ]


def worker(rank: int, world_size: int, plain: dict[str, str], selective: dict[str, str], folder: str) -> None:
    for number, execution in enumerate(LAYOUTS[world_size]):
        for name in STAGES:
            found = losses(name, plain if name == "self_supervised" else selective, execution)
            if rank == 0:
                torch.save(found, f"{folder}/{world_size}-{number}-{name}.pt")
            dist.barrier()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    worlds = make_world(folder / "plain"), make_world(folder / "selective", SHAPE)
    for world_size in LAYOUTS:
        on_ranks(world_size, worker, world_size, *worlds, str(folder))
    return folder


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_the_losses_of_one_worker(runs, name):
    expected = torch.load(runs / f"1-0-{name}.pt")
    assert len(expected) == STEPS and "train/loss" in expected[0]
    others = sorted(runs.glob(f"*-{name}.pt"))
    assert len(others) == sum(map(len, LAYOUTS.values()))
    for path in others:
        found = torch.load(path)
        # the first losses come from the same weights; the next also from gradients, which AdamW divides by their size
        for step, tolerance in enumerate((1e-6, 1e-4)):
            norm, expected_norm = found[step].pop("train/gradient_norm"), expected[step]["train/gradient_norm"]
            assert norm == pytest.approx(expected_norm, rel=10 * tolerance), (path.name, step)
            wanted = {key: value for key, value in expected[step].items() if key in found[step]}
            assert found[step] == pytest.approx(wanted, rel=tolerance), (path.name, step)
