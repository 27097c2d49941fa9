"""Configurations: what cannot be built is refused with field, value and rule, and older files keep their meaning."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from rxt_model.config import AttentionConfig, ConfigError, ControlTokens, MemoryConfig, ModelConfig, MoEConfig
from rxt_model.family import FAMILY
from rxt_model.memory.registry import WRITES
from tests.support.models import small_config

ADDED = {"encoder_memory_attention": None, "head_norm": "rms", "encoder_neighbours": [], "decoder_neighbours": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(heads=3), "heads = 3: must divide dim = 32 evenly"),
        (dict(heads=32), "heads = 32: head width dim / heads = 1 must be even"),
        (dict(initial_layers=-1), "initial_layers = -1: must not be negative"),
        (dict(final_layers=-1), "final_layers = -1: must not be negative"),
        (dict(dense_dim=0), "dense_dim = 0: must be at least 1 with initial_layers = 1"),
        (dict(encoder_dim=0), "encoder_dim = 0: must be positive"),
        (dict(rope_base=0.0), "rope_base = 0.0: must be positive"),
        (dict(norm_eps=0.0), "norm_eps = 0.0: must be positive"),
        (dict(length=64.0), "length = 64.0: must be int"),
        (dict(encoder_neighbours=(1, 0)), "encoder_neighbours = (1, 0): must be different distances other than 0"),
        (dict(encoder_neighbours=(1, 1)), "encoder_neighbours = (1, 1): must be different distances other than 0"),
        (dict(encoder_neighbours=[1]), "encoder_neighbours = [1]: must be a list of int"),
        (dict(encoder_neighbours=(1.0,)), "encoder_neighbours = (1.0,): must be a list of int"),
        (
            dict(decoder_neighbours=(1, -1)),
            "decoder_neighbours = (1, -1): must be positive, as a decoder sees no later",
        ),
        (dict(head_norm="batch"), "head_norm = 'batch': must be one of rms, layer"),
        (
            dict(decoder_attention=AttentionConfig(8, 2)),
            "decoder_attention = (8, 2): has more heads than the nominal 4",
        ),
        (
            dict(cross_attention=AttentionConfig(2, 1, gate="headwise")),
            "cross_attention.gate = 'headwise': must be none",
        ),
        (
            dict(encoder_memory_attention=AttentionConfig(2, 1, gate="elementwise")),
            "encoder_memory_attention.gate = 'elementwise': must be none",
        ),
        (
            dict(memory=MemoryConfig(slots=4, attention=AttentionConfig(8, 8))),
            "memory.attention = (8, 8): has more heads than the nominal 4",
        ),
        (
            dict(memory=MemoryConfig(slots=4, variant="grouped", groups=3)),
            "memory.groups = 3: must divide stateful_layers = 2",
        ),
        (
            dict(memory=MemoryConfig(slots=4, variant="grouped", groups=2, exclude_self=True)),
            "memory.exclude_self = True: leaves no layer in groups of 1",
        ),
    ],
    ids=str,
)
def test_an_impossible_architecture_is_refused(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        small_config(**change)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (AttentionConfig, dict(query_heads=0, kv_heads=1), "query_heads = 0: must be positive"),
        (AttentionConfig, dict(query_heads=4, kv_heads=0), "kv_heads = 0: must be positive"),
        (AttentionConfig, dict(query_heads=4, kv_heads=3), "kv_heads = 3: must divide query_heads = 4"),
        (
            AttentionConfig,
            dict(query_heads=4, kv_heads=4, gate="on"),
            "gate = 'on': must be one of none, elementwise, headwise",
        ),
        (MoEConfig, dict(experts=0, top_k=1, expert_dim=8), "moe.experts = 0: must be positive"),
        (MoEConfig, dict(experts=4, top_k=5, expert_dim=8), "moe.top_k = 5: must be 1 to experts = 4"),
        (MoEConfig, dict(experts=4, top_k=0, expert_dim=8), "moe.top_k = 0: must be 1 to experts = 4"),
        (MoEConfig, dict(experts=4, top_k=2, expert_dim=0), "moe.expert_dim = 0: must be positive"),
        (
            MoEConfig,
            dict(experts=4, top_k=2, expert_dim=8, shared_experts=-1, shared_dim=8),
            "moe.shared_experts = -1: must not be negative",
        ),
        (
            MoEConfig,
            dict(experts=4, top_k=2, expert_dim=8, shared_experts=2),
            "moe.shared_dim = 0: needs shared_experts > 0",
        ),
        (
            MoEConfig,
            dict(experts=4, top_k=2, expert_dim=8, bias="global"),
            "moe.bias = 'global': must be one of layer, expert",
        ),
        (MemoryConfig, dict(slots=0), "memory.slots = 0: must be positive"),
        (
            MemoryConfig,
            dict(slots=4, variant="self-interlayer"),
            f"memory.variant = 'self-interlayer': must be one of {', '.join(WRITES)}",
        ),
        (
            MemoryConfig,
            dict(slots=4, gate="dynamic"),
            "memory.gate = 'dynamic': must be one of none, static, elementwise, linear",
        ),
        (MemoryConfig, dict(slots=4, activation="relu"), "memory.activation = 'relu': must be one of sigmoid, tanh"),
        (MemoryConfig, dict(slots=4, groups=0), "memory.groups = 0: must be positive"),
        (
            MemoryConfig,
            dict(slots=4, variant="gated", groups=2),
            "memory.groups = 2: must be 1, as the gated write does not take it",
        ),
        (
            MemoryConfig,
            dict(slots=4, attention=AttentionConfig(2, 2, gate="headwise")),
            "memory.attention.gate = 'headwise': must be none",
        ),
        (
            MemoryConfig,
            dict(slots=4, variant="competitive", attention=AttentionConfig(2, 2)),
            "memory.attention = AttentionConfig(query_heads=2, kv_heads=2, gate='none', output_bias=False, "
            "qk_norm=False): must be None, as the competitive write does not take it",
        ),
        *(
            (MemoryConfig, dict(slots=4, variant="competitive") | {name: value}, f"memory.{name} = {value!r}: {rule}")
            for name, value, rule in (
                ("gate", "linear", "must be 'elementwise', as the competitive write does not take it"),
                ("activation", "tanh", "must be 'sigmoid', as the competitive write does not take it"),
                ("gate_init", 1.0, "must be 3.0, as the competitive write does not take it"),
                ("groups", 2, "must be 1, as the competitive write does not take it"),
                ("exclude_self", True, "must be False, as the competitive write does not take it"),
            )
        ),
        (
            MemoryConfig,
            dict(slots=4, variant="self", exclude_self=True),
            "memory.exclude_self = True: must be False, as the self write does not take it",
        ),
        (
            MemoryConfig,
            dict(slots=4, gate="none", gate_init=1.0),
            "memory.gate_init = 1.0: must be 3.0, as gate = 'none' has no gate",
        ),
        (MoEConfig, dict(experts=8.0, top_k=2, expert_dim=4), "moe.experts = 8.0: must be int"),
        (MoEConfig, dict(experts=8, top_k=2.5, expert_dim=4), "moe.top_k = 2.5: must be int"),
        (MemoryConfig, dict(slots=6.0), "memory.slots = 6.0: must be int"),
        (AttentionConfig, dict(query_heads=2, kv_heads=True), "kv_heads = True: must be int"),
        (ControlTokens, dict(pad=-1), "tokens.pad = -1: must not be negative"),
        (ControlTokens, dict(query=3), "tokens.query = 3: must differ from tokens.eos"),
        (ControlTokens, dict(mask=4.0), "tokens.mask = 4.0: must be int"),
    ],
    ids=str,
)
def test_an_impossible_part_is_refused(kind, values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        kind(**values)


def test_a_vocabulary_that_does_not_hold_the_control_tokens_is_refused():
    with pytest.raises(ConfigError, match=re.escape("vocab_size = 10: must exceed the control ids (0..10)")):
        replace(small_config(), vocab_size=10)


@pytest.mark.parametrize("name", FAMILY)
def test_published_configs_come_back_from_their_files(name):
    config = FAMILY[name].config
    assert ModelConfig.from_json(config.to_json()) == config


def test_a_file_from_before_a_field_existed_means_what_it_meant():
    record = json.loads(small_config().to_json())
    assert {name: record.pop(name) for name in ADDED} == ADDED
    assert record["moe"].pop("bias") == "layer" and record["moe"].pop("selection_bias") is False
    for name in ("decoder_attention", "cross_attention", "encoder_attention"):
        assert record[name].pop("qk_norm") is False
    assert ModelConfig.from_json(json.dumps(record)) == small_config()


def test_a_file_with_an_unknown_choice_is_refused():
    record = json.loads(small_config().to_json())
    record["memory"]["variant"] = "grouped-self"
    with pytest.raises(ConfigError, match="memory.variant = 'grouped-self'"):
        ModelConfig.from_json(json.dumps(record))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["dim"], "config.json: dim is missing; must be int"),
        (["vocab_size"], "config.json: vocab_size is missing; must be int"),
        (["memory"], "config.json: memory is missing; must be object"),
        (["moe", "top_k"], "config.json: moe: top_k is missing; must be int"),
        (["cross_attention", "kv_heads"], "config.json: cross_attention: kv_heads is missing; must be int"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, list) else None,
)
def test_a_file_without_a_key_is_refused(path, message):
    record = json.loads(small_config().to_json())
    *parents, key = path
    part = record
    for parent in parents:
        part = part[parent]
    del part[key]
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        ModelConfig.from_json(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": "512"}, "config.json: dim = '512': must be int"),
        ({"dim": 512.0}, "config.json: dim = 512.0: must be int"),
        ({"length": True}, "config.json: length = True: must be int"),
        ({"moe": None}, "config.json: moe = None: must be object"),
        ({"memory": [6]}, "config.json: memory = [6]: must be object"),
        ({"memory": {"slots": "6"}}, "config.json: memory: slots = '6': must be int"),
        ({"rope_base": "1e4"}, "config.json: rope_base = '1e4': must be float"),
        ({"copy_start": 1}, "config.json: copy_start = 1: must be bool"),
        ({"tokenizer_digest": None}, "config.json: tokenizer_digest = None: must be str"),
        ({"encoder_memory_attention": 4}, "config.json: encoder_memory_attention = 4: must be object or null"),
        ({"head_norm": ["rms"]}, "head_norm = ['rms']: must be one of rms, layer"),
    ],
    ids=str,
)
def test_a_file_with_a_value_of_another_type_is_refused(change, message):
    record = json.loads(small_config().to_json()) | change
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        ModelConfig.from_json(json.dumps(record))


def test_a_file_that_is_no_object_is_refused():
    with pytest.raises(ConfigError, match=re.escape("config.json = [1]: must be object")):
        ModelConfig.from_json("[1]")


def test_a_whole_number_may_stand_for_a_float():
    record = json.loads(small_config().to_json()) | {"rope_base": 10_000}
    assert ModelConfig.from_json(json.dumps(record)) == small_config()
