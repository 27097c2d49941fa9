"""Stage `corpus` describes its sources in report.json, ATTRIBUTION.md and quarantine.jsonl."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import fsspec

from jobs.corpus.tasks import CleanTask
from jobs.stage.markdown import row
from tokenization.cleaning.removals import merged
from tokenization.files.storage import publish
from tokenization.records import LANGUAGES, SPLITS
from tokenization.sources.source import Source


@dataclass(frozen=True)
class PieceReport:
    """What is known about one piece: `cleaned` is the report of `clean_piece`, `rows` says how many of the clean texts
    go on, and `written` is the report of `write_documents`."""

    task: CleanTask
    cleaned: Mapping[str, Any]
    rows: int
    written: Mapping[str, Any] = field(default_factory=dict)


def source_report(source: Source, pieces: Sequence[PieceReport]) -> dict[str, Any]:
    """Counts of one source.

    `removed` gives bytes, documents and examples by reason, `repaired` documents and examples by kind. `sha256` is the
    digest of the package file; sources without one have the digest of all texts that were read.
    """
    task = pieces[0].task
    read = hashlib.sha256("".join(piece.cleaned["read"] for piece in pieces).encode()).hexdigest()
    splits = Counter(dict.fromkeys(SPLITS, 0))
    quarantined: Counter[str] = Counter()
    for piece in pieces:
        splits.update(piece.written["splits"])
        quarantined.update(piece.cleaned["quarantined"])
    return {
        "identity": {"source": source.record, "origin": task.origin, "sha256": task.sha256 or read},
        "pieces": len(pieces),
        **{name: sum(piece.cleaned[name] for piece in pieces) for name in ("texts", "bytes_read")},
        **{name: sum(piece.written[name] for piece in pieces) for name in ("documents", "bytes")},
        "splits": splits,
        "removed": merged(report["removed"] for piece in pieces for report in (piece.cleaned, piece.written)),
        "repaired": merged(piece.cleaned["repaired"] for piece in pieces),
        "quarantined": quarantined,
        "gone": [file for piece in pieces for file in piece.cleaned["gone"]],
    }


def totals(sources: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Documents and bytes by language."""
    total: dict[str, dict[str, int]] = {name: dict.fromkeys(LANGUAGES, 0) for name in ("documents", "bytes")}
    for report in sources:
        for name, count in total.items():
            count[report["identity"]["source"]["language"]] += report[name]
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


def write_quarantine(url: str, tasks: Sequence[CleanTask]) -> None:
    """Write all rejected texts to `url`, in the order of the sources."""

    def write(out: BinaryIO) -> None:
        for task in tasks:
            with fsspec.open(f"{task.url}.jsonl", "rb") as file:
                shutil.copyfileobj(file, out)

    publish(url, write)
