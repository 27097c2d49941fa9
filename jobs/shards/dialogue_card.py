"""Write the data card of interactions and conversations: how much a model can learn from each source and language."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import fsspec
import numpy as np
import pyarrow.parquet as pq

from jobs.shards.dialogue_counts import BINS, COUNTS, cells, cut_share
from jobs.shards.dialogue_rows import GENERATED
from jobs.shards.dialogue_sources import REPORT, Sources, left_out
from jobs.shards.job import CARD, Report, Speed
from jobs.stage.context import StageContext
from jobs.stage.corpus_input import source_reports
from jobs.stage.markdown import LONGEST, SHOWN, inline, show_page, table
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.cleaning.pii import PII
from tokenization.conversations.template import decode_interaction
from tokenization.records import BROAD, LANGUAGES, SPLITS
from tokenization.shards.index import ShardIndex
from tokenization.shards.provenance import provenance_url
from tokenization.shards.reader import ShardReader

_NAMES = ["rows", "interactions", "tokens", "supervised", "of tokens", "cut tokens"]


def show_dialogue_card(
    ctx: StageContext, index: ShardIndex, report: Report, speed: Speed, tokenizer: Tokenizer
) -> None:
    """Attach card.md and card.png to the run."""
    from jobs.shards.dialogue_plot import draw

    sources = _data_sets(ctx.output_uri)
    licences = {GENERATED: "generated", BROAD: "generated"} | {one["name"]: one["licence"] for one in sources}
    for one in source_reports(ctx.inputs["corpus"]):
        licences.setdefault(one["identity"]["source"]["name"], one["identity"]["source"]["licence"])
    page = write_dialogue_card(f"{ctx.stage} {ctx.artifact_id}", index, report, sources, licences, speed)
    if index.kind == "interactions":
        page += "\n" + "\n\n".join(_sample(ctx.output_uri, index, tokenizer)) + "\n"
    show_page(ctx.reporter, CARD, page, lambda path: draw(index.kind, index.length, report, sources, path))


def write_dialogue_card(
    name: str, index: ShardIndex, report: Report, sources: Sources, licences: Mapping[str, str], speed: Speed
) -> str:
    """The page, in Markdown. `sources` comes from `dialogue_sources.add_up`; `licences` has each source's by name."""
    parts = [
        f"# Data card of {name}",
        "![tokens, turns, lengths and what was left out](card.png)",
        "## Rows",
        f"A row is {'a conversation' if index.kind != 'interactions' else 'one interaction'}. An interaction has at "
        f"most {index.length} tokens; those that the loss counts, of answers, thoughts and tool calls, are supervised. "
        "What found no room was cut: its share of all tokens stands beside the number. "
        f"Tokenizer of {index.vocab_size:,} tokens, sha256 {index.tokenizer_digest}. {speed.sentence}",
        _by(report, lambda _source, _language, split: (split,), ["split"]),
        "## By source, language and split",
        _sources(report, licences),
        "## By language and split",
        _by(report, lambda _source, language, split: (language, split), ["language", "split"]),
    ]
    if index.kind != "interactions":
        parts += ["## Interactions in a conversation", "All splits.", _turns(report)]
    parts += ["## Lengths of interactions", "All splits.", _lengths(report, index.length)]
    if sources:
        parts += ["## Data sets", *_described(sources)]
    parts += ["## Left out", *_left_out(sources)]
    return "\n\n".join(parts) + "\n"


def _data_sets(uri: str) -> Sources:
    try:
        with fsspec.open(f"{uri}/{REPORT}", "rb") as file:
            return json.load(file)["sources"]
    except FileNotFoundError:
        return []


def _by(report: Report, key: Callable[[str, str, str], tuple[str, ...]], names: Sequence[str]) -> str:
    """A table with one line for all cells with the same key. The last part of each key is the split."""
    sums: dict[tuple[str, ...], Counter[str]] = {}
    for source, language, split, counts in cells(report):
        sums.setdefault(key(source, language, split), Counter()).update(counts)
    order = sorted(sums, key=lambda found: (found[:-1], SPLITS.index(found[-1])))
    return table([*names, *_NAMES], [[*found, *_figures(sums[found])] for found in order], names=len(names))


def _sources(report: Report, licences: Mapping[str, str]) -> str:
    rows = [
        [source, language, licences.get(source, "unknown"), split, *_figures(counts)]
        for source, language, split, counts in cells(report)
    ]
    return table(["source", "language", "licence", "split", *_NAMES], rows, names=4)


def _figures(counts: Mapping[str, int]) -> list[str]:
    rows, turns, tokens, supervised, cut = (counts[name] for name in COUNTS)
    share = f"{supervised / tokens:.1%}" if tokens else "-"
    lost = f" ({cut_share([counts]):.1%})" if cut else ""
    return [f"{rows:,}", f"{turns:,}", f"{tokens:,}", f"{supervised:,}", share, f"{cut:,}{lost}"]


def _turns(report: Report) -> str:
    languages = sorted(report["turns"])
    numbers = sorted({int(number) for found in report["turns"].values() for number in found})
    rows = [
        [str(number), *(f"{report['turns'][language].get(str(number), 0):,}" for language in languages)]
        for number in numbers
    ]
    return table(["interactions", *(f"conversations {language}" for language in languages)], rows)


def _lengths(report: Report, length: int) -> str:
    languages = sorted(report["lengths"])
    edges = [i * length // BINS for i in range(BINS + 1)]
    rows = [
        [f"{low + 1} to {high}", *(f"{report['lengths'][language][i]:,}" for language in languages)]
        for i, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    return table(["tokens", *(f"interactions {language}" for language in languages)], rows)


def _described(sources: Sources) -> Iterable[str]:
    rows = [
        [one["name"], one["adapter"], one["long_answers"], ", ".join(one["mask"]) or "nothing"]
        + [f"{one['pii'][kind]['found']:,}" for kind in PII]
        for one in sources
    ]
    yield table(["source", "read as", "long answers", "masked", *PII], rows, names=4)
    yield "The last columns count what identifies people; `mask` of a source replaces it."


def _left_out(sources: Sources) -> Iterable[str]:
    rows = [[name, reason, f"{count:,}"] for name, reason, count in left_out(sources)]
    yield table(["source", "reason", "rows"], rows, names=2) if rows else "No row of a data set was left out."
    for source in sources:
        if source["gone"]:
            yield f"{source['name']}: {', '.join(source['gone'])} vanished while it was read."


def _sample(uri: str, index: ShardIndex, tokenizer: Tokenizer) -> Iterator[str]:
    """Some interactions of the training split in each language, drawn from those that are not generated."""
    reader = ShardReader(uri, "train")
    languages = np.concatenate([batch["language"].to_numpy() for batch in reader.batches()])
    sources = np.concatenate([_sources_of(f"{uri}/{each.file}") for each in index.files if each.split == "train"])
    draw = np.random.default_rng(0)
    yield "## A sample"
    yield (
        f"Up to {SHOWN} interactions of the training split in each language, drawn from those that are not generated. "
        f"Queries and answers are cut after {LONGEST} characters."
    )
    for code, language in enumerate(LANGUAGES):
        rows = np.flatnonzero((languages == code) & ~np.isin(sources, (GENERATED, BROAD)))
        chosen = np.sort(draw.choice(rows, min(SHOWN, len(rows)), replace=False))
        lines = [f"### {language}", ""]
        for number, row in zip(chosen, reader.rows(chosen), strict=True):
            said = decode_interaction(tokenizer, row["input_ids"])
            told = f"{inline(said.query[:LONGEST])} → {inline(said.answer[:LONGEST])}"
            lines.append(f"- {sources[number]}: {told}")
        yield "\n".join(lines)


def _sources_of(shard: str) -> np.ndarray:
    with fsspec.open(provenance_url(shard), "rb") as file:
        return pq.read_table(file, columns=["source"])["source"].to_numpy()
