"""The model folder: the same weights come back, and messages name anything wrong."""

import hashlib
import json
import os
from dataclasses import replace

import fsspec
import pytest
import torch
from safetensors.torch import load_file

from jobs.stage.model_folder import load_model, upload
from rxt_model.baseline import StatelessDecoder
from rxt_model.config import ConfigError, MemoryConfig, ModelConfig
from rxt_model.files.checkpoint import ModelFolderError, from_pretrained, save_pretrained
from rxt_model.files.weights import MAX_SHARD_SIZE
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState
from rxt_model.training.parallelize import parallelize
from tests.support.models import small_config, small_model
from tests.support.ranks import on_ranks


@pytest.mark.parametrize("copying", [False, True])
def test_weights_spelling_and_config_come_back(tmp_path, copying):
    model = small_model(memory=MemoryConfig(slots=6, variant="selective"), copying=copying)
    model.spell(torch.randint(0, 256, (model.config.vocab_size, 6)))
    save_pretrained(model, tmp_path)
    loaded = from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.config.tokenizer_digest == "digest"
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_model_without_mlm_head_comes_back_without_it(tmp_path):
    save_pretrained(ReactiveTransformer(small_config(), mlm_head=False), tmp_path)
    assert from_pretrained(tmp_path).mlm_head is None


SHARD = 15_000  # bytes; some tensors are larger and have a file each


@pytest.fixture
def sharded(tmp_path):
    save_pretrained(small_model(), tmp_path, max_shard_size=SHARD)
    return tmp_path


def save_on_two(rank, folder):
    for most in (SHARD, MAX_SHARD_SIZE):
        model = parallelize(small_model(), 2, shard="block", expert_parallel=2)
        for place in (f"shared-{most}", f"own-{most}/{rank}"):
            save_pretrained(model, f"{folder}/{place}", max_shard_size=most)


def test_two_ranks_that_share_a_model_write_the_files_of_one(tmp_path):
    on_ranks(2, save_on_two, str(tmp_path))
    for most in (SHARD, MAX_SHARD_SIZE):
        save_pretrained(small_model(), tmp_path / "alone", max_shard_size=most)
        alone, shared, first, second = (
            {path.name: path.read_bytes() for path in (tmp_path / place).iterdir()}
            for place in ("alone", f"shared-{most}", f"own-{most}/0", f"own-{most}/1")
        )
        assert shared == first | second == alone
        weights = sorted(name for name in alone if name.endswith(".safetensors"))
        assert sorted(second) == weights[1::2] and first.keys() & second.keys() == set()


def test_large_weights_are_sharded_in_the_layout_of_the_ecosystem(sharded):
    state = small_model().state_dict()
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in sharded.glob("*.safetensors"))
    assert len(files) > 3
    assert files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    assert {path.name for path in sharded.iterdir()} == {*files, "config.json", "model.safetensors.index.json"}
    assert index["metadata"] == {"total_size": sum(tensor.nbytes for tensor in state.values())}
    assert set(index["weight_map"].values()) == set(files)
    loaded = {}
    for file in files:
        shard = load_file(sharded / file)
        assert {name for name, place in index["weight_map"].items() if place == file} == shard.keys()
        assert len(shard) == 1 or sum(tensor.nbytes for tensor in shard.values()) <= SHARD
        loaded |= shard
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_shards_come_back_from_disk_and_from_an_object_store(sharded):
    upload(sharded, "memory://models/sharded")
    for loaded in (from_pretrained(sharded), load_model("memory://models/sharded")):
        assert all(torch.equal(loaded.state_dict()[name], t) for name, t in small_model().state_dict().items())
    assert fsspec.filesystem("memory").exists("/models/sharded/model.safetensors.index.json")


def test_half_precision_and_the_baseline_come_back_as_they_were(tmp_path):
    model = StatelessDecoder(small_config()).to(torch.bfloat16)
    save_pretrained(model, tmp_path, max_shard_size=SHARD)
    loaded = from_pretrained(tmp_path)
    assert isinstance(loaded, StatelessDecoder)
    assert all(torch.equal(loaded.state_dict()[name], t) for name, t in model.state_dict().items())
    assert loaded.embedding.weight.dtype == torch.bfloat16


def test_a_folder_that_is_written_again_holds_the_new_model_alone(sharded):
    save_pretrained(small_model(1), sharded)
    assert {path.name for path in sharded.iterdir()} == {"config.json", "model.safetensors"}
    assert torch.equal(from_pretrained(sharded).embedding.weight, small_model(1).embedding.weight)
    save_pretrained(small_model(2), sharded, max_shard_size=2 * SHARD)
    assert not (sharded / "model.safetensors").exists()
    assert torch.equal(from_pretrained(sharded).embedding.weight, small_model(2).embedding.weight)


def refused(folder, message):
    with pytest.raises(ModelFolderError, match=message):
        from_pretrained(folder)


def shard(folder, number):
    return sorted(folder.glob("model-*.safetensors"))[number]


@pytest.mark.parametrize("cut", [-100, 100, 4, 0])
def test_a_truncated_file_is_named(tmp_path, cut):
    save_pretrained(small_model(), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    refused(tmp_path, r"model.safetensors: truncated or damaged")


def test_a_truncated_or_missing_shard_is_named(sharded):
    part = shard(sharded, 1)
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    refused(sharded, rf"{part.name}: truncated or damaged")
    part.write_bytes(b"<html>" + whole)
    refused(sharded, rf"{part.name}: truncated or damaged")
    part.unlink()
    refused(sharded, rf"{part.name}: not found")


def test_a_shard_that_holds_other_tensors_than_the_index_says_is_named(sharded):
    first, second = shard(sharded, 0), shard(sharded, 1)
    name = sorted(load_file(first))[0]
    first.write_bytes(second.read_bytes())
    refused(sharded, rf"{first.name}: \d+ tensors do not fit model.safetensors.index.json, first \S+: ")
    first.unlink()
    index = sharded / "model.safetensors.index.json"
    record = json.loads(index.read_text())
    record["weight_map"] = {k: v for k, v in record["weight_map"].items() if v != first.name}
    index.write_text(json.dumps(record))
    assert name not in record["weight_map"]
    refused(sharded, r"index.json: \d+ tensors do not fit config.json, first \S+: found no such tensor, expected \(")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "index.json: damaged"),
        ("[]", "index.json: damaged"),
        ('{"metadata": {}}', "index.json: damaged"),
        ('{"weight_map": {"a": "../model.safetensors"}}', r"index.json: names the file '../model.safetensors'"),
    ],
)
def test_a_damaged_index_is_named(sharded, text, message):
    (sharded / "model.safetensors.index.json").write_text(text)
    refused(sharded, message)


def test_a_folder_of_two_models_is_refused(sharded, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    save_pretrained(small_model(1), other)
    (other / "model.safetensors").rename(sharded / "model.safetensors")
    refused(sharded, "holds both model.safetensors and model.safetensors.index.json; expected one of them")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", r"config.json: not found; a model folder holds config.json"),
        ("model.safetensors", r"model.safetensors: not found"),
    ],
)
def test_a_missing_file_is_named(tmp_path, name, message):
    save_pretrained(small_model(), tmp_path)
    (tmp_path / name).unlink()
    refused(tmp_path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 65}, r"first decoder.head.bias: found \(64,\), expected \(65,\)"),
        ({"final_layers": 2}, r"first decoder.final.1.\S+: found no such tensor, expected \("),
        ({"final_layers": 0}, r"first decoder.final.0.\S+: found \(.*\), expected no such tensor"),
        ({"kind": "baseline"}, r"first decoder.stateful.0.memory\S+: found \(32,\), expected no such tensor"),
        ({"kind": "llama"}, r"config.json: kind = 'llama'; expected rxt or baseline"),
    ],
)
def test_tensors_that_do_not_fit_the_config_are_named(tmp_path, change, message):
    save_pretrained(small_model(), tmp_path)
    record = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(record))
    refused(tmp_path, message)


def test_a_config_that_is_no_json_is_named(tmp_path):
    save_pretrained(small_model(), tmp_path)
    (tmp_path / "config.json").write_text('{"dim": 32')
    refused(tmp_path, "config.json: damaged")
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path, "config.json: kind = None")


def test_the_tokenizer_goes_along_and_another_one_is_refused(tmp_path):
    text, other = '{"model": "ł"}', '{"model": "l"}'
    digest = hashlib.sha256(text.encode()).hexdigest()
    model = ReactiveTransformer(replace(small_config(), tokenizer_digest=digest))
    with pytest.raises(ModelFolderError, match=rf"tokenizer.json: not the tokenizer .* expected {digest}"):
        save_pretrained(model, tmp_path / "new", tokenizer_json=other)
    assert not (tmp_path / "new").exists()
    save_pretrained(model, tmp_path, tokenizer_json=text)
    assert from_pretrained(tmp_path).config.tokenizer_digest == digest
    (tmp_path / "tokenizer.json").write_text(other, encoding="utf-8")
    refused(tmp_path, rf"found sha256 {hashlib.sha256(other.encode()).hexdigest()}, expected {digest}")
    save_pretrained(model, tmp_path)
    assert not (tmp_path / "tokenizer.json").exists() and from_pretrained(tmp_path).config.tokenizer_digest == digest
    save_pretrained(model, tmp_path, tokenizer_json=text)
    save_pretrained(from_pretrained(tmp_path), tmp_path)
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == text


def test_a_write_that_fails_leaves_no_folder_that_looks_complete(tmp_path, monkeypatch):
    save_pretrained(small_model(), tmp_path)
    monkeypatch.setattr(
        "rxt_model.files.weights.save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_pretrained(small_model(1), tmp_path, max_shard_size=SHARD)
    refused(tmp_path, "config.json: not found")


def test_a_power_cut_leaves_whole_files(tmp_path, monkeypatch):
    """A file is brought to the disk before it gets its name, and its name afterwards."""
    events, sync, replace = [], os.fsync, os.replace

    def syncing(descriptor):
        events.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def replacing(source, target):
        events.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    save_pretrained(small_model(), tmp_path, max_shard_size=SHARD)
    files = [path.stat().st_ino for path in tmp_path.iterdir()]
    replaced = [place for place, (kind, _) in enumerate(events) if kind == "replace"]
    assert len(replaced) == len(files) > 2
    assert {events[place][1] for place in replaced} == set(files)
    for place in replaced:
        file, folder = events[place][1], tmp_path.stat().st_ino
        assert events[place - 1 : place + 2] == [("sync", file), ("replace", file), ("sync", folder)]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_are_readable_for_whom_the_umask_says(tmp_path, umask, mode):
    model = small_model()
    before = os.umask(umask)
    try:
        for most in (SHARD, MAX_SHARD_SIZE):
            save_pretrained(model, tmp_path, max_shard_size=most)
            assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}
        ConversationState.new(model).save(tmp_path / "state.safetensors", model)
    finally:
        os.umask(before)
    assert (tmp_path / "state.safetensors").stat().st_mode & 0o777 == mode


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
