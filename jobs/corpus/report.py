"""Stage `corpus` describes its sources in report.json, ATTRIBUTION.md and quarantine.jsonl."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, get_args

import fsspec

from jobs.corpus.cleaning import CleanTask
from jobs.stage.markdown import row
from tokenization.cleaning.removals import merged
from tokenization.cleaning.settings import RuleSet
from tokenization.files.storage import publish
from tokenization.quarantine import HELP
from tokenization.records import LANGUAGES, SPLITS
from tokenization.sources.seen import left_out
from tokenization.sources.source import Source

_SKIPPED = ("vulgar", "repeated", *get_args(RuleSet))  # reasons that `skip` of a source names


@dataclass(frozen=True)
class PieceReport:
    """What is known about one piece: `cleaned` is the report of `clean_piece`, `rows` says how many rows of the clean
    file go on, and `written` is the report of `write_documents`."""

    task: CleanTask
    cleaned: Mapping[str, Any]
    rows: int
    written: Mapping[str, Any] = field(default_factory=dict)


def source_report(source: Source, pieces: Sequence[PieceReport], names: Sequence[str] = ()) -> dict[str, Any]:
    """Counts of one source. `names` are files that were left out when it was listed.

    `files` counts files by format, and by encoding if that is not UTF-8; a file longer than a piece counts once.
    `left_out` counts hidden files and markers. `removed` gives bytes, documents and examples by reason, `repaired`
    documents and examples by kind. `rules` says for each known rule, applied or not, how many documents and bytes it
    alone would remove; `pii` in how many documents there was something of each kind, and how often. `sha256` is the
    digest of the package file; sources without one have the digest of all texts that were read.
    """
    task = pieces[0].task
    read = hashlib.sha256("".join(piece.cleaned["read"] for piece in pieces).encode()).hexdigest()
    splits = Counter(dict.fromkeys(SPLITS, 0))
    quarantined: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for piece in pieces:
        splits.update(piece.written["splits"])
        quarantined.update(piece.cleaned["quarantined"])
        files.update(piece.cleaned["files"])
    left = [left_out(names), *(piece.cleaned["left_out"] for piece in pieces)]
    return {
        "identity": {"source": source.record, "origin": task.origin, "sha256": task.sha256 or read},
        "pieces": len(pieces),
        "files": dict(sorted(files.items())),
        "left_out": merged({"": one} for one in left)[""],
        **{name: sum(piece.cleaned[name] for piece in pieces) for name in ("texts", "bytes_read")},
        **{name: sum(piece.written[name] for piece in pieces) for name in ("documents", "bytes")},
        "splits": splits,
        "removed": merged(
            report["removed"] for piece in pieces for report in (piece.cleaned, piece.cleaned["judged"], piece.written)
        ),
        "rules": _summed(piece.cleaned["judged"]["rules"] for piece in pieces),
        "pii": _summed(piece.cleaned["judged"]["pii"] for piece in pieces),
        "repaired": merged(piece.cleaned["repaired"] for piece in pieces),
        "quarantined": quarantined,
        "gone": [file for piece in pieces for file in piece.cleaned["gone"]],
    }


def _summed(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Add up the counts of several parts. `applied` is the same in all."""
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for name, counts in part.items():
            into = total.setdefault(name, dict.fromkeys(counts, 0))
            for key, count in counts.items():
                into[key] = count if key == "applied" else into[key] + count
    return total


def totals(sources: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Documents, bytes, and documents of each split (`splits`), by language."""
    total: dict[str, dict[str, Any]] = {name: dict.fromkeys(LANGUAGES, 0) for name in ("documents", "bytes")}
    total["splits"] = {language: Counter(dict.fromkeys(SPLITS, 0)) for language in LANGUAGES}
    for report in sources:
        language = report["identity"]["source"]["language"]
        for name in ("documents", "bytes"):
            total[name][language] += report[name]
        total["splits"][language].update(report["splits"])
    return total


def attribution(sources: Sequence[Mapping[str, Any]]) -> str:
    """The text of ATTRIBUTION.md, which names everything that the corpus was made from."""
    lines = [
        "# Attribution",
        "",
        "This corpus was made from the following texts, which remain under their licences.",
        "",
    ]
    lines += ["| source | origin | licence | language | text | sha256 of what was read |", "|---|---|---|---|---|---|"]
    for report in sources:
        identity = report["identity"]
        source = identity["source"]
        cells = [source["name"], identity["origin"], source["licence"], source["language"],
                 f"{report['bytes'] / 1e6:.2f} MB", identity["sha256"]]  # fmt: skip
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def nothing_from(task: CleanTask, reports: Sequence[Mapping[str, Any]]) -> str:
    """Why the source of this task, whose pieces gave these reports, has no text at all: file, place and reason of the
    first trouble, and the setting that helps. Empty if it has some."""
    source = task.source
    judged = [report["judged"] for report in reports]
    if any(one["documents"] for one in judged):
        return ""
    if texts := sum(report["texts"] for report in reports):
        if any(one["cut"] for one in judged):
            return f"source {source.name}: its first document is longer than max_bytes = {source.max_bytes:,}"
        removed = merged(one["removed"] for one in (*reports, *judged))
        told = ", ".join(f"{entry['documents']:,} {reason}" for reason, entry in removed.items())
        rules = f"language = {source.language!r}, min_characters = {task.corpus.min_characters:,}"
        off = ", ".join(repr(reason) for reason in removed if reason in _SKIPPED)
        rules += f"; skip = [{off}] of the source turns these filters off" if off else ""
        return f"source {source.name}: nothing is left of {texts:,} texts of {task.origin} ({told}); {rules}"
    rejected: Counter[str] = Counter()
    first: dict[str, str] = {}
    for report in reports:
        rejected.update(report["quarantined"])
        first = report["first"] | first
    if not rejected:
        return f"source {source.name}: {task.origin} holds no text"
    [(reason, _)] = rejected.most_common(1)
    more = f", and {rejected.total() - 1:,} more" if rejected.total() > 1 else ""
    return f"source {source.name}: {first[reason]}{more}" + (f": {HELP[reason]}" if reason in HELP else "")


def write_quarantine(url: str, tasks: Sequence[CleanTask]) -> None:
    """Write all rejected texts to `url`, in the order of the sources."""

    def write(out: BinaryIO) -> None:
        for task in tasks:
            with fsspec.open(f"{task.url}.jsonl", "rb") as file:
                shutil.copyfileobj(file, out)

    publish(url, write)
