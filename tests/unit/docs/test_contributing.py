"""CONTRIBUTING.md is executed: its examples are taken from its text, built in a copy of the repository, and run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from jobs.configs.training import OptimisationConfig
from pipelines.code_digest import ROOT
from pipelines.curriculum import curriculum
from pipelines.presets import PRESETS
from tests.benchmarks.memory.ablations import TRAINED
from tests.support.docs.guide import Copy, edits, new_files

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

STAGE = """
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import guide_toys
from pipelines.artifacts import ArtifactStore
from pipelines.curriculum import curriculum
from pipelines.overrides import resolve
from pipelines.planner import needed, plan
from pipelines.presets import PRESETS
from tests.support.toy_graph import run


def stages(*sets):
    corpus, *others = curriculum(resolve(PRESETS["data"](), None, sets))
    return [replace(corpus, function="guide_toys:three_documents"), *others]


store = ArtifactStore("store")
assert run(stages(), store, targets=needed(stages(), "lengths")) == 0
made = plan(stages(), store)["lengths"]
assert made.is_complete and made.manifest["result"] == "1 long documents", made
assert made.manifest["metrics"] == {"lengths/long_en": 1, "lengths/long_pl": 0}
counts = json.loads(Path(store.uri(made.attempt), "lengths.json").read_text())
assert counts == {"en": {"documents": 2, "long": 1}, "pl": {"documents": 1, "long": 0}}, counts
changed = plan(stages("lengths.long=10"), store)["lengths"]
assert (changed.state, changed.reason) == ("stale", "config.long: 2000 -> 10")
"""

DOCUMENTS = '''
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def three_documents(ctx, config):
    """A corpus of a long and two short documents."""
    texts = [("en", "long " * 1000), ("en", "short"), ("pl", "krótki")]
    rows = [
        {"id": str(i), "text": text, "language": language, "source": "s", "licence": "CC0-1.0", "split": "train"}
        for i, (language, text) in enumerate(texts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), Path(ctx.output_uri, "documents-00000.parquet"))
    return {"result": "3 documents"}
'''

WRITE = """
import torch

from jobs.training.objectives.base import StepContext
from rxt_model.config import MemoryConfig
from rxt_model.size import size_of
from tests.support.training_toys import ToyObjective, toy_batch, toy_config, toy_model

changes = dict(memory=MemoryConfig(slots=4, variant="window"))
model = toy_model(**changes)
ids = torch.tensor([[11, 12, 13, 14, 15, 16], [17, 18, 0, 0, 0, 0]])
start = model.initial_memory(2)
memory = model.write(start, model.encode(ids, ids > 0), ids > 0)
read = model.decode(ids, memory, mask=ids > 0).hidden
assert not torch.equal(read, model.decode(ids, start, mask=ids > 0).hidden)

objective = ToyObjective(model)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
loss, _ = objective(toy_batch(), StepContext(0, 1, seed=0))
loss.backward()
before = model.memory_attention.layers[0].value.weight.clone()
optimizer.step()
assert loss.isfinite() and not torch.equal(before, model.memory_attention.layers[0].value.weight)

(cost,) = [part for part in size_of(toy_config(**changes)).parts if part.name == "memory attention"]
assert cost.parameters == 2 * 16 * 16 and cost.flops.matrices == 2 * 2 * 16 * 16, cost
"""

ABLATIONS = """
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from tests.benchmarks.memory.ablations import ROWS

for row in {asked}:
    resolve(PRESETS["tiny"](), None, [*ROWS[row], "smat.seed=2"])
assert 'variant="window"' in str(ROWS[{asked}[0]])
"""

OBJECTIVE = """
import torch

from jobs.training.echo import recipe
from jobs.training.objectives.base import StepContext
from jobs.training.objectives.echo import Echo
from tests.support.training_toys import toy_model, toy_training

echo = Echo(toy_model(), toy_training(40, balance_weight=0.0))
optimizer = torch.optim.Adam(echo.parameters(), 1e-2)
ids = torch.randint(11, 40, (16, 9), generator=torch.Generator().manual_seed(0))
losses = []
for step in range(40):
    loss, metrics = echo({"input_ids": ids}, StepContext(step, 40, seed=0))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert metrics["train/loss"][1] == 16 * 8
assert losses[-1] < 0.7 * losses[0], losses
"""

DATA_SET = """
from tokenization.conversations.adapters import ADAPTERS
from tokenization.conversations.rows import RowError
from tokenization.records import Interaction

convert = ADAPTERS["post_reply"].convert
assert convert({"post": "Who?", "reply": "Me."}) == [Interaction("Who?", "Me.")]
try:
    convert({"post": "Who?", "reply": None})
except RowError as error:
    assert error.reason == "no answer"
else:
    raise AssertionError("a row without an answer was taken")
"""

REWARD = """
import torch

from jobs.configs.rl import RewardConfig
from jobs.rl.rewards import PaddedIds, score, variety

answers = PaddedIds.pad([[5, 6, 5, 5], [7, 8], []])
torch.testing.assert_close(variety(answers), torch.tensor([0.5, 1.0, 0.0]))
config = RewardConfig(bleu=0, cosine=0, length=0, variety=1)
zeros = torch.zeros(3, 4)
total = score(config, torch.eye(9)[:, :4], answers, answers, answers, zeros, torch.zeros(3, dtype=torch.bool)).total
torch.testing.assert_close(total, torch.tensor([5.0, 10.0, 0.0]))
"""

COMMANDS = """
from tests.support.docs.commands import check, shown

words = shown("CONTRIBUTING.md")
assert "stage rerun lengths --config nano.toml --set lengths.long=100" in words, words
for command in words:
    check(command)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    made = Copy(tmp_path_factory.mktemp("copy"), GUIDE)
    (made.folder / "guide_toys.py").write_text(DOCUMENTS)
    (made.folder / "CONTRIBUTING.md").write_text(GUIDE)
    return made


def test_the_example_stage_runs_in_the_real_runner(copy):
    copy.script(STAGE)


def test_the_example_stage_is_listed_where_a_key_asks_for_it(copy):
    listing = ("-m", "pipelines.cli", "stage", "list")
    assert "lengths" not in copy.python(*listing)
    assert "how many documents are long" in copy.python(*listing, "--set", "lengths.long=1000")


def test_the_example_objective_has_its_place_in_the_curriculum_that_names_it(copy):
    command = shlex.split(block(".venv/bin/rxt stage list --set echo").replace("\\\n", ""))
    listed = copy.python("-m", "pipelines.cli", *command[1:])
    assert re.search(r"^sft +joint fine-tuning on interactions +echo, interaction-shards", listed, re.MULTILINE), listed


def test_the_example_memory_write_is_read_and_learns(copy):
    copy.script(WRITE)


def block(start: str) -> str:
    """Return the block of the guide that starts like this."""
    (found,) = re.findall(rf"^```\n({re.escape(start)}.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return found


def test_the_example_memory_write_passes_the_tests_of_all_writes(copy):
    command, *words = block(".venv/bin/pytest -k window").replace("\\\n", "").splitlines()[0].split()
    assert command == ".venv/bin/pytest"
    copy.tests(*words)


def test_the_model_with_the_example_memory_write_is_counted(copy):
    settings, command, _ = block("set -- --set pretrain.model.memory.variant=window").replace("\\\n", "").splitlines()
    assert command == 'rxt model show tiny "$@"'
    counted = copy.python("-m", "pipelines.cli", *command.split()[1:-1], *settings.split()[2:])
    assert "memory attention" in counted


def test_recall_is_measured_on_three_seeds_of_every_training(copy):
    asked = re.findall(r'"([^"]+)"', block(".venv/bin/python -m tests.benchmarks.memory.ablations"))
    copy.script(ABLATIONS.format(asked=asked))
    trained = curriculum(PRESETS["tiny"]())
    sections = {stage.name.replace("-", "_") for stage in trained if isinstance(stage.config, OptimisationConfig)}
    assert {*TRAINED} == sections - {"baseline"}  # the script runs up to `smat`


def test_the_example_stage_gives_the_same_bytes_and_refuses_damage(copy):
    copy.tests("tests/integration/stages/test_lengths.py")


@pytest.mark.parametrize("script", [OBJECTIVE, DATA_SET, REWARD, COMMANDS], ids=["objective", "data", "reward", "rxt"])
def test_another_example(copy, script):
    copy.script(script)


def test_the_example_schema_is_read_as_the_others_are(copy):
    copy.tests("tests/unit/dialogues/test_sources.py", "-k", "post_reply")


def test_the_example_kernel_gives_the_numbers_of_fp64(copy):
    pytest.importorskip("triton")
    copy.tests("tests/component/kernels/test_interpreted.py", "-k", "squared_relu")


def test_the_example_preset_holds_what_all_presets_hold(copy):
    copy.tests("tests/unit/pipelines/test_presets.py", "tests/unit/pipelines/test_curriculum.py", "-k", "not beta")


def test_examples_are_written_and_typed_as_the_rest_is(copy):
    paths = [*new_files(GUIDE), *{path for path, _, _ in edits(GUIDE)}]
    copy.python("-m", "ruff", "check", *paths)
    copy.python("-m", "ruff", "format", "--check", *paths)
    checker = str(Path(sys.executable).with_name("pyrefly"))
    copy.run(checker, "check", "--config", "pyproject.toml", "--python-interpreter-path", sys.executable)


def test_the_pages_name_all_examples(copy):
    copy.tests("tests/unit/docs/test_names.py", "-k", "table or section")


def test_the_structure_holds_with_all_examples(copy):
    copy.tests("tests/unit/structure/test_structure.py", "-k", "import or longer or folder")
