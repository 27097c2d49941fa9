"""Compare the tokens of told values with what a model expects at their places, given the right answer before them.

The first token of a value shows whether the model finds the right fact, if no quoted word of the fact stands before it.
Later ones show whether it copies the value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import torch

from jobs.evaluation.conversations import EncodedConversation, Ids, batches
from jobs.evaluation.rates import proportion
from jobs.evaluation.recall import write
from jobs.evaluation.speakers import Follower
from jobs.stage.context import Rerun, StageError
from tokenization.bpe.special_tokens import ANSWER, SPECIAL_TOKENS
from tokenization.bpe.tokenizer import INCOMPLETE, Tokenizer
from tokenization.records import Probe

PLACES = ("first", "second", "later")


class ValueTokenError(ValueError):
    """A tokenizer or a cut took a value apart."""


def value_places(tokenizer: Tokenizer, answer: Ids, probe: Probe) -> list[list[int]]:
    """The places in `answer` of the tokens of each value that the probe asks for: one value, or two of `two-facts`.
    Thoughts before the answer do not count.

    Raises ValueTokenError if the answer does not hold a value, or if a token holds letters or digits of a value and of
    the words beside it.
    """
    begins = answer.index(ANSWER) if ANSWER in answer else 0
    content = [place for place, token in enumerate(answer) if place >= begins and token >= len(SPECIAL_TOKENS)]
    texts = [tokenizer.decode(answer[place] for place in content[:end]) for end in range(len(content) + 1)]
    ends = [len(text.rstrip(INCOMPLETE)) for text in texts]
    found = []
    for forms in [[form] for form in probe.gold] if probe.tag == "two-facts" else [probe.gold]:
        patterns = [re.compile(rf"(?<!\w){re.escape(form)}(?!\w)", re.IGNORECASE) for form in forms]
        matches = [match for pattern in patterns if (match := pattern.search(texts[-1]))]
        if not matches:
            raise ValueTokenError(f"{texts[-1]!r} does not hold {' or '.join(map(repr, forms))}")
        start, end = max((match.span() for match in matches), key=lambda span: span[1] - span[0])
        inside = [i for i in range(len(content)) if ends[i] < end and max(ends[i + 1], ends[i] + 1) > start]
        around = texts[-1][ends[inside[0]] : start] + texts[-1][end : ends[inside[-1] + 1]]
        if re.search(r"\w", around):
            raise ValueTokenError(f"a token of {texts[-1]!r} holds {around.strip()!r} and a part of {forms[0]!r}")
        found.append([content[i] for i in inside])
    return found


def check_values(
    tokenizer: Tokenizer, conversations: Sequence[EncodedConversation], length: int, stage: str
) -> tuple[list[EncodedConversation], int]:
    """Return the conversations without the questions whose reference answers were cut at `length` before their value,
    and how many these were. Raises StageError if the tokenizer takes a value apart."""
    kept, cut = [], 0
    for conversation in conversations:
        probes = dict(conversation.probes)
        for turn, probe in conversation.probes.items():
            if probe.kind == "unknown":
                continue
            try:
                value_places(tokenizer, conversation.answers[turn], probe)
            except ValueTokenError as error:
                if len(conversation.queries[turn]) + len(conversation.answers[turn]) < length:
                    raise StageError(
                        f"conversation {conversation.id}, turn {turn}: the tokenizer does not keep the value that the "
                        f"question asks for: {error}",
                        Rerun(stage),
                    ) from error
                del probes[turn]
                cut += 1
        kept.append(
            EncodedConversation(
                conversation.id, conversation.language, conversation.queries, conversation.answers, probes
            )
        )
    return kept, cut


@torch.inference_mode()
def follow(
    speaker: Follower, conversations: Sequence[EncodedConversation], batch_size: int
) -> Iterator[tuple[int, int, Ids]]:
    """Write the reference answers; yield (conversation, turn, expected tokens) for every question about what was
    told."""
    for numbers in batches(conversations, batch_size):
        speaker.begin(numbers)
        for turn in range(max(len(conversations[n].queries) for n in numbers)):
            rows = [r for r, n in enumerate(numbers) if turn < len(conversations[n].queries)]
            asking = [r for r in rows if turn in (one := conversations[numbers[r]]).probes and asks(one, turn)]
            if asking:
                queries = [conversations[numbers[r]].queries[turn] for r in asking]
                answers = [conversations[numbers[r]].answers[turn] for r in asking]
                for r, expected in zip(asking, speaker.expect(asking, queries, answers), strict=True):
                    yield numbers[r], turn, expected
            write(speaker, conversations, numbers, turn, rows, [conversations[numbers[r]].answers[turn] for r in rows])


def asks(conversation: EncodedConversation, turn: int) -> bool:
    """Whether the probe of a turn asks for something that was told."""
    return conversation.probes[turn].kind != "unknown"


def value_token_rates(
    speaker: Follower, tokenizer: Tokenizer, conversations: Sequence[EncodedConversation], batch_size: int
) -> dict[str, dict[str, dict[str, float]]]:
    """The share of right tokens by generator (and `all`), at each place of a value (PLACES); `value`: the share of
    values whose tokens are all right."""
    right: dict[str, Counter[str]] = {}
    asked: dict[str, Counter[str]] = {}
    for number, turn, expected in follow(speaker, conversations, batch_size):
        probe, answer = conversations[number].probes[turn], conversations[number].answers[turn]
        for places in value_places(tokenizer, answer, probe):
            hits = [expected[place] == answer[place] for place in places]
            named = [(PLACES[min(i, len(PLACES) - 1)], hit) for i, hit in enumerate(hits)] + [("value", all(hits))]
            for group in ("all", probe.generator):
                for name, hit in named:
                    asked.setdefault(group, Counter())[name] += 1
                    right.setdefault(group, Counter())[name] += hit
    return {
        group: {name: proportion(right[group][name], n) for name, n in sorted(counts.items())}
        for group, counts in asked.items()
    }
