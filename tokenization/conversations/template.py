"""Write an interaction as ids. Query part: `[BOS] [I]internal`, then `[Q]query` or `[U]tool result`. Answer part:
`[T]thinking [A]answer [C]tool call [EOS]`. Blocks without content are left out, except the query and the answer. So the
first token of the answer part says how it is answered: `[A]` at once, `[T]` after thinking.

Control tokens are inserted by id, so the same characters in user text stay text. Truncation shortens contents only. The
control token after a content that was cut is no target of training, since nothing ended there. Nor is the first of the
answer part if the mode was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from tokenization.bpe.special_tokens import (
    ANSWER,
    BOS,
    EOS,
    INTERNAL,
    PAD,
    QUERY,
    SPECIAL_TOKENS,
    THINK,
    TOOL_CALL,
    TOOL_RESULT,
)
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.rows import UntrainedInteraction
from tokenization.records import Interaction, InteractionInMode

FIELDS = tuple(field.name for field in fields(Interaction))
# The control token that opens each block, and the field of the interaction that the block holds, in template order.
HEADS = {
    INTERNAL: "internal",
    QUERY: "query",
    TOOL_RESULT: "tool_result",
    THINK: "think",
    ANSWER: "answer",
    TOOL_CALL: "tool_call",
}
# Which contents keep their tokens when a part is too long: the newest query before the instruction, the answer before
# the thoughts.
QUERY_PRIORITY = (QUERY, TOOL_RESULT, INTERNAL)
ANSWER_PRIORITY = (ANSWER, TOOL_CALL, THINK)
SMALLEST_LENGTH = 2 + 2 + len(ANSWER_PRIORITY)  # [BOS], [EOS], two blocks before the answer, every block of the answer

CONTEXT = 4  # a 4th of the room for an answer repeats the end of the window before it

Blocks = dict[int, list[int]]


@dataclass(frozen=True)
class EncodedInteraction:
    """`input_ids` and `loss_mask` (True: a supervised target), T of each; `answer_start`, the position at which the
    answer part begins; and `cut`, the number of content tokens that found no room."""

    input_ids: list[int]
    loss_mask: list[bool]
    answer_start: int
    cut: int = 0


def encode_interaction(tokenizer: Tokenizer, interaction: Interaction, length: int) -> EncodedInteraction:
    """Encode one interaction in at most `length` tokens.

    All control tokens stay. If query and answer are both too long, each gets half of the room. Raises ValueError if
    `length` is below SMALLEST_LENGTH.
    """
    return next(encode_interactions(tokenizer, [interaction], length))


def encode_interactions(
    tokenizer: Tokenizer, interactions: Sequence[Interaction], length: int
) -> Iterator[EncodedInteraction]:
    """Encode many interactions as `encode_interaction` does, tokenized as one batch."""
    for interaction, (query, answer) in zip(interactions, _tokenized(tokenizer, interactions, length), strict=True):
        yield _with_mode(_assemble(query, answer, length), interaction)


def encode_windows(
    tokenizer: Tokenizer, interactions: Sequence[Interaction], length: int
) -> Iterator[list[EncodedInteraction]]:
    """Encode many interactions, each in as many windows of at most `length` tokens as its answer part needs.

    Every window has the whole query part, of which only what is longer than half of the room is cut. A later window
    begins its answer part with the end of the one before, as context that is not supervised. So each token of the
    answer part is a target once.
    """
    for interaction, (query, answer) in zip(interactions, _tokenized(tokenizer, interactions, length), strict=True):
        first, *others = _windows(query, answer, length)
        if isinstance(interaction, UntrainedInteraction):
            yield [_untrained(one) for one in (first, *others)]
        else:
            yield [_with_mode(first, interaction), *others]


def _tokenized(
    tokenizer: Tokenizer, interactions: Sequence[Interaction], length: int
) -> Iterator[tuple[Blocks, Blocks]]:
    if length < SMALLEST_LENGTH:
        raise ValueError(f"an interaction of {length} tokens is too short: control tokens alone need {SMALLEST_LENGTH}")
    texts = [getattr(interaction, name) for interaction in interactions for name in FIELDS]
    contents = iter(tokenizer.encode_batch(texts))
    for interaction in interactions:
        yield _blocks(interaction, {name: next(contents) for name in FIELDS})


def encode_query(tokenizer: Tokenizer, interaction: Interaction, length: int) -> list[int]:
    """Encode the query part alone, ready for generation. It leaves the answer at least half of the room in `length`."""
    if length < SMALLEST_LENGTH:
        raise ValueError(f"an interaction of {length} tokens is too short: control tokens alone need {SMALLEST_LENGTH}")
    contents = {name: tokenizer.encode(getattr(interaction, name)) for name in FIELDS}
    query, _ = _blocks(interaction, contents)
    room = length - 3 - len(query)  # [BOS], [A], [EOS] and the heads of the query part
    return [BOS, *_flatten(_cut(query, QUERY_PRIORITY, room // 2))]


def decode_answer(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """Return the answer's text, up to the next control token: from [A] on if the ids begin with a control token, else
    from the start, because generation began after a forced [A]. Empty while there is no answer, as in thinking that
    never ended."""
    ids = list(ids)
    if ANSWER in ids and ids[0] < len(SPECIAL_TOKENS):
        ids = ids[ids.index(ANSWER) + 1 :]
    stop = next((i for i, token in enumerate(ids) if token < len(SPECIAL_TOKENS)), len(ids))
    return tokenizer.decode(ids[:stop])


def decode_call(tokenizer: Tokenizer, ids: Iterable[int]) -> str | None:
    """Return the text of the tool call in an answer or a whole interaction, up to the next control token. None if there
    is none."""
    ids = list(ids)
    if TOOL_CALL not in ids:
        return None
    ids = ids[ids.index(TOOL_CALL) + 1 :]
    stop = next((i for i, token in enumerate(ids) if token < len(SPECIAL_TOKENS)), len(ids))
    return tokenizer.decode(ids[:stop])


def decode_interaction(tokenizer: Tokenizer, ids: Iterable[int]) -> Interaction:
    """Return what `encode_interaction` was given, less what was cut. Raises ValueError if ids are out of order."""
    blocks: Blocks = {}
    head = None
    for token in ids:
        if token >= len(SPECIAL_TOKENS) and head is not None:
            blocks[head].append(token)
        elif token in HEADS and token not in blocks:
            head = token
            blocks[head] = []
        elif token not in (BOS, EOS, PAD):
            raise ValueError(f"id {token} does not belong where it stands in an interaction")
    if list(blocks) != [block for block in HEADS if block in blocks]:
        raise ValueError(f"blocks {list(blocks)} are not in the order of the template, {list(HEADS)}")
    parts = {HEADS[block]: tokenizer.decode(content) for block, content in blocks.items()}
    return Interaction(**{"query": "", "answer": ""} | parts)


def _blocks(interaction: Interaction, contents: dict[str, list[int]]) -> tuple[Blocks, Blocks]:
    """Return the blocks of the query part and of the answer part, by control token, in template order."""
    query: Blocks = {INTERNAL: contents["internal"]} if interaction.internal else {}
    answer: Blocks = {THINK: contents["think"]} if interaction.think else {}
    if interaction.is_system_prompt:
        return query, {}
    if interaction.tool_result:
        query[TOOL_RESULT] = contents["tool_result"]
    else:
        query[QUERY] = contents["query"]
    answer[ANSWER] = contents["answer"]
    if interaction.tool_call:
        answer[TOOL_CALL] = contents["tool_call"]
    return query, answer


def _assemble(query: Blocks, answer: Blocks, length: int) -> EncodedInteraction:
    room = length - 2 - len(query) - len(answer)
    whole, cut = answer, max(0, _size(query) + _size(answer) - room)
    if cut:
        # A part that needs less than half leaves the rest to the other.
        query_room = max(room // 2, room - _size(answer))
        query = _cut(query, QUERY_PRIORITY, query_room)
        answer = _cut(answer, ANSWER_PRIORITY, room - _size(query))
    before, after = [BOS, *_flatten(query)], [*_flatten(answer), EOS]
    supervised: list[bool] = []
    ended = bool(answer)
    for head, content in answer.items():
        supervised += [ended] + [True] * len(content)
        ended = len(content) == len(whole[head])
    return EncodedInteraction(before + after, [False] * len(before) + supervised + [ended], len(before), cut)


def _windows(query: Blocks, answer: Blocks, length: int) -> Iterator[EncodedInteraction]:
    room = length - 2 - len(query) - len(answer)
    if _size(query) + _size(answer) <= room:
        yield _assemble(query, answer, length)
        return
    cut = max(0, _size(query) - max(room // 2, room - _size(answer)))
    before = [BOS, *_flatten(_cut(query, QUERY_PRIORITY, _size(query) - cut))]
    after = list(_flatten(answer))
    heads = [head for head, content in answer.items() for _ in range(len(content) + 1)]  # the block of each token
    room = length - len(before) - 1
    start = 0
    while start < len(after):
        context = after[max(0, start - max(1, room // CONTEXT)) : start]
        if context:  # its first token gives way to the control token that opens its block
            context[0] = heads[start - len(context)]
        stop = start + room - len(context)
        new = after[start:stop]
        mask = [False] * (len(before) + len(context)) + [True] * len(new) + [stop >= len(after)]
        yield EncodedInteraction([*before, *context, *new, EOS], mask, len(before), 0 if start else cut)
        start = stop


def _with_mode(encoded: EncodedInteraction, interaction: Interaction) -> EncodedInteraction:
    """Take the first token of the answer part out of the loss if it was given, and all tokens if the answer is not to
    be trained on."""
    if isinstance(interaction, UntrainedInteraction):
        return _untrained(encoded)
    if not isinstance(interaction, InteractionInMode):
        return encoded
    mask = encoded.loss_mask.copy()
    mask[encoded.answer_start] = False
    return replace(encoded, loss_mask=mask)


def _untrained(encoded: EncodedInteraction) -> EncodedInteraction:
    return replace(encoded, loss_mask=[False] * len(encoded.loss_mask))


def _size(blocks: Blocks) -> int:
    return sum(map(len, blocks.values()))


def _cut(blocks: Blocks, priority: tuple[int, ...], room: int) -> Blocks:
    """Cut contents at their ends to `room` tokens in all. The first in `priority` keep most."""
    kept = {}
    for head in (head for head in priority if head in blocks):
        kept[head] = blocks[head][:room]
        room -= len(kept[head])
    return {head: kept[head] for head in blocks}


def _flatten(blocks: Blocks) -> Iterator[int]:
    for head, content in blocks.items():
        yield head
        yield from content
