"""`--config` and `--set`: what they change, and one clear line for every kind of mistake."""

from __future__ import annotations

import pytest

from jobs.context import StageError
from pipelines.fingerprint import diff, fingerprint, plain
from pipelines.overrides import known_keys, read, resolve, shown
from pipelines.presets import PRESETS

TINY = PRESETS["tiny"]()


def changes(file=None, sets=()):
    return diff(plain(resolve(TINY)), plain(resolve(TINY, file, sets)))


def test_nothing_changed_is_the_preset_itself():
    assert resolve(TINY) == TINY
    assert fingerprint(resolve(resolve(TINY))) == fingerprint(resolve(TINY))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sft.optimizer.lr=5e-4", "sft.optimizer.lr: 0.001 -> 0.0005"),
        ("memory-pretrain.seed=7", "memory_pretrain.seed: 0 -> 7"),
        ("export.name=my model", "export.name: rxt-tiny -> my model"),
        ("smat.horizon=3", "smat.horizon: null -> 3"),
        ("execution.train.workers=1", "execution.train.workers: 2 -> 1"),
        ("mrl.shuffle_rewards=true", "mrl.shuffle_rewards: false -> true"),
        ("pretrain.optimizer.betas=[0.8, 0.95]", "pretrain.optimizer.betas.0: 0.9 -> 0.8"),
        ('pretrain.model.memory.variant="simple"', "pretrain.model.memory.variant: competitive -> simple"),
        ("sft.optimizer={seed=1}", None),
        ("sft.optimizer={lr=0.5}", "sft.optimizer.lr: 0.001 -> 0.5"),
    ],
)
def test_one_value(text, line):
    if line is None:
        with pytest.raises(StageError, match="sft.optimizer.seed: unknown"):
            changes(sets=[text])
    else:
        assert changes(sets=[text]) == [line]


def test_an_integer_where_a_number_is_meant_is_the_same_number():
    assert fingerprint(resolve(TINY, None, ["sft.optimizer.clip=1"])) == fingerprint(resolve(TINY))


def test_file_holds_only_what_differs_and_set_wins(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('[sft.optimizer]\nlr = 0.5\nclip = 2\n[memory-pretrain]\nseed = 1\n[export]\nname = "x"\n')
    assert changes(file, ["sft.optimizer.lr=0.25"]) == [
        "sft.optimizer.lr: 0.001 -> 0.25",
        "sft.optimizer.clip: 1.0 -> 2.0",
        "memory_pretrain.seed: 0 -> 1",
        "export.name: rxt-tiny -> x",
    ]
    assert shown(read(file, [])) == (
        "sft.optimizer.lr=0.5", "sft.optimizer.clip=2", "memory_pretrain.seed=1", "export.name=x"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pretrain.optimzer.lr=3e-4", "pretrain.optimzer.lr: unknown; did you mean pretrain.optimizer.lr?"),
        ("pretrian.steps=3", "pretrian.steps: unknown; did you mean pretrain.steps?"),
        ("zzz=3", "zzz: unknown"),
        ("pretrain.steps", "--set pretrain.steps: not KEY=VALUE"),
        ("pretrain.optimizer.lr=fast", 'pretrain.optimizer.lr = "fast": expected a valid number'),
        ("pretrain.steps=true", "pretrain.steps = true: expected a valid integer"),
        ("pretrain.steps=1.5", "pretrain.steps = 1.5: expected a valid integer"),
        ("pretrain.steps=0", "pretrain.steps = 0: expected greater than 0"),
        ("pretrain.optimizer=3", "pretrain.optimizer = 3: expected an object"),
        ("pretrain.precision=fp8", "pretrain.precision = \"fp8\": expected 'float32' or 'bfloat16'"),
        ("pretrain.model.heads=5", "pretrain.model.heads = 5: must divide dim = 96 evenly"),
        ("pretrain.model.memory.slots=0", "pretrain.model.memory.slots = 0: must be positive"),
        ("export.name=5", "export.name = 5: expected a valid string"),
    ],
)
def test_mistakes_name_key_value_and_expectation(text, message):
    with pytest.raises(StageError) as caught:
        resolve(TINY, None, [text])
    assert str(caught.value) == message and caught.value.next_command


def test_unreadable_files(tmp_path):
    with pytest.raises(StageError, match="no such file"):
        resolve(TINY, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[sft\n")
    with pytest.raises(StageError, match="bad.toml"):
        resolve(TINY, tmp_path / "bad.toml")


def test_known_keys_reach_dataclasses_and_optional_groups():
    keys = set(known_keys())
    assert {"pretrain.model.memory.attention.kv_heads", "smat.horizon", "execution.train.workers", "sft"} <= keys


def test_every_preset_passes_its_own_checks():
    for make in PRESETS.values():
        assert resolve(make()) == make()
