"""What a stage asks of the machines is compared with what they have, before it starts."""

import pytest

from jobs.configs.base import Config
from jobs.configs.evaluation import EvaluateConfig
from jobs.configs.execution import Execution, RlExecution, TrainExecution
from jobs.configs.rl import MrlConfig
from jobs.stage.context import Change, StageError
from jobs.stage.resources import Machines, demand_of, device_on
from tests.support.training_data import pretrain_config

LAPTOP, BOX, CLUSTER = Machines((4,), (0,)), Machines((32,), (1,)), Machines((16, 16), (2, 2))


def device(config, machines, wanted, **sections):
    demand = demand_of(config, Execution(**sections))
    return device_on(machines, "stage", demand, wanted)


@pytest.mark.parametrize(
    ("config", "machines", "sections", "best"),
    [
        (pretrain_config(), LAPTOP, {}, "cpu"),
        (pretrain_config(), BOX, {}, "cpu"),  # two workers, one GPU
        (pretrain_config(), BOX, {"train": TrainExecution(workers=1)}, "cuda"),
        (pretrain_config(), CLUSTER, {"train": TrainExecution(workers=4, threads=8)}, "cuda"),
        (MrlConfig(iterations=1), BOX, {}, "cuda"),  # a learner and two rollout workers share it
        (MrlConfig(iterations=1), BOX, {"rl": RlExecution(gpu_share=0.5)}, "cpu"),
        (MrlConfig(iterations=1), CLUSTER, {"rl": RlExecution(rollout_workers=3, gpu_share=1)}, "cuda"),
        (EvaluateConfig(), LAPTOP, {}, "cpu"),
        (EvaluateConfig(), BOX, {}, "cuda"),
    ],
)
def test_auto_takes_gpus_if_there_are_enough_and_cpu_never_does(config, machines, sections, best):
    assert device(config, machines, "auto", **sections) == best
    assert device(config, machines, "cpu", **sections) == "cpu"
    if best == "cuda":
        assert device(config, machines, "cuda", **sections) == "cuda"


@pytest.mark.parametrize(
    ("config", "machines", "sections", "told", "remedy"),
    [
        (
            pretrain_config(),
            LAPTOP,
            {},
            "stage: execution.device = cuda: 2 processes want 1 GPU each, and there is room for 0: this machine has 4 "
            "CPUs and 0 GPUs for Ray",
            Change("execution.device", "cpu"),
        ),
        (
            pretrain_config(),
            CLUSTER,
            {"train": TrainExecution(workers=8)},
            "8 processes want 1 GPU each, and there is room for 4: 2 machines have 32 CPUs and 4 GPUs for Ray",
            Change("execution.train.workers", 4),
        ),
        (
            MrlConfig(iterations=1),
            BOX,
            {"rl": RlExecution(rollout_workers=4, gpu_share=0.5)},
            "5 processes want 0.5 GPU each, and there is room for 2",
            Change("execution.rl.gpu_share", 0.2),
        ),
        (
            pretrain_config(),
            CLUSTER,
            {"train": TrainExecution(workers=4, threads=10)},
            "4 workers want 10 CPUs each, and there is room for 2",
            Change("execution.train.workers", 2),
        ),
        (
            MrlConfig(iterations=1),
            LAPTOP,
            {"rl": RlExecution(rollout_workers=1, threads=16)},
            "1 rollout_workers want 16 CPUs each, and there is room for 0",
            Change("execution.rl.threads", 4),
        ),
    ],
)
def test_what_is_missing_is_told_with_a_change_that_fits(config, machines, sections, told, remedy):
    with pytest.raises(StageError) as caught:
        device(config, machines, "cuda", **sections)
    assert told in str(caught.value) and caught.value.remedy == remedy
    if remedy.key != "execution.device":
        _, section, key = remedy.key.split(".")
        changed = {section: sections[section].model_copy(update={key: remedy.value})}
        device(config, machines, "auto", **changed)


def test_other_stages_ask_for_nothing_at_once():
    assert demand_of(Config(), Execution()) is None


def test_experts_divide_among_workers():
    with pytest.raises(ValueError, match="expert_parallel = 3: must divide workers = 4"):
        TrainExecution(workers=4, expert_parallel=3)
    with pytest.raises(ValueError, match="replicas = 3: must divide workers = 4"):
        TrainExecution(workers=4, replicas=3)
    with pytest.raises(ValueError, match="expert_parallel = 4: must divide workers = 4 / replicas = 2"):
        TrainExecution(workers=4, expert_parallel=4, replicas=2)
