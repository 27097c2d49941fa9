"""Take questions with answers from the documents of several sources, from each its share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import NamedTuple

from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.documents import interactions_of
from tokenization.conversations.template import EncodedInteraction, encode_interactions
from tokenization.documents import Catalogue, Corpus
from tokenization.mixture import portions
from tokenization.records import Document, Interaction, Language, Split

SURPLUS = 3  # documents read per wanted pair, since many documents hold none that fits


@dataclass(frozen=True)
class SourceShare:
    """`wanted` pairs from the documents at these corpus `rows`, which are in the order of their hashes."""

    rows: tuple[int, ...]
    wanted: int

    def dealt(self, i: int, count: int) -> SourceShare:
        """Return the part `i` of `count` that are about equal."""
        return SourceShare(self.rows[i::count], self.wanted * (i + 1) // count - self.wanted * i // count)


class Pair(NamedTuple):
    """The interaction `number` of a document, with its encoding."""

    document: Document
    number: int
    interaction: Interaction
    encoded: EncodedInteraction


def source_shares(
    catalogue: Catalogue, split: Split, language: Language, wanted: int, weights: Mapping[str, float]
) -> list[SourceShare]:
    """Divide the `wanted` pairs among the sources that have documents of this split and language, by their weights (1
    if none is given). Documents are chosen by hash."""
    rows = catalogue.select(split, language)
    of_source = {name: rows[catalogue.sources[rows] == place] for place, name in enumerate(catalogue.names)}
    there = {name: weights.get(name, 1.0) for name, mine in of_source.items() if len(mine)}
    return [
        SourceShare(tuple(map(int, of_source[name][: SURPLUS * part])), part)
        for name, part in portions(wanted, there).items()
        if part
    ]


def pairs(
    corpus: Corpus, shares: Sequence[SourceShare], tokenizer: Tokenizer, length: int, with_choppa: bool = True
) -> Iterator[Pair]:
    """Yield the wanted pairs that have fewer than `length` tokens uncut. For a source that has too few, the others give
    more, in turn, as long as they have some."""
    found = [_of_source(corpus, share, tokenizer, length, with_choppa) for share in shares]
    missing = 0
    for share, mine in zip(shares, found, strict=True):
        taken = 0
        for taken, pair in enumerate(islice(mine, share.wanted), 1):  # noqa: B007 - counted to the end
            yield pair
        missing += share.wanted - taken
    yield from islice(filter(None, chain.from_iterable(zip_longest(*found))), missing)


def _of_source(
    corpus: Corpus, share: SourceShare, tokenizer: Tokenizer, length: int, with_choppa: bool
) -> Iterator[Pair]:
    """Yield the first pair of each document, then the second of each, and so on."""
    limit = 1 + 2 * share.wanted // max(1, len(share.rows))
    documents = dict(zip(sorted(share.rows), corpus.read(share.rows), strict=True))
    rounds = zip_longest(*(list(_fitting(documents[row], tokenizer, length, limit, with_choppa)) for row in share.rows))
    return filter(None, chain.from_iterable(rounds))


def _fitting(document: Document, tokenizer: Tokenizer, length: int, limit: int, with_choppa: bool) -> Iterator[Pair]:
    candidates = list(islice(interactions_of(document, with_choppa), 4 * limit))
    encoded = encode_interactions(tokenizer, candidates, length)
    numbered = (Pair(document, number, *both) for number, both in enumerate(zip(candidates, encoded, strict=True)))
    return islice((pair for pair in numbered if len(pair.encoded.input_ids) < length), limit)
