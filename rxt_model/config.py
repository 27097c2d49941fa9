"""Describe the shape of a Reactive Transformer as frozen dataclasses that check themselves.

This module imports no torch, because planning a run reads it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from rxt_model.files.record import ConfigError as ConfigError
from rxt_model.files.record import Strict, build, record, require, require_types
from rxt_model.memory.registry import OPTIONS, WRITES, WRITTEN_RMS, Registered

STEM_LETTERS = 5
"""Letters of a stem (`copying.stems`)."""


@dataclass(frozen=True)
class AttentionConfig(Strict):
    """Sparse query attention (arXiv 2510.01817). It has at most as many query and key-value heads as the model, and
    its heads are as wide as the model's.

    `gate` multiplies the output of the heads by a sigmoid (arXiv 2505.06708), with one value per channel or per head.
    `qk_norm` applies an RMS norm to every query and key head before the rotation. No published model has it.
    """

    query_heads: int
    kv_heads: int
    gate: Literal["none", "elementwise", "headwise"] = "none"
    output_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        require_types(self)
        require(self.query_heads > 0, "query_heads", self.query_heads, "must be positive")
        require(self.kv_heads > 0, "kv_heads", self.kv_heads, "must be positive")
        require(
            self.query_heads % self.kv_heads == 0,
            "kv_heads",
            self.kv_heads,
            f"must divide query_heads = {self.query_heads}",
        )


@dataclass(frozen=True)
class DeltaConfig(Strict):
    """Memory-driven Gated DeltaNet (arXiv 2412.06464; `rxt_model.delta.layer`). It has `heads` heads, as wide as those
    of the model. A short convolution over `kernel` tokens precedes it."""

    heads: int
    kernel: int = 4

    def __post_init__(self) -> None:
        require_types(self, "delta.")
        require(self.heads > 0, "delta.heads", self.heads, "must be positive")
        require(0 < self.kernel <= 32, "delta.kernel", self.kernel, "must be 1 to 32")


@dataclass(frozen=True)
class MoEConfig(Strict):
    """Mixture of experts. Each token uses `top_k` of `experts` SwiGLU experts and all shared experts.

    `bias` is `layer` if a layer has one output bias for its routed and one for its shared experts (Beta), and `expert`
    if every expert has its own biases (Alpha). `selection_bias` adds one number per expert, which changes only the
    choice of experts. Stages with a `bias_speed` add it to a model and update it (`rxt_model.moe.selection_bias`).
    """

    experts: int
    top_k: int
    expert_dim: int
    shared_experts: int = 0
    shared_dim: int = 0
    bias: Literal["layer", "expert"] = "layer"
    selection_bias: bool = False

    def __post_init__(self) -> None:
        require_types(self, "moe.")
        require(self.experts > 0, "moe.experts", self.experts, "must be positive")
        require(0 < self.top_k <= self.experts, "moe.top_k", self.top_k, f"must be 1 to experts = {self.experts}")
        require(self.expert_dim > 0, "moe.expert_dim", self.expert_dim, "must be positive")
        require(self.shared_experts >= 0, "moe.shared_experts", self.shared_experts, "must not be negative")
        require(self.shared_dim >= 0, "moe.shared_dim", self.shared_dim, "must not be negative")
        require(
            (self.shared_experts == 0) == (self.shared_dim == 0),
            "moe.shared_dim",
            self.shared_dim,
            "needs shared_experts > 0, and the other way round",
        )


@dataclass(frozen=True)
class FragmentsConfig(Strict):
    """Mixture-of-Memory: every interaction is kept beside the slots, as a fragment of at most `size` tokens per layer.
    For each query, the slots hold the `recent` newest interactions, and `loaded` others that match the query
    (`memory.fragments`)."""

    size: int = 48
    loaded: int = 2
    recent: int = 1

    def __post_init__(self) -> None:
        require_types(self, "memory.fragments.")
        for name in ("size", "loaded"):
            require(getattr(self, name) > 0, f"memory.fragments.{name}", getattr(self, name), "must be positive")
        require(self.recent >= 0, "memory.fragments.recent", self.recent, "must not be negative")


@dataclass(frozen=True)
class MemoryConfig(Strict):
    """Short-term memory. Every stateful layer has `slots` slots and a network that writes them.

    `variant` names a write in `rxt_model.memory.registry`, which also lists the other fields that this write takes.
    `groups` is the number of groups of consecutive layers. Each has its own mean. With `exclude_self`, the mean for a
    layer leaves out the layer itself.
    `attention` sets the heads of the published writes (None: as in the encoder). It has no gate and always an output
    bias.
    `gate` names the input of the residual gate. `gate_init` is its initial weight (elementwise) or logit (static,
    linear).
    `init_std`: a conversation starts from slots drawn from N(0, init_std^2). The Alpha card has 0.02.
    `fragments`: how a conversation keeps what its slots do not hold (None: not at all). Weights and training are the
    same with and without.
    `thoughts` says whether what the model thought before an answer is written with it (`memory.thoughts`).
    A selective write can be trained with fewer slots than it is used with, which costs less: `memory-pretrain` and
    `smat` use at most `trained_slots` (0: all of `slots`). `ageing` is what the importance of a token, a logit, loses
    with each later interaction.
    """

    slots: int
    variant: str = "grouped"
    groups: int = 1
    attention: AttentionConfig | None = None
    gate: Literal["none", "static", "elementwise", "linear"] = "elementwise"
    activation: Literal["sigmoid", "tanh"] = "sigmoid"
    gate_init: float = 3.0
    init_std: float = 0.02
    exclude_self: bool = False
    fragments: FragmentsConfig | None = None
    thoughts: bool = True
    trained_slots: int = 0
    ageing: float = 0.0

    # no field: it has no annotation; see files.record
    left_out = frozenset({"fragments", "thoughts", "trained_slots", "ageing"})

    def __post_init__(self) -> None:
        require_types(self, "memory.")
        require(self.slots > 0, "memory.slots", self.slots, "must be positive")
        require(self.init_std > 0, "memory.init_std", self.init_std, "must be positive: equal slots never separate")
        if WRITES.get(self.variant, Registered("")).selects:
            rule = f"must be below {WRITTEN_RMS / 2}, as the {self.variant} write knows unwritten slots by their size"
            require(self.init_std < WRITTEN_RMS / 2, "memory.init_std", self.init_std, rule)
        require(self.trained_slots >= 0, "memory.trained_slots", self.trained_slots, "must not be negative")
        require(0 <= self.ageing < math.inf, "memory.ageing", self.ageing, "must be finite and not negative")
        require(self.groups > 0, "memory.groups", self.groups, "must be positive")
        require(self.variant in WRITES, "memory.variant", self.variant, f"must be one of {', '.join(WRITES)}")
        for option in OPTIONS:
            if option not in WRITES[self.variant].options:
                self._require_default(f"the {self.variant} write does not take it", option)
        if self.gate == "none":
            self._require_default("gate = 'none' has no gate", "activation", "gate_init")
        if self.attention is not None:
            require(self.attention.gate == "none", "memory.attention.gate", self.attention.gate, "must be none")

    @property
    def slots_in_training(self) -> int:
        """The slots of a layer in `memory-pretrain` and `smat`."""
        return min(self.trained_slots or self.slots, self.slots)

    def _require_default(self, reason: str, *names: str) -> None:
        """Refuse an option that this write would ignore."""
        for name in names:
            value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
            require(value == default, f"memory.{name}", value, f"must be {default!r}, as {reason}")


@dataclass(frozen=True, kw_only=True)
class Architecture(Strict):
    """Everything about a model except its vocabulary. The longest interaction has `length` tokens.

    `dense_dim` is the feed-forward width of the first stateless layer, or 0 if no layer precedes the stateful ones.
    If `copy_start`, a new model already predicts the token that it attends to (`initialise.start_copying`).
    `encoder_memory_attention` sets the heads with which encoder layers read the memory, as in the first Alpha encoders.
    With None, the encoder reads only the interaction. `head_norm` is the decoder's last norm: RMS (Beta) or layer norm
    (Alpha). `encoder_neighbours` and `decoder_neighbours` list neighbours that are mixed into every token before the
    first layer (`layers.Neighbours`). Distance 1 is the previous token; -1 is the next one, which a decoder must not
    see. Published models have no neighbours. With `copying` the decoder has a copying head (`copying.head`), whose
    slots must each hold one token. With `delta` a Gated DeltaNet that memory drives takes the place of self-attention
    in the stateful layers of the decoder. A key of `left_out` whose value is its default has no part in `config.json`
    and fingerprints: it came later than the models that have none.
    """

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
    encoder_memory_attention: AttentionConfig | None = None
    head_norm: Literal["rms", "layer"] = "rms"
    encoder_neighbours: tuple[int, ...] = ()
    decoder_neighbours: tuple[int, ...] = ()
    copying: bool = False
    delta: DeltaConfig | None = None

    left_out = frozenset({"delta"})  # as in MemoryConfig

    def __post_init__(self) -> None:
        require_types(self)
        require(self.dim > 0, "dim", self.dim, "must be positive")
        require(
            self.heads > 0 and self.dim % self.heads == 0, "heads", self.heads, f"must divide dim = {self.dim} evenly"
        )
        require(self.head_dim % 2 == 0, "heads", self.heads, f"head width dim / heads = {self.head_dim} must be even")
        require(self.stateful_layers > 0, "stateful_layers", self.stateful_layers, "must be positive")
        for name in ("initial_layers", "final_layers"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        least = min(1, self.initial_layers)
        rule = f"must be at least {least} with initial_layers = {self.initial_layers}"
        require(self.dense_dim >= least, "dense_dim", self.dense_dim, rule)
        for name in ("encoder_dim", "rope_base", "norm_eps"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be positive")
        for name, used in self._attentions().items():
            require(
                used.query_heads <= self.heads and used.kv_heads <= self.heads,
                name,
                (used.query_heads, used.kv_heads),
                f"has more heads than the nominal {self.heads}",
            )
            reads_memory = name in ("cross_attention", "encoder_memory_attention")
            require(used.gate == "none" or not reads_memory, f"{name}.gate", used.gate, "must be none")
        require(self.length > 1, "length", self.length, "must be at least 2")
        for name in ("encoder_neighbours", "decoder_neighbours"):
            offsets = getattr(self, name)
            require(len({0, *offsets}) == len(offsets) + 1, name, offsets, "must be different distances other than 0")
        rule = "must be positive, as a decoder sees no later token"
        require(min(self.decoder_neighbours, default=1) > 0, "decoder_neighbours", self.decoder_neighbours, rule)
        rule = f"must be false with the {self.memory.variant} write: its slots do not hold one token each"
        require(not self.copying or WRITES[self.memory.variant].selects, "copying", self.copying, rule)
        rule = f"must be false with dim = {self.dim}: copying needs a width that 4 divides"
        require(not self.copying or self.dim % 4 == 0, "copying", self.copying, rule)
        rule = "must be 0 without copying: the slots carry their age for a copying head"
        require(self.memory.ageing == 0 or self.copying, "memory.ageing", self.memory.ageing, rule)
        rule = "must be null without copying: queries find fragments by the words that slots carry for a copying head"
        require(self.memory.fragments is None or self.copying, "memory.fragments", self.memory.fragments, rule)
        rule = "must be null with encoder_memory_attention: an interaction is encoded alone"
        require(
            self.memory.fragments is None or self.encoder_memory_attention is None,
            "memory.fragments",
            self.memory.fragments,
            rule,
        )
        require(
            self.stateful_layers % self.memory.groups == 0,
            "memory.groups",
            self.memory.groups,
            f"must divide stateful_layers = {self.stateful_layers}",
        )
        require(
            not self.memory.exclude_self or self.stateful_layers > self.memory.groups,
            "memory.exclude_self",
            True,
            f"leaves no layer in groups of 1 (stateful_layers = groups = {self.memory.groups})",
        )

    def _attentions(self) -> dict[str, AttentionConfig]:
        """The attentions that are set, by field name."""
        names = ("decoder_attention", "cross_attention", "encoder_attention", "encoder_memory_attention")
        found = {name: getattr(self, name) for name in names} | {"memory.attention": self.memory.attention}
        return {name: used for name, used in found.items() if used is not None}

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def signature_dim(self) -> int:
        """The columns of the mark table that tell tokens apart (`copying.marks`)."""
        return self.dim // 4 if self.copying else 0

    @property
    def term_dim(self) -> int:
        """The columns of the mark table that compare the words of queries (`copying.marks`)."""
        return self.dim if self.copying else 0

    @property
    def slot_dim(self) -> int:
        """The width of encoder states and slots. With a copying head they carry a mark beside the state."""
        return self.dim + (2 * self.signature_dim + STEM_LETTERS + self.term_dim + 3 if self.copying else 0)

    def with_vocabulary(self, vocab_size: int, tokenizer_digest: str = "") -> ModelConfig:
        own = {f.name: getattr(self, f.name) for f in fields(Architecture)}
        return ModelConfig(**own, vocab_size=vocab_size, tokenizer_digest=tokenizer_digest)


@dataclass(frozen=True)
class ControlTokens(Strict):
    """The ids of the control tokens. The tokenizer fixes them."""

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

    def __post_init__(self) -> None:
        require_types(self, "tokens.")
        taken: dict[int, str] = {}
        for name, value in asdict(self).items():
            require(value >= 0, f"tokens.{name}", value, "must not be negative")
            other = taken.setdefault(value, name)
            require(other == name, f"tokens.{name}", value, f"must differ from tokens.{other}")

    @property
    def highest(self) -> int:
        """The highest control id. Content ids start above it."""
        return max(asdict(self).values())


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Architecture):
    """An architecture and its vocabulary, as stored in `config.json`."""

    vocab_size: int
    tokenizer_digest: str = ""
    tokens: ControlTokens = field(default_factory=ControlTokens)

    def __post_init__(self) -> None:
        super().__post_init__()
        highest = self.tokens.highest
        require(self.vocab_size > highest, "vocab_size", self.vocab_size, f"must exceed the control ids (0..{highest})")

    def to_json(self) -> str:
        return json.dumps(record(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read `config.json`. Raises ConfigError if a key is unknown or missing, or if a value has the wrong type."""
        return build(cls, json.loads(text), "config.json")
