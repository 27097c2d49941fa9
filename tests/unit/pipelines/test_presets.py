"""Every preset: it plans without heavy imports, and holds what its stages ask of it before and while they run."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest
import torch

from jobs.training.fit import _check_execution
from pipelines.code_digest import ROOT
from pipelines.curriculum import curriculum
from pipelines.fingerprint import fingerprint, plain
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from rxt_model.baseline import StatelessDecoder, matching_config
from rxt_model.family import FAMILY
from rxt_model.model import ReactiveTransformer
from rxt_model.moe.expert_parallel import check_degree
from rxt_model.size import active_parameters, parameters
from tests.support.processes import SECONDS
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.dialogues.wording import generate
from tokenization.records import LANGUAGES

TRAINED = [name for name, make in PRESETS.items() if make().model]  # all of them with every section, but perhaps `mrl`
PUBLISHED = {"micro": "alpha-micro", "beta": "beta", "alpha": "alpha-micro-v1"}  # whose shape a preset has


@pytest.fixture(params=TRAINED)
def preset(request):
    return resolve(PRESETS[request.param]())


def shape(preset):
    return preset.model.with_vocabulary(preset.tokenizer.vocab_size)


def test_presets_are_planned_without_heavy_imports():
    code = """
import sys
from pipelines.curriculum import curriculum
from pipelines.fingerprint import fingerprint
from pipelines.presets import PRESETS
digests = {stage.name + name: fingerprint(stage.config) for name in PRESETS for stage in curriculum(PRESETS[name]())}
print(len(digests), sorted({"torch", "ray", "mlflow", "datasets", "pyarrow"} & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    stages = [stage for make in PRESETS.values() for stage in curriculum(make())]
    assert run.stdout.split() == [str(len(stages)), "[]"]


def test_no_two_presets_share_a_corpus_or_a_model():
    """But `hour` reads the corpus of `tiny`."""
    for name, shared in [("corpus", 1), ("tokenizer", 0), ("model", 0)]:
        assert len({fingerprint(getattr(make(), name)) for make in map(PRESETS.get, TRAINED)}) == len(TRAINED) - shared
    assert PRESETS["hour"]().corpus == PRESETS["tiny"]().corpus


@pytest.mark.parametrize(
    ("name", "whole", "decoder_active"), [("micro", 12_718_744, 3_522_124), ("beta", 2_961_558_528, 194_807_808)]
)
def test_a_published_shape_has_the_figures_of_its_card(name, whole, decoder_active):
    config = shape(PRESETS[name]())
    assert config == FAMILY[PUBLISHED[name]].config
    with torch.device("meta"):
        model = ReactiveTransformer(config)
    assert parameters(model) == whole
    assert parameters(model.embedding) + active_parameters(model.decoder) == decoder_active


def test_rows_fit_the_model(preset):
    model, shards = shape(preset), (preset.interactions, preset.conversations, preset.episodes)
    assert {data.length for data in shards if data} == {model.length}
    assert preset.tokenizer.vocab_size > len(SPECIAL_TOKENS) + 256


def test_every_worker_has_rows_and_experts(preset):
    """`jobs.training.fit` and `parallelize` check this when a stage starts, for the baseline as for the model."""
    execution = preset.execution.train
    for stage in curriculum(preset):
        if stage.function.startswith("jobs.training."):
            _check_execution(stage.name, stage.config, execution)
    with torch.device("meta"):
        models = [ReactiveTransformer(shape(preset))]
        if execution.expert_parallel > 1:
            models.append(StatelessDecoder(matching_config(shape(preset))))
    for model in models:
        check_degree(model, execution.workers, execution.expert_parallel)


def test_the_baseline_sees_as_many_rows_as_the_model(preset):
    def rows(*parts):
        return sum(part.steps * part.batch_size for part in parts)

    first = getattr(preset, preset.curriculum[0])
    assert rows(preset.baseline.text) == rows(first)
    assert rows(preset.baseline.interactions) == rows(preset.sft)
    wanted = rows(preset.memory_pretrain, preset.smat)
    assert abs(rows(preset.baseline.conversations) - wanted) <= 0.05 * wanted


def test_phases_end_with_the_stage_and_conversations_are_as_long(preset):
    last = preset.smat.phases[-1]
    assert last.until == preset.smat.steps
    plans = [plan for plan in (preset.conversations.dialogues, preset.conversations.longer) if plan]
    assert last.turns <= max(plan.turns[1] for plan in plans) <= preset.conversations.longest
    assert not preset.mrl or preset.mrl.turns[1] <= preset.episodes.dialogues.turns[1]


def test_dialogues_can_be_generated(preset):
    sections = (preset.interactions, preset.conversations, preset.episodes)
    plans = {
        preset.tokenizer.dialogue_plan,
        preset.conversations.longer,
        *(data.dialogues for data in sections if data),
    }
    for spec in plans - {None}:
        for language in LANGUAGES:
            for index in range(150):
                assert generate(spec, language, "train", 0, index).interactions


def test_held_out_episodes_are_enough(preset):
    """The episodes are in both languages, and each must have a question within the number of interactions that are
    played."""
    episodes = preset.episodes
    assert (
        not preset.mrl or len(LANGUAGES) * (episodes.validation + episodes.test) >= 1.4 * preset.mrl.held_out_episodes
    )


def test_the_demo_set_is_capped_and_polish_is_whole():
    capped = {source.language for source in PRESETS["micro"]().corpus.sources if source.max_bytes}
    assert capped == {"en"}


def test_revisions_of_the_hub_are_pinned_by_a_file(tmp_path):
    """As the preset's docstring says, no revision is invented, and a list with revisions replaces the preset's."""
    preset = PRESETS["beta"]()
    lists = {
        "corpus": preset.corpus.sources,
        "interactions": preset.interactions.sources,
        "conversations": preset.conversations.sources,
        "episodes": preset.episodes.sources,
    }
    assert {source.revision for sources in lists.values() for source in sources} == {""}
    file, lines = tmp_path / "pinned.toml", []
    for section, sources in lists.items():
        for source in sources:
            lines.append(f"[[{section}.sources]]")
            given = {key: value for key, value in plain(source).items() if value is not None} | {"revision": "0a1b2c"}
            lines += [f"{key} = {json.dumps(value)}" for key, value in given.items()]
    file.write_text("\n".join(lines))
    assert tomllib.loads(file.read_text())
    pinned = resolve(preset, file)
    for section, sources in lists.items():
        expected = [plain(source) | {"revision": "0a1b2c"} for source in sources]
        assert plain(getattr(pinned, section).sources) == expected
