"""What the first design trains before it uses memory: everything but the parts that read memory."""

from __future__ import annotations

from torch import nn

READS = (
    "memory_read",
    "memory_query_norm",
    "memory_norm",
    "memory_drive",
)  # in a layer of the encoder or of the decoder


def without_reads(part: nn.Module) -> list[nn.Module]:
    """Return the largest modules of `part` that hold no memory cross-attention, none of its norms and no drive of a
    Gated DeltaNet. Together they have every other parameter of `part`."""
    if not any(name.rpartition(".")[2] in READS for name, _ in part.named_modules()):
        return [part]
    return [kept for name, child in part.named_children() if name not in READS for kept in without_reads(child)]
