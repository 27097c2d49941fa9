"""The corpus stage on Ray, over generated files."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from jobs.corpus import stage as stage
from jobs.corpus.plan import plan
from jobs.stage.context import Interrupted, Restart, StageError
from tests.support.corpus_data import config, content, corpus_context
from tokenization.cleaning.benchmark import Benchmark
from tokenization.packages.table import PACKAGES
from tokenization.records import Document
from tokenization.sources.source import Source

TOPICS = ("rivers", "engines", "bread", "violins", "glaciers", "maps")


@pytest.fixture
def sources(tmp_path):
    """Make an English and a Polish source, each with one repeated paragraph and one in the other language."""
    english = [f"This is page {n} of the long book about {TOPICS[n % 6]}." for n in range(300)]
    polish = [f"To jest strona numer {n} książki, która się nie kończy." for n in range(200)]
    for name, rows, foreign in (("en", english, polish[0]), ("pl", polish, english[0])):
        texts = [*rows, rows[0], foreign]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    shared = {"kind": "files", "licence": "CC0-1.0"}
    return tuple(
        Source(name=f"{name}-book", language=name, path=str(tmp_path / f"{name}.jsonl"), **shared)
        for name in ("en", "pl")
    )


def test_documents_report_and_attribution(ray_session, sources, tmp_path):
    ctx = corpus_context(tmp_path / "out")
    metrics = stage.build_corpus(ctx, config(sources))
    rows = [Document(**row) for file in sorted((tmp_path / "out").glob("documents-*.parquet"))
            for row in pq.read_table(file).to_pylist()]  # fmt: skip
    assert [row.language for row in rows] == ["en"] * 300 + ["pl"] * 200
    assert {(row.source, row.licence) for row in rows} == {("en-book", "CC0-1.0"), ("pl-book", "CC0-1.0")}
    assert len({row.id for row in rows}) == 500
    splits = [row.split for row in rows]
    assert 20 < splits.count("test") < 90 and 20 < splits.count("validation") < 90

    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["documents"] == {"en": 300, "pl": 200} and report["missing"] == []
    assert report["bytes"]["pl"] == sum(len(row.text.encode()) for row in rows[300:]) == metrics["bytes_pl"]
    en, pl = report["sources"]
    lost = {reason: (entry["bytes"], entry["documents"]) for reason, entry in en["removed"].items()}
    assert lost == {"polish": (len(rows[300].text.encode()), 1), "repeated": (len(rows[0].text), 1), "short": (0, 2)}
    assert set(pl["removed"]) == {"english", "repeated", "short"}
    assert sum(en["splits"].values()) == 300
    assert metrics["result"] == "en 0.0 MB, pl 0.0 MB"
    attribution = (tmp_path / "out/ATTRIBUTION.md").read_text()
    assert all(word in attribution for word in ("en-book", "pl-book", "CC0-1.0"))
    assert [step[:2] for step in ctx.reporter.steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_same_bytes_whatever_the_parallelism_and_when_continued(ray_session, sources, tmp_path):
    for folder, parallelism in (("one", 1), ("two", 2)):
        stage.build_corpus(corpus_context(tmp_path / folder, parallelism), config(sources))
    expected = content(tmp_path / "one")
    assert content(tmp_path / "two") == expected

    out = tmp_path / "stopped"
    out.mkdir()
    (out / "documents-00007.parquet").write_bytes(b"of an attempt with more sources")
    (out / ".clean").mkdir()
    (out / ".clean/.00001.parquet.x.tmp").write_bytes(b"half")
    times = {}
    first = plan(corpus_context(out), config(sources), Benchmark.of([], 13)).tasks[0].name
    for steps, damaged in ((1, f".clean/{first}.parquet"), (3, "documents-00000.parquet"), (4, None)):
        ctx = corpus_context(out, 1, should_stop=lambda: len(ctx.reporter.steps) >= steps)  # noqa: B023
        with pytest.raises(Interrupted):
            stage.build_corpus(ctx, config(sources))
        if damaged:
            (out / damaged).write_bytes((out / damaged).read_bytes()[:-1])
        cleaned = (path for path in out.glob(".clean/*.json") if not path.name.startswith("documents-"))
        times[steps] = {path.stem: path.stat().st_mtime_ns for path in cleaned}
    assert times[1][first] != times[3][first] and times[3] == times[4]
    stage.build_corpus(corpus_context(out), config(sources))
    assert content(out) == expected


def test_sources_are_cut_in_their_own_order(ray_session, sources, tmp_path):
    first = replace(sources[0], max_bytes=1_000)
    stage.build_corpus(corpus_context(tmp_path / "out"), config((first,)))
    texts = pq.read_table(tmp_path / "out/documents-00000.parquet")["text"].to_pylist()
    assert 900 < sum(map(len, texts)) <= 1_000
    assert texts[0].startswith("This is page 0 ")


def test_goes_on_without_a_package_and_says_which(ray_session, sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get
    monkeypatch.setenv("RXT_CACHE", str(tmp_path / "cache"))
    package = PACKAGES["fortunes-pl"]
    missing = Source(name=package.name, kind="package", language="pl", licence=package.licence, optional=True)
    ctx = corpus_context(tmp_path / "out")
    metrics = stage.build_corpus(ctx, config((missing, *sources)))
    assert any("fortunes-pl" in message and "apt-get" in message for message in ctx.reporter.messages)
    assert json.loads((tmp_path / "out/report.json").read_text())["missing"] == ["fortunes-pl"]
    assert metrics["result"].endswith(", without fortunes-pl") and Restart() in ctx.reporter.remedies
    with pytest.raises(StageError, match="no text.*fortunes-pl.*apt-get"):
        stage.build_corpus(corpus_context(tmp_path / "none"), config((missing,)))
    with pytest.raises(StageError, match="source fortunes-pl: .*apt-get"):
        stage.build_corpus(corpus_context(tmp_path / "none"), config((replace(missing, optional=False), *sources)))


def test_says_when_a_source_is_mostly_in_another_language(ray_session, sources, tmp_path):
    wrong = replace(sources[0], language="pl")
    ctx = corpus_context(tmp_path / "out")
    stage.build_corpus(ctx, config((wrong, sources[1])))
    assert [message for message in ctx.reporter.messages if "en-book" in message and "not pl" in message]


def test_errors_of_sources_name_them(ray_session, sources, tmp_path):
    lost = replace(sources[0], columns={"text": "body"})
    with pytest.raises(
        StageError,
        match=r"^source en-book: no column 'body'; it has 'text' \(byte 0 of .*en\.jsonl\), and 301 more: `columns`",
    ):
        stage.build_corpus(corpus_context(tmp_path / "out"), config((lost, sources[1])))
    with pytest.raises(StageError, match="min_characters"):
        stage.build_corpus(corpus_context(tmp_path / "empty"), config(sources, min_characters=10_000))


def test_stops_when_asked(ray_session, sources, tmp_path):
    with pytest.raises(Interrupted):
        stage.build_corpus(corpus_context(tmp_path / "out", should_stop=lambda: True), config(sources))
    stage.build_corpus(corpus_context(tmp_path / "out"), config(sources))


@pytest.mark.parametrize(
    ("change", "words"),
    [({"licence": ""}, "licence"), ({"path": ""}, "path"), ({"kind": "package", "name": "fortunes-xx"}, "fortunes-pl")],
)
def test_source_configuration_is_checked(change, words):
    good = {"name": "x", "kind": "files", "language": "en", "licence": "CC0-1.0", "path": "x.txt"}
    Source(**good)
    with pytest.raises(ValueError, match=words):
        Source(**good | change)


def test_a_source_that_gives_nothing_stops_the_stage_after_its_quarantine_is_written(ray_session, sources, tmp_path):
    """Unless it is optional."""
    (tmp_path / "notes").write_text("Prose of no stated format.")
    bad = replace(sources[0], name="notes", path=str(tmp_path / "notes"))
    told = r"^source notes: unknown format .*\(after 0 rows of file://.*/notes\): `format` of the source states it$"
    with pytest.raises(StageError, match=told):
        stage.build_corpus(corpus_context(tmp_path / "out"), config((bad, sources[1])))
    [line] = (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "unknown format"
    ctx = corpus_context(tmp_path / "without")
    metrics = stage.build_corpus(ctx, config((replace(bad, optional=True), sources[1])))
    assert metrics["result"].endswith(", without notes") and any(
        "without notes" in told for told in ctx.reporter.messages
    )
    message = "source en-book: nothing is left of 302 texts of files .*en.jsonl .*short.*min_characters = 10,000"
    with pytest.raises(StageError, match=message):
        stage.build_corpus(corpus_context(tmp_path / "none"), config(sources[:1], min_characters=10_000))
