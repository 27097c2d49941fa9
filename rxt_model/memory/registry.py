"""List the memory writes, one line each. Planning a run reads this, so it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

WRITTEN_RMS = 0.1  # a selective write treats a slot with a smaller root mean square as unwritten

GATE = ("attention", "gate", "activation", "gate_init")
MEAN = ("exclude_self",)
SELECTION = ("trained_slots", "ageing")


@dataclass(frozen=True)
class Registered:
    """A memory write. `layer` is the `module:name` of its `MemoryWrite`, imported when a model is built.

    `options` are the fields of `MemoryConfig` that this write takes in addition to those that every write has. The
    options of other writes must keep their defaults. If `selects`, the slots are unchanged encoder states, which a
    learned importance chooses. A slot smaller than `WRITTEN_RMS` then counts as unwritten.
    """

    layer: str
    options: tuple[str, ...] = ()
    selects: bool = False


WRITES = {
    "simple": Registered("rxt_model.memory.gated:SimpleWrite", GATE),
    "self": Registered("rxt_model.memory.gated:SelfWrite", GATE),
    "interlayer": Registered("rxt_model.memory.gated:InterlayerWrite", (*GATE, *MEAN)),
    "gated": Registered("rxt_model.memory.gated:GatedWrite", (*GATE, *MEAN)),
    "grouped": Registered("rxt_model.memory.gated:GatedWrite", (*GATE, *MEAN, "groups")),
    "competitive": Registered("rxt_model.memory.competitive:CompetitiveWrite"),
    "selective": Registered("rxt_model.memory.selective:SelectiveWrite", SELECTION, selects=True),
}

OPTIONS = tuple(dict.fromkeys(option for write in WRITES.values() for option in write.options))
