"""The shape of a Reactive Transformer as frozen dataclasses that check themselves. No torch here: planning reads it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Literal, get_type_hints


class ConfigError(ValueError):
    """A configuration that cannot be built: names the field, the value and the rule."""


def _require(condition: bool, field_name: str, value: object, rule: str) -> None:
    if not condition:
        raise ConfigError(f"{field_name} = {value!r}: {rule}")


class _Strict:
    """pydantic reads this attribute when such a dataclass is a field of a user's configuration."""

    __pydantic_config__ = {"extra": "forbid"}


@dataclass(frozen=True)
class AttentionConfig(_Strict):
    """Sparse query attention (arXiv 2510.01817): `query_heads` <= heads and `kv_heads` of the model's head width."""

    query_heads: int
    kv_heads: int
    gate: Literal["none", "elementwise", "headwise"] = "none"
    output_bias: bool = False

    def __post_init__(self) -> None:
        _require(self.query_heads > 0, "query_heads", self.query_heads, "must be positive")
        _require(self.kv_heads > 0, "kv_heads", self.kv_heads, "must be positive")
        _require(
            self.query_heads % self.kv_heads == 0,
            "kv_heads",
            self.kv_heads,
            f"must divide query_heads = {self.query_heads}",
        )


@dataclass(frozen=True)
class MoEConfig(_Strict):
    """Mixture of experts: `top_k` of `experts` SwiGLU experts per token, plus always-on shared experts."""

    experts: int
    top_k: int
    expert_dim: int
    shared_experts: int = 0
    shared_dim: int = 0

    def __post_init__(self) -> None:
        _require(self.experts > 0, "moe.experts", self.experts, "must be positive")
        _require(0 < self.top_k <= self.experts, "moe.top_k", self.top_k, f"must be 1 to experts = {self.experts}")
        _require(self.expert_dim > 0, "moe.expert_dim", self.expert_dim, "must be positive")
        _require(
            (self.shared_experts == 0) == (self.shared_dim == 0),
            "moe.shared_dim",
            self.shared_dim,
            "needs shared_experts > 0, and the other way round",
        )


@dataclass(frozen=True)
class MemoryConfig(_Strict):
    """Short-term memory: slots per stateful layer, and the network that writes them.

    `variant`: the published preparations of the memory (simple, self, interlayer, gated, grouped) followed by a
    residual-gated write, or `competitive`: slots compete for tokens (softmax over slots).
    `gate`: what the residual gate sees; `gate_init`: its initial weight (elementwise) or logit (static, linear).
    """

    slots: int
    variant: Literal["simple", "self", "interlayer", "gated", "grouped", "competitive"] = "grouped"
    groups: int = 1
    attention: AttentionConfig | None = None
    gate: Literal["none", "static", "elementwise", "linear"] = "elementwise"
    activation: Literal["sigmoid", "tanh"] = "sigmoid"
    gate_init: float = 3.0
    init_std: float = 0.02
    exclude_self: bool = False

    def __post_init__(self) -> None:
        _require(self.slots > 0, "memory.slots", self.slots, "must be positive")
        _require(self.init_std > 0, "memory.init_std", self.init_std, "must be positive: equal slots never separate")
        _require(self.groups > 0, "memory.groups", self.groups, "must be positive")
        _require(
            self.variant == "grouped" or self.groups == 1,
            "memory.groups",
            self.groups,
            f"only the grouped variant has groups, not {self.variant}",
        )


@dataclass(frozen=True, kw_only=True)
class Architecture(_Strict):
    """Everything about a model but its vocabulary. Sizes in values; `length` is the longest interaction in tokens;
    `copy_start`: fresh weights already turn what attention reads into the token read (`initialise.start_copying`)."""

    dim: int
    heads: int
    stateful_layers: int
    initial_layers: int
    final_layers: int
    decoder_attention: AttentionConfig
    cross_attention: AttentionConfig
    encoder_attention: AttentionConfig
    dense_dim: int
    encoder_dim: int
    moe: MoEConfig
    memory: MemoryConfig
    length: int
    rope_base: float = 10_000.0
    norm_eps: float = 1e-6
    copy_start: bool = False

    def __post_init__(self) -> None:
        _require(self.dim > 0, "dim", self.dim, "must be positive")
        _require(
            self.heads > 0 and self.dim % self.heads == 0, "heads", self.heads, f"must divide dim = {self.dim} evenly"
        )
        _require(self.head_dim % 2 == 0, "heads", self.heads, f"head width dim / heads = {self.head_dim} must be even")
        _require(self.stateful_layers > 0, "stateful_layers", self.stateful_layers, "must be positive")
        for name in ("decoder_attention", "cross_attention", "encoder_attention"):
            used = getattr(self, name)
            _require(
                used.query_heads <= self.heads and used.kv_heads <= self.heads,
                name,
                (used.query_heads, used.kv_heads),
                f"has more heads than the nominal {self.heads}",
            )
        _require(self.cross_attention.gate == "none", "cross_attention.gate", self.cross_attention.gate, "must be none")
        _require(self.length > 1, "length", self.length, "must be at least 2")
        _require(
            self.stateful_layers % self.memory.groups == 0,
            "memory.groups",
            self.memory.groups,
            f"must divide stateful_layers = {self.stateful_layers}",
        )

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    def with_vocabulary(self, vocab_size: int, tokenizer_digest: str) -> ModelConfig:
        own = {f.name: getattr(self, f.name) for f in fields(Architecture)}
        return ModelConfig(**own, vocab_size=vocab_size, tokenizer_digest=tokenizer_digest)


@dataclass(frozen=True)
class ControlTokens(_Strict):
    """Ids of the control tokens, as the tokenizer fixes them."""

    pad: int = 0
    bos: int = 2
    eos: int = 3
    mask: int = 4
    query: int = 5
    answer: int = 6
    think: int = 7
    tool_call: int = 8
    tool_result: int = 9
    internal: int = 10

    @property
    def highest(self) -> int:
        """Content has the ids above it."""
        return max(asdict(self).values())


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Architecture):
    """An architecture with its vocabulary: what `config.json` holds."""

    vocab_size: int
    tokenizer_digest: str = ""
    tokens: ControlTokens = field(default_factory=ControlTokens)

    def __post_init__(self) -> None:
        super().__post_init__()
        highest = self.tokens.highest
        _require(
            self.vocab_size > highest, "vocab_size", self.vocab_size, f"must exceed the control ids (0..{highest})"
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        return _build(cls, json.loads(text), "config.json")


def _build(cls: type, values: dict, where: str):
    """A dataclass from plain data; refuses unknown keys, as a silent drop would change the model."""
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(values) - known)
    _require(not unknown, where, unknown, f"unknown keys; known are {sorted(known)}")
    built = {}
    for name, value in values.items():
        kinds = [k for k in getattr(hints[name], "__args__", (hints[name],)) if is_dataclass(k)]
        built[name] = _build(kinds[0], value, f"{where}: {name}") if kinds and isinstance(value, dict) else value
    return cls(**built)
