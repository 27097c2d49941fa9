"""Sharded training equals training in one process, also if ranks have unequal token counts. All that a stage draws is
drawn here too: noise, masks, start memories, and the states that are named."""

import itertools

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from jobs.configs.training import (
    JointLossConfig,
    MemoryPretrainConfig,
    OptimisationConfig,
    OptimizerConfig,
    SftConfig,
    SmatConfig,
    SmatPhase,
)
from jobs.training.batching.batches import NEVER_TOLD, NOT_ASKED, TOLD
from jobs.training.loop import step_context
from jobs.training.objectives.joint_lm import JointLM
from jobs.training.objectives.memory_pretrain import Reading, SelfSupervised
from jobs.training.objectives.next_token import NextToken
from jobs.training.objectives.smat import Smat
from jobs.training.optimizers.stage import StageOptimizer
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ConfigError, DeltaConfig, MemoryConfig, MoEConfig
from rxt_model.memory.registry import WRITES
from rxt_model.model import seeded
from rxt_model.moe.expert_parallel import SpreadExperts, check_degree
from rxt_model.moe.layer import Experts
from rxt_model.moe.selection_bias import LoadBalancer, add_selection_bias
from rxt_model.training.parallelize import parallelize
from tests.support.ranks import on_ranks
from tests.support.training_toys import TURNS, ToyObjective, part_of, toy_batch, toy_config, toy_model, toy_training

BLOCK, RECOMPUTED = dict(shard="block"), dict(shard="block", activation_checkpointing=True)
EXPERTS = dict(shard="root", expert_parallel=2)
# what is trained, and how it is parallelized, by the number of ranks
CASES = {
    2: {
        "root": ("toy", dict(shard="root")),
        "block": ("toy", BLOCK),
        "experts": ("toy", EXPERTS),
        "experts-block": ("toy", EXPERTS | BLOCK),
        "recomputed": ("toy", RECOMPUTED),
        "replicas": ("toy", BLOCK | dict(replicas=2)),
        "biased": ("biased", dict(shard="root")),
        "biased-experts-recomputed": ("biased", EXPERTS | RECOMPUTED),
        "smat-competitive": ("competitive", BLOCK),
        "smat-gated": ("gated", RECOMPUTED),
        "joint": ("joint", dict(shard="root")),
        "joint-delta": ("joint-delta", BLOCK),
        "smat-delta": ("delta", EXPERTS | RECOMPUTED),
        "smat-selective": ("selective", RECOMPUTED),
        "smat-selective-experts": ("selective", EXPERTS),
        "reading": ("reading", BLOCK),
        "reading-selective": ("reading-selective", RECOMPUTED),
        "writing": ("writing", dict(shard="root")),
        "baseline": ("baseline", BLOCK),
        "muon": ("muon", BLOCK),
        "muon-experts": ("muon", EXPERTS),
    },
    4: {
        "block": ("toy", BLOCK),
        "experts-block": ("toy", EXPERTS | BLOCK),
        "experts-4": ("toy", dict(shard="root", expert_parallel=4)),
        "biased-experts-recomputed": ("biased", EXPERTS | RECOMPUTED),
        "replicas-muon": ("muon", BLOCK | dict(replicas=2)),
        "replicas-experts": ("selective", EXPERTS | dict(replicas=2)),
    },
}
ROWS = ("joint", "joint-delta", "baseline")  # are trained on single interactions
# balanced; all rows to the experts of rank 0; one rank without rows; nothing at all for rank 1's experts or from it
ROUTES = [
    [[2, 2, 2, 2], [1, 3, 2, 2]],
    [[3, 4, 0, 0], [5, 0, 0, 0]],
    [[0, 0, 0, 0], [1, 2, 3, 4]],
    [[3, 0, 0, 0], [0] * 4],
]


def objective_of(kind):
    """Make `ToyObjective`, perhaps with selection biases, or the objective of a stage. Smat has this kind of write and
    begins with single turns, which write nothing."""
    if kind in ("toy", "biased", "muon"):
        toy = ToyObjective(toy_model())
        if kind == "biased":
            add_selection_bias(toy.model)
        return toy
    if kind == "baseline":
        return NextToken(seeded(lambda: StatelessDecoder(toy_config()), 0), OptimisationConfig())
    common = dict(steps=99, batch_size=4)
    delta = DeltaConfig(2) if "delta" in kind else None
    if kind in ROWS:
        return JointLM(toy_model(delta=delta), SftConfig(loss=JointLossConfig(mlm_probability=0.5), **common))
    written = kind in ("competitive", "gated", "selective", "delta")
    variant = kind if kind in WRITES else kind.partition("-")[2] or "competitive"
    names = variant == "selective"
    model = toy_model(
        memory=MemoryConfig(slots=4, variant=variant), encoder_neighbours=(1, -1), copying=names, delta=delta
    )
    if written:
        parts = ("decoder", "memory", "encoder")
        phases = (SmatPhase(until=1, turns=1, train=parts), SmatPhase(until=99, turns=TURNS, train=parts))
        return Smat(model, SmatConfig(phases=phases, reading_every=3, **common))
    if kind.startswith("reading"):
        return Reading(model, MemoryPretrainConfig(**common))
    return SelfSupervised(model, MemoryPretrainConfig(objective="self-supervised", **common))


def batch_of(kind, step, rank, world_size):
    """Return the rank's part of four conversations, one of which is shorter, or of their first turns."""
    batch = toy_batch(step)
    batch["input_ids"][0, 2:] = 0
    if kind in ROWS:
        batch["input_ids"] = batch["input_ids"][:, 0]
    real = batch["input_ids"] != 0
    batch |= {"loss_mask": real, "turn_mask": real.any(-1)}
    if "selective" in kind:  # unequal numbers of decoded turns, and of questions
        batch["decoded"] = (
            batch["turn_mask"] & torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1], [0, 1, 1, 1]]).bool()
        )
        asks = {(0, 1): 0, (1, 3): NEVER_TOLD, (2, 3): 1}
        batch[TOLD] = torch.full_like(batch["decoded"], NOT_ASKED, dtype=torch.int64)
        for place, told in asks.items():
            batch[TOLD][place] = told
    return part_of(batch, rank, world_size)


def whole(tensor):
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def run_steps(kind, objective, steps, rank=0, world_size=1):
    """Return losses, gradients of the first step, gradient norms, final weights, and selection biases if there are
    any."""
    config = toy_training(steps)
    matrices = "muon" if kind == "muon" else "adamw"
    optimizer = StageOptimizer(objective, config.optimizer.model_copy(update={"matrices": matrices}), steps)
    found = {"losses": [], "norms": [], "biases": []}
    biased = objective.model.config.moe.selection_bias
    balancer = LoadBalancer(objective.model.decoder, 0.05) if biased else None
    for step in range(steps):
        batch = batch_of(kind, step, rank, world_size)
        optimizer.begin(step, objective.trained(step))
        loss, _ = objective(batch, step_context(config, step))
        loss.backward()
        if step == 0:
            found["gradients"] = {name: whole(p.grad) for name, p in objective.named_parameters() if p.grad is not None}
        found["norms"].append(optimizer.step().item())
        found["losses"].append(loss.detach())
        if balancer:
            balancer.step()
            found["biases"] += [layer.selection_bias.tolist() for layer in balancer.layers]
    found["weights"] = {name: whole(p) for name, p in objective.named_parameters()}
    return found


def worker(rank, world_size, folder, steps):
    for name, (kind, layout) in CASES[world_size].items():
        objective = objective_of(kind)
        names = list(objective.state_dict())
        objective = parallelize(objective, world_size, **layout)
        assert list(objective.state_dict()) == names
        shards = world_size // layout.get("replicas", 1)
        assert objective.model.embedding.weight.to_local().shape[0] == 40 // shards
        found = run_steps(kind, objective, steps, rank, world_size)
        losses = torch.stack(found["losses"])
        dist.all_reduce(losses)
        found["losses"] = losses.tolist()
        everywhere = [None] * world_size
        dist.all_gather_object(everywhere, found["biases"])
        assert all(biases == found["biases"] for biases in everywhere)
        if rank == 0:
            torch.save(found, f"{folder}/{name}.pt")
    for degree, replicas in ((1, 1), (2, 1), (1, 2)):
        check_update(world_size, degree, replicas)
    if world_size == 2:
        check_idle_rank(rank)
        for counts, bias in itertools.product(ROUTES, ("layer", "expert")):
            check_route(rank, counts, bias)


def check_update(world_size, degree, replicas):
    """Check that the same gradients move sharded weights, in so many copies, like whole ones. Experts are spread over
    `degree` ranks."""
    config = OptimizerConfig(matrices="muon", weight_decay=0.1, warmup_steps=0)
    alone, spread = toy_model(), toy_model()
    parallelize(spread, world_size, shard="block", expert_parallel=degree, replicas=replicas)
    optimizers = [StageOptimizer(model, config, 2) for model in (alone, spread)]
    pairs = list(zip(alone.named_parameters(), spread.parameters(), strict=True))
    for parameter in (*alone.parameters(), *spread.parameters()):
        torch.nn.init.zeros_(parameter)  # so that the weights afterwards are the updates, with no digit lost
    generator = torch.Generator().manual_seed(0)
    for step in range(2):
        for optimizer in optimizers:
            optimizer.begin(step, [optimizer.module])
        for (_, expected), found in pairs:
            expected.grad = torch.randn(expected.shape, generator=generator)
            found.grad = distribute_tensor(expected.grad, found.device_mesh, found.placements)
        for optimizer in optimizers:
            optimizer.step()
        for (name, expected), found in pairs:
            message = f"{name} on {world_size} ranks, {replicas} replicas, experts over {degree}, step {step}"
            assert torch.allclose(whole(found), expected, rtol=1e-5, atol=1e-8), message


def check_idle_rank(rank):
    """Check that a rank that counted nothing does not make others wait: its biases move like theirs."""
    model = objective_of("biased").model.train()
    balancer, ids = LoadBalancer(model.decoder, 0.05), toy_batch(0)["input_ids"][:, 0]
    if rank == 0:
        model.decode(ids, model.initial_memory(len(ids)), mask=ids != 0)
    balancer.step()
    everywhere = [None] * 2
    dist.all_gather_object(everywhere, [layer.selection_bias.tolist() for layer in balancer.layers])
    assert everywhere[0] == everywhere[1] and any(any(biases) for biases in everywhere[1])


def check_route(rank, counts, bias):
    """Send counts[r][e] rows of rank r to expert e. Outputs and gradients must equal those of the whole experts."""
    torch.manual_seed(0)
    whole_experts = Experts(16, MoEConfig(experts=4, top_k=2, expert_dim=8, bias=bias))
    for parameter in whole_experts.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # outputs near 1, whose rounding the tolerances are for
    rows = [torch.randn(sum(of_rank), 16) for of_rank in counts]
    weights = [torch.randn(sum(of_rank), 16) for of_rank in counts]
    scores = [torch.rand(sum(of_rank), 1) for of_rank in counts]
    chosen = [torch.arange(4).repeat_interleave(torch.tensor(of_rank))[:, None] for of_rank in counts]
    expected = [whole_experts(*inputs)[0] for inputs in zip(rows, scores, chosen, strict=True)]
    sum((out * w).sum() for out, w in zip(expected, weights, strict=True)).backward()

    spread = SpreadExperts(whole_experts, init_device_mesh("cpu", (2,), mesh_dim_names=("ep",))["ep"])
    mine = rows[rank].clone().requires_grad_()
    out, found_counts = spread(mine, scores[rank], chosen[rank])
    assert found_counts.tolist() == counts[rank]
    (out * weights[rank]).sum().backward()
    torch.testing.assert_close(out, expected[rank])
    assert len(list(spread.parameters())) == len(list(whole_experts.parameters()))
    for name, parameter in whole_experts.named_parameters():
        reference = parameter.grad[2 * rank : 2 * rank + 2]
        found = getattr(spread, name).grad
        torch.testing.assert_close(torch.zeros_like(reference) if found is None else found.to_local(), reference)


@pytest.fixture(scope="module", params=[(2, 3), (4, 1)], ids=["2-ranks", "4-ranks"])
def runs(request, tmp_path_factory):
    world_size, steps = request.param
    folder = tmp_path_factory.mktemp("layouts")
    on_ranks(world_size, worker, world_size, str(folder), steps)
    kinds = {name: kind for name, (kind, _) in CASES[world_size].items()}
    references = {kind: run_steps(kind, objective_of(kind), steps) for kind in set(kinds.values())}
    return [(name, kind, references[kind], torch.load(folder / f"{name}.pt")) for name, kind in kinds.items()]


def test_sharded_training_equals_one_process(runs):
    for layout, objective, reference, found in runs:
        expected = [loss.item() for loss in reference["losses"]]
        assert found["losses"][0] == pytest.approx(expected[0], rel=1e-6), layout
        assert found["losses"] == pytest.approx(expected, rel=1e-5), layout
        assert found["norms"] == pytest.approx(reference["norms"], rel=1e-4), layout
        assert len(found["biases"]) == len(reference["biases"]), layout
        for biases, expected in zip(found["biases"], reference["biases"], strict=True):
            assert biases == pytest.approx(expected), layout
        assert found["gradients"].keys() == reference["gradients"].keys(), layout
        # AdamW makes much of tiny gradients: of a score, which only some tokens teach, and here of one weight (5e-8)
        of_weights = 5e-4 if "selective" in objective or objective == "joint-delta" else 1e-4
        for kind, tolerance in (("gradients", 1e-5), ("weights", of_weights)):
            for name, expected in reference[kind].items():
                message = f"{layout}: {kind} of {name}"
                close = torch.allclose(found[kind][name], expected, rtol=1e-4, atol=tolerance)
                assert close, message


def test_uneven_expert_degrees_are_refused():
    with pytest.raises(ConfigError, match="expert_parallel = 3: must divide the 4 ranks"):
        check_degree(toy_model(), 4, 3)
    with pytest.raises(ConfigError, match="expert_parallel = 8: must divide the 4 experts"):
        check_degree(toy_model(), 8, 8)
    with pytest.raises(ConfigError, match="replicas = 3: must divide the 4 ranks"):
        check_degree(toy_model(), 4, 1, 3)
    with pytest.raises(ConfigError, match="expert_parallel = 4: must divide the 2 ranks of each of 2 replicas"):
        check_degree(toy_model(), 4, 4, 2)
