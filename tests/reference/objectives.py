"""What objectives minimise and tell, as equations: of conversations given as plain rows."""

from __future__ import annotations

import pytest
import torch

from tests.reference import model
from tests.reference.layers import balance, router_z

# large, so that an error in them cannot hide
BALANCE, ROUTER_Z, HEAD_Z = 0.7, 0.4, 0.3
WEIGHTS = dict(balance_weight=BALANCE, router_z_weight=ROUTER_Z, head_z_weight=HEAD_Z)


def drawn_conversations(turns, lengths=(4, 7), seed=2):
    """Conversations of so many interactions; each supervises what follows its second token."""
    generator = torch.Generator().manual_seed(seed)

    def interaction():
        length = int(torch.randint(lengths[0], lengths[1] + 1, (), generator=generator))
        ids = torch.randint(11, 40, (length,), generator=generator).tolist()
        return {"input_ids": ids, "loss_mask": [False] * 2 + [True] * (length - 2)}

    return [{"interactions": [interaction() for _ in range(count)]} for count in turns]


def answered(state, config, interaction, memory, reads=None):
    """Of the supervised tokens of one interaction: summed cross entropy, summed squared log-sum-exp of their logits,
    their number; and the load of the experts. `reads` as in `model.decode`."""
    ids, mask = interaction["input_ids"], interaction["loss_mask"]
    hidden, loads = model.decode(state, config, ids, memory, reads)
    at = [i for i in range(1, len(ids)) if mask[i]]
    rows = model.logits(state, hidden[[i - 1 for i in at]])
    z = rows.exp().sum(-1).log()
    return model.cross_entropy(rows, [ids[i] for i in at]), (z * z).sum(), len(at), loads


def minimised(parts):
    losses, z, counts, loads = zip(*parts, strict=True)
    own = (sum(losses) + HEAD_Z * sum(z)) / sum(counts)
    return own + BALANCE * balance(loads) + ROUTER_Z * router_z(loads)


def assert_told(metrics, parts):
    """Metrics are without weights, and the loss without the z-loss."""
    losses, z, counts, loads = zip(*parts, strict=True)
    expected = {"train/loss": sum(losses) / sum(counts), "train/head_z": sum(z) / sum(counts)}
    expected |= {"router/balance": balance(loads), "router/z": router_z(loads)}
    found = {name: float(metrics[name][0] / metrics[name][1]) for name in expected}
    assert found == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-6)
