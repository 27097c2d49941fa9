"""Choose which documents are held out for validation and test.

A digest of the words of a document gives it a place from 0 to 1. Documents with low places are held out. A source that
has fewer than its part of `least_held_out` holds out the next ones. A document that has `benchmark_words` words in a
row in common with another document stays in training. So no held-out document repeats such words of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import fsspec
import numpy as np
import pyarrow as pa

from jobs.configs.texts import CorpusConfig
from jobs.corpus.judging import Fate, row_groups
from tokenization.cleaning.duplicates import KEEP
from tokenization.cleaning.words import Words
from tokenization.documents import place_of
from tokenization.mixture import portions
from tokenization.records import SPLITS, Language

MOST_OF_SOURCE = 0.1  # the most that a source gives to each of validation and test to reach the least number
SPARE = 10  # candidates for each document that is wanted, since some share words with others

Splits = list[np.ndarray]  # int8 [rows] for each clean file

TRAIN, VALIDATION, TEST = (SPLITS.index(name) for name in ("train", "validation", "test"))


class Clean(NamedTuple):
    """A clean file, the source and language of its documents, and the fate of its first rows."""

    url: str
    source: str
    language: Language
    fate: Fate


@dataclass(frozen=True)
class Candidate:
    """A document that may be held out, at `row` of the clean file number `file`."""

    file: int
    row: int
    place: float  # in 0 to 1, by its words
    ngrams: np.ndarray  # uint64, sorted, each once


@dataclass(frozen=True)
class Candidates:
    """Documents of one source in the order of their places, and the least numbers of them to hold out."""

    documents: Sequence[Candidate]
    validation: int
    test: int


def candidates(files: Sequence[Clean], config: CorpusConfig) -> list[Candidates]:
    """Return, for each source, the documents that may be held out."""
    rows: dict[str, list[tuple[float, int, int]]] = {}
    counts: dict[Language, dict[str, int]] = {}
    for number, file in enumerate(files):
        kept = np.flatnonzero(file.fate == KEEP)
        places = map(place_of, _read(file, "split_key")[kept].tolist())
        rows.setdefault(file.source, []).extend(zip(places, [number] * len(kept), kept.tolist(), strict=True))
        of_language = counts.setdefault(file.language, {})
        of_language[file.source] = of_language.get(file.source, 0) + len(kept)
    wanted = {name: part for found in counts.values() for name, part in portions(config.least_held_out, found).items()}
    both = config.validation_fraction + config.test_fraction
    chosen, least = {}, {}
    for source, found in rows.items():
        found.sort()
        least[source] = min(wanted[source], int(MOST_OF_SOURCE * len(found)))
        by_place = sum(place < both for place, _, _ in found)
        chosen[source] = found[: max(by_place, 2 * SPARE * least[source])]
    ngrams = _ngrams(files, [(file, row) for found in chosen.values() for _, file, row in found], config)
    return [
        Candidates(
            [Candidate(file, row, place, ngrams[file, row]) for place, file, row in found],
            *(least[source] if fraction else 0 for fraction in (config.validation_fraction, config.test_fraction)),
        )
        for source, found in chosen.items()
    ]


def documents_with(file: Clean, n: int, ngrams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the sorted `ngrams` of n words a file has, as positions, and in how many of its kept documents
    each."""
    found, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    done = 0
    with fsspec.open(file.url, "rb") as stream:
        for batch in row_groups(stream, ["text"]):
            fate = file.fate[done : done + len(batch)]
            done += len(batch)
            texts = batch["text"].slice(0, len(fate)).filter(pa.array(fate == KEEP)).to_pylist()
            known = Words(texts).ngrams(n)
            at = np.searchsorted(ngrams, known.hashes).clip(max=len(ngrams) - 1)
            hit = ngrams[at] == known.hashes
            pairs = np.unique(np.stack([at[hit], known.documents[hit]]), axis=1)  # one per document
            places, times = np.unique(pairs[0], return_counts=True)
            found.append(places)
            counts.append(times)
    places, inverse = np.unique(np.concatenate(found), return_inverse=True)
    return places, np.bincount(inverse, np.concatenate(counts), len(places)).astype(np.int64)


def choose(
    files: Sequence[Clean], of_sources: Sequence[Candidates], common: np.ndarray, config: CorpusConfig
) -> Splits:
    """Return the split of each row of each file, as a place in SPLITS. `common` are the n-grams of candidates that
    several documents have, sorted."""
    splits = [np.full(len(file.fate), TRAIN, np.int8) for file in files]
    for source in of_sources:
        apart = [one for one in source.documents if not np.isin(one.ngrams, common, assume_unique=True).any()]
        spare = []
        counts = {TEST: 0, VALIDATION: 0}
        for one in apart:
            if one.place < config.test_fraction:
                split = TEST
            elif one.place < config.test_fraction + config.validation_fraction:
                split = VALIDATION
            else:
                spare.append(one)
                continue
            splits[one.file][one.row] = split
            counts[split] += 1
        more = iter(spare)
        for split, least in ((TEST, source.test), (VALIDATION, source.validation)):
            for _ in range(counts[split], least):
                if one := next(more, None):
                    splits[one.file][one.row] = split
    return splits


def _ngrams(
    files: Sequence[Clean], rows: Sequence[tuple[int, int]], config: CorpusConfig
) -> dict[tuple[int, int], np.ndarray]:
    """The n-grams of the documents at these rows of these files."""
    wanted: dict[int, list[int]] = {}
    for file, row in sorted(rows):
        wanted.setdefault(file, []).append(row)
    found = {}
    for number, mine in wanted.items():
        done = 0
        with fsspec.open(files[number].url, "rb") as stream:
            for batch in row_groups(stream, ["text"]):
                here = [row for row in mine if done <= row < done + len(batch)]
                texts = batch["text"].take(pa.array([row - done for row in here], pa.int64())).to_pylist()
                done += len(batch)
                ngrams = Words(texts).ngrams(config.benchmark_words)
                parts = np.split(ngrams.hashes, np.cumsum(ngrams.counts)[:-1]) if here else []
                found |= {(number, row): np.unique(part) for row, part in zip(here, parts, strict=True)}
    return found


def _read(file: Clean, name: str) -> np.ndarray:
    with fsspec.open(file.url, "rb") as stream:
        parts = [batch[name].to_numpy() for batch in row_groups(stream, [name])]
    return np.concatenate([np.empty(0, np.uint64), *parts])[: len(file.fate)]
