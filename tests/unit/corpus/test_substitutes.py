"""Without a young package a stage is refused, and goes on if the config says so. Results with it stay."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from jobs.corpus.cleaning import clean_piece
from jobs.corpus.plan import plan
from jobs.shards.dialogue_stage import uses_choppa
from jobs.stage.context import Change, StageError
from jobs.stage.substitutes import substitutions
from pipelines.config import PipelineConfig
from pipelines.fingerprint import fingerprint, plain
from pipelines.invocation import Invocation
from pipelines.overrides import resolve
from pipelines.presets.tiny import tiny
from tests.support.corpus_data import config, corpus_context
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.language import verdict as judging
from tokenization.conversations import sentences as cutting
from tokenization.conversations.documents import interactions_of
from tokenization.records import Document
from tokenization.sources.source import Source

PACKAGES = {
    "rensa": ("corpus", "rensa"),
    "py3langid": ("corpus", "py3langid"),
    "choppa-srx": ("interactions", "choppa"),
}
POLISH = "Stary młynarz każdego ranka otwierał okno i patrzył, jak woda w potoku po deszczu powoli wzbiera."
INDONESIAN = "Tukang giling tua itu membuka jendela setiap pagi dan melihat air di sungai naik setelah hujan."


@pytest.fixture(params=PACKAGES)
def package(request, monkeypatch):
    """Hide a package, which is not imported yet or is."""
    module = PACKAGES[request.param][1]
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    for made in (judging._identifier, cutting._rules):  # by another test
        made.cache_clear()
    return request.param


def test_a_stage_without_the_package_is_refused_and_the_next_command_names_the_key(package):
    section = PACKAGES[package][0]
    with pytest.raises(StageError, match=f"^{package} cannot be imported: .* which gives other results$") as caught:
        substitutions(section, (package,), ())
    words = shlex.split(Invocation("rxt run").next(caught.value.remedy, ""))
    assert words[:3] == ["rxt", "run", "--set"]
    changed = resolve(tiny(), None, words[3:])
    assert getattr(changed, section).without == (package,)
    assert fingerprint(getattr(changed, section)) != fingerprint(getattr(tiny(), section))
    (line,) = substitutions(section, (package,), (package,))
    assert line.startswith(f"without {package}, ")


def test_as_long_as_nothing_is_left_out_the_identity_is_that_of_older_results():
    for section in (tiny().corpus, tiny().interactions, tiny().conversations):
        assert "without" not in plain(section, whole=False) and section.without == ()


@pytest.mark.parametrize("package", ["rensa", "py3langid"], indirect=True)
def test_a_corpus_is_cleaned_without_it(package, tmp_path):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in (POLISH, INDONESIAN)))
    source = Source(name="mine", kind="files", language="pl", licence="MIT", path=str(tmp_path / "texts.jsonl"))
    found = {}
    for without in ((), (package,)):
        benchmark = Benchmark.of([], 13)
        ctx = corpus_context(tmp_path / "out")
        (task,) = plan(ctx, config((source,), without=without), benchmark).tasks
        if not without:
            with pytest.raises(ImportError):
                clean_piece(task, b"", benchmark)
        else:
            clean_piece(task, b"", benchmark)
            found = pq.read_table(f"{task.url}.parquet").to_pydict()
    assert found["text"] == [POLISH] and len(found["band00"][0]) == 16


@pytest.mark.parametrize("package", ["choppa-srx"], indirect=True)
def test_sentences_are_cut_without_it(package, tmp_path):
    document = Document("1", "Mr. Hill sang. Nobody listened to him.", "en", "book", "CC0-1.0", "train")
    with pytest.raises(ImportError):
        list(interactions_of(document))
    (pair,) = interactions_of(document, with_choppa=False)
    assert (pair.query, pair.answer) == ("Mr. Hill sang.", "Nobody listened to him.")
    ctx = corpus_context(tmp_path)
    assert not uses_choppa(ctx, ("choppa-srx",))
    assert ctx.reporter.messages == ["without choppa-srx, sentences end by few rules of this project"]
    stages = {"interaction-shards": "interactions", "episode-shards": "episodes", "preference-shards": "preferences"}
    for stage, section in stages.items():
        assert section in PipelineConfig.model_fields
        with pytest.raises(StageError, match="choppa-srx cannot be imported") as caught:
            uses_choppa(replace(ctx, stage=stage), ())
        assert caught.value.remedy == Change(f"{section}.without", '["choppa-srx"]')
