"""Find documents that repeat an earlier one, exactly or nearly, by their MinHash signatures.

Signatures are computed where documents are cleaned, and stored in one column per band. One decision over all documents
follows. It reads one band at a time, so it needs a few numbers per document, whatever the length of the texts. It
depends on the order of the documents only, not on which worker computed what.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tokenization.cleaning.minhash import minima
from tokenization.cleaning.words import Words

PERMUTATIONS = 128
BANDS = 16  # of 8 values each; of pairs with Jaccard similarity 0.7 they find 61 %, with 0.8 95 %, with 0.9 all
SHINGLE = 5  # words
ENOUGH_WORDS = 20  # in a shorter document a few different words make it another document

KEEP, DUPLICATE, NEAR_DUPLICATE = range(3)

_ROWS = PERMUTATIONS // BANDS
_BAND = pa.binary(2 * _ROWS)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SEED = 0
BAND_COLUMNS = {f"band{band:02d}": _BAND for band in range(BANDS)}


def signatures(words: Words, with_rensa: bool = True) -> dict[str, pa.Array]:
    """Return one column per band, with the lower 16 bits of its minima over all 5-word shingles of a document. Without
    the package rensa, the permutations are others, and all is slower."""
    shingles = words.ngrams(SHINGLE)
    offsets = np.concatenate([[0], np.cumsum(shingles.counts)]).astype(np.uint64)
    if with_rensa:
        from rensa import RMinHash

        rows = RMinHash.digest_matrix_from_flat_token_hashes(shingles.hashes, offsets, PERMUTATIONS, _SEED).to_rows()
        least = np.array(rows, np.uint32).reshape(-1, PERMUTATIONS)
    else:
        least = minima(shingles.hashes, offsets, PERMUTATIONS)
    matrix = least.astype("<u2")
    return {
        name: pa.FixedSizeBinaryArray.from_buffers(_BAND, len(matrix), [None, pa.py_buffer(part.tobytes())])
        for name, part in zip(BAND_COLUMNS, np.split(matrix, BANDS, axis=1), strict=True)
    }


def decide(column: Callable[[str], np.ndarray], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return KEEP, DUPLICATE or NEAR_DUPLICATE for each document, int8 [D], and how similar it is to an earlier one,
    float32 [D]: 1 for a duplicate, else the share of equal values in signatures that share a band.

    `column` reads one column of all documents, in order: `key`, uint64 [D], equal for texts that say the same; `words`,
    int32 [D]; and the bands, uint16 [D, 8]. Among documents with equal keys, the first is kept. A document that shares
    a band with an earlier one is a near duplicate if at least `threshold` of all values of their signatures are equal.
    """
    keys = column("key")
    decision = np.where(first_alike(keys) == np.arange(len(keys)), KEEP, DUPLICATE).astype(np.int8)
    similarity = (decision == DUPLICATE).astype(np.float32)
    long = np.flatnonzero((decision == KEEP) & (column("words") >= ENOUGH_WORDS))
    if threshold >= 1 or not len(long):
        return decision, similarity
    earlier, later = _candidates(column, long)
    alike = np.zeros(len(earlier), np.int16)
    for name in BAND_COLUMNS:
        values = column(name)
        alike += (values[earlier] == values[later]).sum(axis=1, dtype=np.int16)
    decision[later[alike >= threshold * PERMUTATIONS]] = NEAR_DUPLICATE
    np.maximum.at(similarity, later, alike.astype(np.float32) / PERMUTATIONS)
    return decision, similarity


def _candidates(column: Callable[[str], np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each document with the first earlier one in each band that equals its own; every pair once."""
    pairs = np.empty(0, np.uint64)
    for name in BAND_COLUMNS:
        halves = np.ascontiguousarray(column(name)[rows]).view("<u8")
        first = first_alike(halves[:, 0] * _FACTOR + halves[:, 1])
        later = np.flatnonzero(first != np.arange(len(rows)))
        pairs = np.union1d(pairs, (first[later].astype(np.uint64) << np.uint64(32)) | later.astype(np.uint64))
    return rows[(pairs >> np.uint64(32)).astype(np.int64)], rows[(pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)]


def first_alike(keys: np.ndarray) -> np.ndarray:
    """Return, for each position, the position of the first equal key, int64."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.diff(ordered, prepend=~ordered[:1]) != 0
    first = np.empty(len(keys), np.int64)
    first[order] = order[begins][np.cumsum(begins) - 1]
    return first
