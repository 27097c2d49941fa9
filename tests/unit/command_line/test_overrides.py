"""`--config` and `--set`: what they change, and one clear line for every kind of mistake."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from jobs.stage.context import StageError
from pipelines.fingerprint import diff, fingerprint, flatten, plain
from pipelines.overrides import known_keys, read, resolve, settings, shown
from pipelines.presets import PRESETS
from pipelines.session import Session

TINY = PRESETS["tiny"]()  # tuned now and then: what it says is read from it
BEFORE = {key: json.dumps(value).strip('"') for key, value in flatten(plain(TINY))}


def changes(file=None, sets=()):
    return diff(plain(resolve(TINY)), plain(resolve(TINY, file, sets)))


def test_nothing_changed_is_the_preset_itself():
    assert resolve(TINY) == TINY
    assert fingerprint(resolve(resolve(TINY))) == fingerprint(resolve(TINY))


@pytest.mark.parametrize(
    ("text", "key", "after"),
    [
        ("sft.optimizer.lr=1.25e-4", "sft.optimizer.lr", "0.000125"),
        ("memory-pretrain.seed=71", "memory_pretrain.seed", "71"),
        ("export.name=my model", "export.name", "my model"),
        ("smat.horizon=31", "smat.horizon", "31"),
        ("execution.train.workers=17", "execution.train.workers", "17"),
        ("conversations.dialogues.held_out=true", "conversations.dialogues.held_out", "true"),
        ("pretrain.optimizer.betas=[0.81, 0.95]", "pretrain.optimizer.betas.0", "0.81"),
        ('pretrain.model.head_norm="layer"', "pretrain.model.head_norm", "layer"),
        ("sft.optimizer={lr=0.5}", "sft.optimizer.lr", "0.5"),
    ],
)
def test_one_value(text, key, after):
    assert changes(sets=[text]) == [f"{key}: {BEFORE[key]} -> {after}"]


def test_an_integer_where_a_number_is_meant_is_the_same_number():
    one, also_one = ["sft.optimizer.clip=1"], ["sft.optimizer.clip=1.0"]
    assert fingerprint(resolve(TINY, None, one)) == fingerprint(resolve(TINY, None, also_one))


def test_file_holds_only_what_differs_and_set_wins(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('[sft.optimizer]\nlr = 0.5\nclip = 2.5\n[memory-pretrain]\nseed = 71\n[export]\nname = "x"\n')
    assert changes(file, ["sft.optimizer.lr=0.25"]) == [
        f"sft.optimizer.lr: {BEFORE['sft.optimizer.lr']} -> 0.25",
        f"sft.optimizer.clip: {BEFORE['sft.optimizer.clip']} -> 2.5",
        f"memory_pretrain.seed: {BEFORE['memory_pretrain.seed']} -> 71",
        f"export.name: {BEFORE['export.name']} -> x",
    ]
    assert shown(read(file, [])) == (
        "sft.optimizer.lr=0.5", "sft.optimizer.clip=2.5", "memory_pretrain.seed=71", "export.name=x"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pretrain.optimzer.lr=3e-4", "pretrain.optimzer.lr: unknown; did you mean pretrain.optimizer.lr?"),
        ("pretrian.steps=3", "pretrian.steps: unknown; did you mean pretrain.steps?"),
        ("zzz=3", "zzz: unknown"),
        ("pretrain.steps", "--set pretrain.steps: not KEY=VALUE"),
        ("=3", "--set =3: not KEY=VALUE"),
        ("pretrain.optimizer.lr=fast", 'pretrain.optimizer.lr = "fast": expected a valid number'),
        ("pretrain.steps=true", "pretrain.steps = true: expected a valid integer"),
        ("pretrain.steps=1.5", "pretrain.steps = 1.5: expected a valid integer"),
        ("pretrain.steps=0", "pretrain.steps = 0: expected greater than 0"),
        ("pretrain.optimizer=3", "pretrain.optimizer = 3: expected an object"),
        ("pretrain.precision=fp8", "pretrain.precision = \"fp8\": expected 'float32' or 'bfloat16'"),
        (
            "pretrain.model.heads=7",
            f"pretrain.model.heads = 7: must divide dim = {BEFORE['pretrain.model.dim']} evenly",
        ),
        ("corpus.sources.0.max_bytes=3", "corpus.sources.0.max_bytes: unknown; did you mean corpus.sources?"),
        ("sft.optimizer={seed=1}", "sft.optimizer.seed: unknown; did you mean sft.optimizer?"),
        ("pretrain.model.memory.slots=0", "pretrain.model.memory.slots = 0: must be positive"),
        ("smat.seed=-1", "smat.seed = -1: expected greater than or equal to 0"),
        ("evaluate.seed=4294967296", "evaluate.seed = 4294967296: expected less than 4294967296"),
        ("export.name=5", "export.name = 5: expected a valid string"),
        ("sft.optimizer.lr=inf", "sft.optimizer.lr = Infinity: expected a finite number"),
        (
            "pretrain.loss.noise=[-1, -1]",
            "pretrain.loss.noise.0 = -1: expected greater than or equal to 0\n"
            "  pretrain.loss.noise.1 = -1: expected greater than or equal to 0",
        ),
        ("conversations.dialogues.turns=[8, 3]", "conversations.dialogues.turns = [8, 3]: must not fall"),
        ("tokenizer.dialogue_plan.facts=[5, 1]", "tokenizer.dialogue_plan.facts = [5, 1]: must not fall"),
        (
            "corpus={validation_fraction=0.5, test_fraction=0.5}",
            "corpus.validation_fraction + test_fraction = 1: must be below 1",
        ),
        ("smat.phases=[]", "smat.phases = []: expected at least 1 item"),
        (
            "smat.phases=[{until=2, turns=2, train=[]}]",
            "smat.phases.0.train = []: expected at least 1 item",
        ),
        (
            'smat.phases=[{until=9, turns=2, train=["memory"]}, {until=5, turns=2, train=["memory"]}]',
            "smat.phases.1.until = 5: must be above 9, where it begins",
        ),
        (
            'smat.phases=[{until=800, turns=2, train=["decoder"]}, {until=900, turns=2, train=["decoder"]}]',
            f"smat.phases.1 begins at step 800: must be below steps = {TINY.smat.steps}",
        ),
        (
            'corpus.sources=[{name="x", kind="files", language="en", licence="MIT"}]',
            "corpus.sources.0.path = '': source 'x' of kind 'files' needs one",
        ),
    ],
)
def test_mistakes_name_key_value_and_expectation(text, message):
    with pytest.raises(StageError) as caught:
        resolve(TINY, None, [text])
    assert str(caught.value) == message and caught.value.remedy


SOURCE = 'name="ü \\"x\\"", kind="files", path="s3://b/*", language="pl", licence="MIT"'
CHANGED = [
    f"corpus.sources=[{{{SOURCE}}}]",
    'text.weights={fortunes-pl=0.5, "a.b"=2}',
    "memory-pretrain.optimizer.betas=[0.5, 0.75]",
    "smat.horizon=3",
    'export.name="5"',
]


@pytest.mark.parametrize("sets", [[], CHANGED])
def test_what_is_shown_can_be_set(sets, tmp_path):
    """This holds for all of it as a file, and line by line. Lists are shown whole."""
    config = resolve(TINY, None, sets)
    lines = list(settings(config))
    file = tmp_path / "all.toml"
    file.write_text("\n".join(lines))
    entries = "\n".join(line for line in lines if not line.startswith("#"))
    one_by_one = dict(entry.split(" = ", 1) for entry in re.split(r"\n(?![ \]])", entries))
    assert resolve(TINY, file) == resolve(TINY, None, [f"{key}={value}" for key, value in one_by_one.items()]) == config
    assert {"corpus.sources", "smat.phases", "pretrain.optimizer.betas", "text.weights"} <= one_by_one.keys()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["pretrain.steps=12:30:00"], "pretrain.steps: no setting takes a date or a time"),
        (["pretrain.optimizer.lr=2024-01-01"], "pretrain.optimizer.lr: no setting takes a date or a time"),
        (["corpus.sources=5", 'corpus.sources.add=[{name="x"}]'], "corpus.sources = 5: expected a list"),
        ([f"pretrain.steps={'9' * 5000}"], "pretrain.steps = .*expected a valid integer"),
        ([f"pretrain.steps=0x{'9' * 5000}"], "pretrain.steps: Exceeds the limit"),
        ([f"corpus.sources={'[' * 3000}"], "corpus.sources = "),
        ([f"corpus.sources={'[' * 250}{']' * 250}"], "recursion limit exceeded"),
        (["export.name=\udcff"], "--set export.name: its value is no UTF-8"),
    ],
)
def test_a_value_that_no_setting_takes_is_one_clear_line(sets, message):
    with pytest.raises(StageError, match=message):
        resolve(TINY, None, sets)


@pytest.mark.parametrize("text", [f"[pretrain]\nsteps = {'9' * 5000}\n", f"[corpus]\nsources = {'[' * 3000}\n"])
def test_a_file_that_no_parser_takes(tmp_path, text):
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(StageError, match="--config .*my.toml: "):
        resolve(TINY, file)


def test_a_key_that_a_file_spells_in_two_ways_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[memory-pretrain]\nsteps = 6\n[memory_pretrain]\nbatch_size = 4\nsteps = 7\n")
    with pytest.raises(StageError, match="^memory_pretrain.steps is set twice; a dash"):
        read(file, [])


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('[export]\nname = "x"\n', encoding="utf-8-sig")
    assert shown(read(file, [])) == ("export.name=x",)


def test_a_pipe_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    reading, writing = os.pipe()
    os.write(writing, b'[export]\nname = "x"\n')
    os.close(writing)
    session = Session.open("tiny", Path(f"/dev/fd/{reading}"), [])
    os.close(reading)
    assert session.config.export.name == "x" and session.invocation.overrides == ("export.name=x",)


def test_a_mapping_with_names_of_the_users_own_is_one_value():
    assert shown(read(None, ['text.weights={fortunes-pl=0.5, "a.b"=2}'])) == (
        'text.weights={fortunes-pl = 0.5, "a.b" = 2}',
    )


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


@pytest.mark.parametrize("by_file", [True, False])
def test_a_setting_that_holds_a_login_is_refused_since_settings_are_recorded(tmp_path, by_file):
    path = "https://u:hush-hush@h/x.txt"
    source = f'{{ name = "x", kind = "files", path = "{path}", language = "en", licence = "CC0-1.0" }}'
    file = tmp_path / "my.toml"
    file.write_text(f"corpus.sources = [{source}]")
    arguments = (file, []) if by_file else (None, [f"corpus.sources=[{source}]"])
    with pytest.raises(StageError, match="corpus.sources holds a login") as error:
        resolve(PRESETS["tiny"](), *arguments)
    assert "hush" not in str(error.value)


def test_what_is_added_to_a_list_follows_what_the_preset_has(tmp_path):
    more = {"name": "mine", "kind": "files", "path": "x.txt", "language": "en", "licence": "MIT"}
    line = ", ".join(f'{name} = "{value}"' for name, value in more.items())
    file = tmp_path / "mine.toml"
    file.write_text(f"[[corpus.sources.add]]\n{line.replace(', ', chr(10))}\n")
    tiny = PRESETS["tiny"]()
    for changed in (resolve(tiny, file), resolve(tiny, sets=[f"corpus.sources.add=[{{{line}}}]"])):
        assert changed.corpus.sources[:-1] == resolve(tiny).corpus.sources
        assert (changed.corpus.sources[-1].name, changed.corpus.sources[-1].path) == ("mine", "x.txt")
    both = resolve(tiny, file, [f"corpus.sources=[{{{line.replace('mine', 'other')}}}]"])
    assert [source.name for source in both.corpus.sources] == ["other"]
    assert len(resolve(tiny, sets=["corpus.benchmarks.add=[{name = 'exam', path = 'x'}]"]).corpus.benchmarks) == 1
    for wrong, told in (("corpus.sources.add=1", "expected a list"), ("corpus.source.add=[]", "did you mean")):
        with pytest.raises(StageError, match=told):
            resolve(tiny, sets=[wrong])
    with pytest.raises(StageError, match="two sources are named 'chitchat-dataset'"):
        resolve(tiny, sets=[f"corpus.sources.add=[{{{line.replace('mine', 'chitchat-dataset')}}}]"])
