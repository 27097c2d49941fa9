"""A copying head learns which token a state holds, and a state that is copied is worth keeping."""

import torch
from torch import Tensor

from jobs.training.objectives import importance
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.naming import naming_loss
from rxt_model.config import MemoryConfig
from rxt_model.copying.head import Pointers
from rxt_model.model import ReactiveTransformer, seeded
from tests.support.models import small_config
from tests.support.training_toys import numbered

STRETCH = 1.5
CONFIG = small_config(copying=True, memory=MemoryConfig(slots=4, variant="selective"))


def step_context(step: int = 0) -> StepContext:
    return StepContext(step, 40, seed=step)


def model_of() -> ReactiveTransformer:
    return seeded(lambda: ReactiveTransformer(CONFIG), 0)


def test_states_are_named_after_their_tokens_in_a_few_steps():
    model, ids = model_of(), torch.randint(11, 64, (6, 9), generator=torch.Generator().manual_seed(0))
    real = torch.ones_like(ids, dtype=torch.bool)
    row, batch = torch.arange(6).repeat_interleave(9), numbered({"input_ids": ids})
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    accuracy = []
    for step in range(40):
        states = model.encode(ids, real)[-1][real]
        loss, metrics = naming_loss(model, states, ids[real], row, batch, step_context(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right, count = metrics["train/naming_accuracy"].tolist()
        accuracy.append(right / count)
    assert accuracy[0] < 0.3 < 0.95 < accuracy[-1]


def test_a_model_without_a_copying_head_has_nothing_to_name():
    model = seeded(lambda: ReactiveTransformer(small_config()), 0)
    nothing = torch.zeros(3, dtype=torch.long)
    loss, metrics = naming_loss(model, torch.zeros(3, 32), nothing, nothing, {}, step_context())
    assert loss == 0 and metrics == {}


def test_a_copied_state_counts_as_read_in_the_last_layer_alone(monkeypatch):
    """Two turns of one conversation, three states, nothing read by attention: only what is copied is worth keeping."""
    monkeypatch.setattr(importance, "_most_read", lambda read, readable, asking: torch.zeros(1, 3))
    write = model_of().memory_attention
    states = torch.randn(2, 1, 3, 32, generator=torch.Generator().manual_seed(1))
    shares = torch.full((3, 5), 1e-6)
    shares[2, 1] = 0.6  # the last token that is asked for copies state 1
    shares[1, 4] = 0.9  # this one copies a word of its own turn
    asked = torch.tensor([[True, True, False], [False, False, True]])
    pointers = Pointers(torch.zeros(3), shares.log(), torch.zeros(3, 5, dtype=torch.long))

    def loss(given: Pointers | None) -> Tensor:
        readable, counted = torch.ones(1, 2, 3, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
        return importance.importance_loss(write, states, [None, None], readable, asked, counted, given)[0]

    logits = write.importance(states)
    copied = torch.tensor([0.0, min(1.0, STRETCH * 0.6), 0.0])
    expected = torch.nn.functional.softplus(logits).sum() - (copied * logits[-1]).sum()
    assert torch.allclose(loss(pointers) * 6, expected, atol=1e-3)
    assert not torch.allclose(loss(None), loss(pointers), atol=1e-3)
