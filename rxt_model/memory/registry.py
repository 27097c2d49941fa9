"""THE MEMORY WRITES, one line each. No torch here: a configuration is checked against this while a run is planned."""

from __future__ import annotations

from dataclasses import dataclass

WRITTEN_RMS = 0.1  # a slot with a smaller root mean square was never written

GATE = ("attention", "gate", "activation", "gate_init")
MEAN = ("exclude_self",)


@dataclass(frozen=True)
class Registered:
    """`layer` is `module:name` of a `MemoryWrite`, imported when a model is built; `options` are those fields of
    `MemoryConfig` that it takes beside the ones that every write has. The others must keep their defaults.
    `selects`: slots are encoder states as they are, chosen by an importance that training teaches from what is read;
    what was never written is known by its size (`WRITTEN_RMS`)."""

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
    "selective": Registered("rxt_model.memory.selective:SelectiveWrite", selects=True),
}

OPTIONS = tuple(dict.fromkeys(option for write in WRITES.values() for option in write.options))
