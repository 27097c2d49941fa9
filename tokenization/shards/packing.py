"""Pack documents into rows of at most `length` tokens, and note the positions at which documents begin.

Best fit, longest documents first: only documents longer than a row are cut, and their tails are packed like short
documents (Ding et al. 2024, arXiv:2404.10830). No token is lost, and only [BOS] and [EOS] of each document are added.
All work is done on arrays, so its cost does not depend on how short the documents are.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
import pyarrow as pa

from tokenization.bpe.special_tokens import BOS, EOS


def pack(ids: np.ndarray, offsets: np.ndarray, length: int) -> pa.RecordBatch:
    """Return the columns input_ids and document_starts, list<int32>, with rows of at most `length` tokens, and for each
    document start, as list<int32>, the columns document, which is its number, and offset, which is its first token.

    Document `i` is `ids[offsets[i]:offsets[i + 1]]`, with ids int32 [N] and offsets int64 [documents + 1] from 0 to N.
    It becomes `[BOS] tokens [EOS]`. A document longer than a row is cut, and only its first piece has [BOS]. Pieces
    keep their order within a row, and rows are in the order of their first pieces.

    Raises ValueError if `length` is below 3.
    """
    if length < 3:
        raise ValueError(f"rows of {length} tokens cannot hold a document")
    framed, offsets = _framed(ids, offsets)
    edges = _cut(offsets, length)
    sizes = np.diff(edges)
    rows = _in_order(best_fit(sizes, length))
    order = np.argsort(rows, kind="stable")
    pieces_of = np.bincount(rows)
    ends = _offsets(sizes[order])
    first = _offsets(pieces_of)
    starts = ends[:-1] - np.repeat(ends[first[:-1]], pieces_of)
    document = np.searchsorted(offsets, edges[:-1], side="right") - 1
    offset = np.maximum(0, edges[:-1] - offsets[document] - 1)  # [BOS] is no token of the document
    places = [starts.astype(np.int32), *(place[order].astype(np.int32) for place in (document, offset))]
    return pa.RecordBatch.from_arrays(
        [_lists(ends[first], _gathered(framed, edges, order)), *(_lists(first, place) for place in places)],
        ["input_ids", "document_starts", "document", "offset"],
    )


def best_fit(sizes: np.ndarray, capacity: int) -> np.ndarray:
    """Return the bin of each item [n]. Items are placed in order of falling size (1 to `capacity`), each into the
    fullest bin that has room for it. Items of one size are placed together, which does not change the result."""
    bins_of = np.empty(len(sizes), dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    counts = np.bincount(sizes)
    free: dict[int, list[np.ndarray]] = {}  # bins, by the room that is left in them
    rooms: list[int] = []  # keys of `free`, rising
    opened = placed = 0

    def put(bins: np.ndarray, room: int) -> None:
        if len(bins) and room:
            if room not in free:
                insort(rooms, room)
            free.setdefault(room, []).append(bins)

    for size in np.flatnonzero(counts)[::-1].tolist():
        items = order[placed : placed + counts[size]]
        placed += len(items)
        while len(items):
            at = bisect_left(rooms, size)
            if at < len(rooms):
                room = rooms.pop(at)
                bins = np.concatenate(free.pop(room))
            else:
                room = capacity
                bins = np.arange(opened, opened - (-len(items) // (capacity // size)))
                opened += len(bins)
            each = room // size  # items that fit: a bin stays the fullest one with room until no more fit
            used = min(len(bins), -(-len(items) // each))
            taken = items[: used * each]
            bins_of[taken] = np.repeat(bins[:used], each)[: len(taken)]
            put(bins[: used - 1], room - each * size)
            put(bins[used - 1 : used], room - (len(taken) - (used - 1) * each) * size)
            put(bins[used:], room)
            items = items[len(taken) :]
    return bins_of


def _framed(ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put each document between [BOS] and [EOS]."""
    offsets = offsets + 2 * np.arange(len(offsets))
    framed = np.empty(offsets[-1], dtype=np.int32)
    content = np.ones(len(framed), dtype=bool)
    for places, token in ((offsets[:-1], BOS), (offsets[1:] - 1, EOS)):
        framed[places] = token
        content[places] = False
    framed[content] = ids
    return framed, offsets


def _cut(offsets: np.ndarray, length: int) -> np.ndarray:
    """Return the edges of pieces of at most `length` tokens, none of which crosses a document's edge."""
    pieces = -(-np.diff(offsets) // length)
    number = np.arange(pieces.sum()) - np.repeat(_offsets(pieces)[:-1], pieces)
    return np.append(np.repeat(offsets[:-1], pieces) + length * number, offsets[-1])


def _in_order(bins: np.ndarray) -> np.ndarray:
    """Number the bins in the order of their first items."""
    first = np.empty(bins.max(initial=-1) + 1, dtype=np.int64)
    first[bins[::-1]] = np.arange(len(bins))[::-1]  # if indices are equal, the value written last stays
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[bins]


def _gathered(values: np.ndarray, edges: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the pieces between `edges` in another order. Arrow copies binary values whole, not token by token."""
    buffers = [None, pa.py_buffer(values.itemsize * edges), pa.py_buffer(values)]
    pieces = pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers).take(pa.array(order))
    return np.frombuffer(pieces.buffers()[2], dtype=values.dtype, count=len(values))


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(sizes)))


def _lists(offsets: np.ndarray, values: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))
