"""Write the data card of stage `text-shards`, which tells what the training text was made from, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any

from jobs.shards.job import CARD, Report, Speed
from jobs.shards.text_counts import fill, per_source
from jobs.stage.context import StageContext
from jobs.stage.corpus_input import source_reports
from jobs.stage.markdown import LONGEST, SHOWN, inline, show_page, table
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.documents import RowGroup
from tokenization.hashing import stable_hash
from tokenization.records import LANGUAGES, SPLITS, Language

GROUPS = 50  # row groups, spread over the corpus, that the paragraphs are drawn from


def show_card(
    ctx: StageContext, report: Report, tokenizer: Tokenizer, speed: Speed, groups: Sequence[RowGroup]
) -> None:
    """Attach card.md and card.png to the run. `groups` are the row groups of the corpus."""
    from jobs.shards.text_plot import draw

    corpus = source_reports(ctx.inputs["corpus"])
    page = write_card(ctx.artifact_id, report, corpus, tokenizer, speed)
    page += "\n" + "\n\n".join(_sample(groups)) + "\n"
    show_page(ctx.reporter, CARD, page, lambda path: draw(report, corpus, path))


def write_card(
    artifact_id: str, report: Report, corpus: Sequence[Mapping[str, Any]], tokenizer: Tokenizer, speed: Speed
) -> str:
    """The page, in Markdown. `corpus` has the reports of the corpus' sources."""
    parts = [
        f"# Data card of text-shards {artifact_id}",
        "![tokens, compression, lengths and removals](card.png)",
        "## Rows",
        f"Tokenizer of {tokenizer.vocab_size:,} tokens, sha256 {tokenizer.digest}. {speed.sentence}",
        table(
            ["split", "rows", "tokens", "places filled"],
            [
                [split, f"{rows['rows']:,}", f"{rows['tokens']:,}", f"{fill(report, split):.2%}"]
                for split in SPLITS
                if (rows := report["rows"].get(split))
            ],
        ),
        "## Training text by source",
        "Tokens without control tokens; `trained on` counts them as often as they were written.",
        _sources(report, corpus),
        "## Languages",
        _languages(report),
        "## Lengths of documents",
        _lengths(report),
        "## Removed by cleaning",
        *(_removals(corpus) if corpus else ["The corpus has no report.json: what was removed is not known."]),
        "## What each rule would remove",
        *(_rules(corpus) if corpus else ["The corpus has no report.json: no rule was tried."]),
        "## Repaired by cleaning",
        *(_repairs(corpus) if corpus else ["The corpus has no report.json: what was repaired is not known."]),
    ]
    return "\n\n".join(parts) + "\n"


def _sources(report: Report, corpus: Sequence[Mapping[str, Any]]) -> str:
    known = {source["identity"]["source"]["name"]: source["identity"] for source in corpus}
    found = per_source(report)
    whole = sum(counts["trained_tokens"] for counts in found.values())
    rows = []
    for (source, language), counts in found.items():
        identity = known.get(source, {"source": {"licence": "unknown"}, "origin": "unknown"})
        rows.append(
            [source, language, identity["source"]["licence"], identity["origin"]]
            + _counts(counts)
            + [f"{report['passes'][f'{source}/{language}']:.2f}", *_share(counts["trained_tokens"], whole)]
        )
    header = ["source", "language", "licence", "origin", "documents", "MB", "tokens", "bytes/token"]
    return table([*header, "passes", "trained on", "share"], rows, names=4)


def _languages(report: Report) -> str:
    found: dict[str, list[Mapping[str, int]]] = {}
    for (_, language), counts in per_source(report).items():
        found.setdefault(language, []).append(counts)
    summed = {
        language: {name: sum(one[name] for one in counts) for name in counts[0]} for language, counts in found.items()
    }
    whole = sum(counts["trained_tokens"] for counts in summed.values())
    rows = [
        [language, *_counts(counts), *_share(counts["trained_tokens"], whole)]
        for language, counts in sorted(summed.items())
    ]
    return table(["language", "documents", "MB", "tokens", "bytes/token", "trained on", "share"], rows)


def _counts(counts: Mapping[str, int]) -> list[str]:
    ratio = f"{counts['bytes'] / counts['tokens']:.2f}" if counts["tokens"] else "-"
    return [f"{counts['documents']:,}", f"{counts['bytes'] / 1e6:.2f}", f"{counts['tokens']:,}", ratio]


def _share(tokens: int, whole: int) -> list[str]:
    return [f"{tokens:,}", f"{tokens / whole:.1%}" if whole else "-"]


def _lengths(report: Report) -> str:
    """A table of document lengths in all splits, from the shortest to the longest length that occurs."""
    lengths = report["lengths"]
    there = [i for i in range(len(next(iter(lengths.values()), []))) if any(counts[i] for counts in lengths.values())]
    languages = sorted(lengths)
    rows = [
        [f"{2**i:,} to {2 ** (i + 1) - 1:,}", *(f"{lengths[language][i]:,}" for language in languages)]
        for i in range(min(there, default=0), max(there, default=-1) + 1)
    ]
    return table(["tokens", *(f"documents {language}" for language in languages)], rows)


def _removals(corpus: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """A table of what cleaning removed from all sources, then examples, if there are any."""
    rows, examples = [], []
    for source in corpus:
        name = source["identity"]["source"]["name"]
        for reason, entry in source["removed"].items():
            of_read = f"{entry['bytes'] / source['bytes_read']:.2%}" if source["bytes_read"] else "-"
            rows.append([name, reason, f"{entry['bytes'] / 1e6:.3f}", of_read, f"{entry['documents']:,}"])
            examples += [f"- {name}, {reason}: {inline(text)}" for text in entry["examples"]]
        for reason, count in source.get("quarantined", {}).items():
            rows.append([name, f"quarantined: {reason}", "-", "-", f"{count:,}"])
    yield table(["source", "reason", "MB", "of what was read", "documents"], rows, names=2)
    yield from _examples(examples)


def _rules(corpus: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """A table of all known rules and of what each alone would remove of all sources, then what was found of people."""
    rules: dict[str, Counter[str]] = {}
    people: dict[str, Counter[str]] = {}
    for source in corpus:
        for total, part in ((rules, source["rules"]), (people, source["pii"])):
            for name, counts in part.items():
                total.setdefault(name, Counter()).update(counts)
    kept = sum(source["bytes"] for source in corpus)
    yield (
        "Of the documents that reach the policy, whatever other rules say. `corpus.policy` chooses rules; the files "
        "`tags-*.parquet` of the corpus have the score of each document."
    )
    rows = [
        [name, "yes" if found["applied"] else "no", f"{found['documents']:,}", f"{found['bytes'] / 1e6:.3f}",
         f"{found['bytes'] / kept:.2%}" if kept else "-"]
        for name, found in rules.items()
    ]  # fmt: skip
    yield table(["rule", "applied", "documents", "MB", "of what was kept"], rows, names=2)
    yield "What identifies people (`corpus.mask` replaces it):"
    counts = [[name, f"{found['documents']:,}", f"{found['found']:,}"] for name, found in people.items()]
    yield table(["kind", "documents", "found"], counts)


def _repairs(corpus: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """A table of the documents whose characters cleaning repaired, then examples, if there are any."""
    rows, examples = [], []
    for source in corpus:
        name = source["identity"]["source"]["name"]
        for kind, entry in source["repaired"].items():
            rows.append([name, kind, f"{entry['documents']:,}", f"{entry['documents'] / source['texts']:.2%}"])
            examples += [f"- {name}, {kind}: {inline(text)}" for text in entry["examples"]]
    yield table(["source", "kind", "documents", "of documents read"], rows, names=2)
    yield from _examples(examples)


def _examples(lines: Sequence[str]) -> Iterable[str]:
    if lines:
        yield "\n".join(["Examples:", "", *lines])


def _sample(groups: Sequence[RowGroup]) -> Iterator[str]:
    """Some paragraphs of the training split in each language, chosen by hash from at most GROUPS row groups spread over
    the corpus."""
    chosen: dict[Language, list[tuple[int, str, str]]] = {language: [] for language in LANGUAGES}
    for group in groups[:: -(-len(groups) // GROUPS)]:
        for batch in group.read(["id", "text", "source", "language", "split"]):
            found: dict[Language, list[tuple[int, str, str]]] = {language: [] for language in LANGUAGES}
            for row in batch.to_pylist():
                if row["split"] == "train":
                    found[row["language"]] += [
                        (stable_hash(f"{row['id']} {number}"), row["source"], line[:LONGEST])
                        for number, line in enumerate(row["text"].splitlines())
                        if line.strip()
                    ]
            for language, lines in found.items():
                chosen[language] = nsmallest(SHOWN, chosen[language] + lines)
    yield "## A sample"
    yield (
        f"Up to {SHOWN} paragraphs in each language, drawn from the training split. Large sources have more of them. "
        f"Paragraphs are cut after {LONGEST} characters."
    )
    for language, lines in chosen.items():
        told = sorted((source, line) for _, source, line in lines)
        yield "\n".join([f"### {language}", "", *(f"- {source}: {inline(line)}" for source, line in told)])
