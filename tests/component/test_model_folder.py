"""The hand-over folder: the same weights come back, and anything wrong is named."""

import json

import pytest
import torch

from rxt_model.checkpoint import ModelFolderError, load_pretrained, save_pretrained
from rxt_model.config import ConfigError, ModelConfig
from rxt_model.model import ReactiveTransformer
from tests.models import small_config, small_model


def test_weights_and_config_come_back(tmp_path):
    model = small_model()
    save_pretrained(model, tmp_path)
    loaded = load_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.config.tokenizer_digest == "digest"
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_model_without_mlm_head_comes_back_without_it(tmp_path):
    save_pretrained(ReactiveTransformer(small_config(), mlm_head=False), tmp_path)
    assert load_pretrained(tmp_path).mlm_head is None


def test_a_truncated_file_is_named(tmp_path):
    save_pretrained(small_model(), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelFolderError, match=r"model.safetensors: truncated or damaged"):
        load_pretrained(tmp_path)


def test_a_misfitting_tensor_is_named(tmp_path):
    save_pretrained(small_model(), tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())
    record["vocab_size"] = 65
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(ModelFolderError, match=r"first decoder.head.bias: found \(64,\), expected \(65,\)"):
        load_pretrained(tmp_path)


def test_an_unknown_config_key_is_refused():
    record = json.loads(small_config().to_json()) | {"dimm": 32}
    with pytest.raises(ConfigError, match="dimm"):
        ModelConfig.from_json(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, "heads = 5: must divide dim = 32"),
        ({"dim": 0}, "dim = 0: must be positive"),
        ({"stateful_layers": 0}, "stateful_layers = 0"),
        ({"length": 1}, "length = 1: must be at least 2"),
    ],
)
def test_impossible_shapes_name_field_value_and_rule(change, message):
    with pytest.raises(ConfigError, match=message):
        small_config(**change)
