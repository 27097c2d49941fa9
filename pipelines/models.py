"""`rxt model show` builds a model without weights, and prints parameters, FLOPs and memory of its parts."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from jobs.stage.context import StageError
from pipelines.display import byte_size, console_on, print_table, table_of
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from rxt_model.config import ModelConfig
from rxt_model.family import FAMILY

BYTES = {"fp32": 4, "bf16": 2}


def show(preset: str, file: Path | None, sets: Sequence[str], as_json: bool) -> None:
    """Print the sizes of a published model, or of a preset's with the settings of `file` and `sets`. Raises StageError
    for an unknown name, and for settings of a published model."""
    config, card = _named(preset, file, sets)
    from rxt_model.size import size_of  # builds on torch

    size = size_of(config)
    state = {
        f"short-term memory of a conversation ({_shape(config)})": size.memory,
        f"KV cache of an interaction ({config.length:,} tokens)": size.cache,
        "keys and values of the memory, once per turn": size.memory_cache,
    }
    if as_json:
        parts = [asdict(part) | {"bytes": _bytes(part.parameters)} for part in size.parts]
        held = {"memory": size.memory, "kv_cache": size.cache, "memory_kv": size.memory_cache}
        found = {
            "preset": preset,
            "card": card,
            "parts": parts,
            "decoder_active_without_routers": size.without_routers,
            "bytes_held": {name: _bytes(values) for name, values in held.items()},
            "config": asdict(config),
        }
        print(json.dumps(found, indent=2))
        return
    console = console_on(sys.stdout)
    rows = [
        (
            part.name,
            f"{part.parameters:,}",
            f"{part.active:,}",
            f"{part.flops.matrices / 1e6:,.2f}",
            f"{part.flops.attention / 1e6:,.2f}",
            *map(byte_size, _bytes(part.parameters).values()),
        )
        for part in size.parts
    ]
    header = ("part", "parameters", "active", "MFLOP/token", "attention", *BYTES)
    print_table(console, table_of(header, rows, numbers=True))
    print(f"decoder without its routers: {size.without_routers:,} active" + (f"\ncard: {card}" if card else ""))
    print(
        f"MFLOP: forward, multiply-add = 2, mean over {config.length:,} tokens; attention: scores and values, on top\n"
    )
    rows = [(what, f"{values:,}", *map(byte_size, _bytes(values).values())) for what, values in state.items()]
    print_table(console, table_of(("held", "values", *BYTES), rows, numbers=True))


def _named(name: str, file: Path | None, sets: Sequence[str]) -> tuple[ModelConfig, str]:
    """The config of that name, and what the model's card says."""
    changed = file is not None or bool(sets)
    if name in PRESETS and (changed or name not in FAMILY):
        preset = resolve(PRESETS[name](), file, sets)
        if preset.model is None or preset.tokenizer is None:
            raise StageError(
                f"{name}: has no model, as that needs the sections {preset.curriculum[0]} and tokenizer",
                f"rxt stage list --preset {name}",
            )
        return preset.model.with_vocabulary(preset.tokenizer.vocab_size), ""
    if name in FAMILY:
        if changed:
            raise StageError(
                f"{name}: a published model has no settings; --set and --config change a preset's",
                "rxt model show tiny",
            )
        return FAMILY[name]
    known = list(dict.fromkeys([*FAMILY, *PRESETS]))
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    raise StageError(f"{name}: unknown model; {hint}", f"rxt model show {near[0] if near else 'tiny'}")


def _bytes(values: int) -> dict[str, int]:
    return {dtype: values * width for dtype, width in BYTES.items()}


def _shape(config: ModelConfig) -> str:
    return f"{config.stateful_layers} layers x {config.memory.slots:,} slots x {config.slot_dim}"
