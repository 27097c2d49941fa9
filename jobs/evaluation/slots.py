"""Show in an example what the slots of a memory hold, and from which of them an answer was copied."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import torch

from jobs.evaluation.conversations import EncodedConversation, Ids
from jobs.evaluation.held_words import held_words
from jobs.evaluation.speakers import ReactiveSpeaker
from jobs.stage.markdown import inline, table
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.records import BROAD, LANGUAGES

BLANK = "\u2423"  # shown for a token of spaces alone
SHOWN = 0.02  # slots with at least this share of a token are listed
MOST = 4  # of them in the report
LONGEST = 24  # tokens of an answer that are shown; a model that repeats itself would fill pages


@torch.inference_mode()
def slot_examples(
    speaker: ReactiveSpeaker, tokenizer: Tokenizer, conversations: Sequence[EncodedConversation]
) -> list[dict[str, Any]]:
    """One example per language: the first conversation that asks for one of several told facts, played up to that
    question with the model's own answers. Empty for a model without a copying head, whose slots have no names."""
    found = []
    for language in LANGUAGES:
        fitting = [
            (one, turn)
            for one in sorted(conversations, key=lambda one: not _is_broad(one))
            for turn, probe in sorted(one.probes.items())
            if one.language == language and probe.kind != "unknown" and probe.facts > 1
        ]
        if fitting and (example := _example(speaker, tokenizer, *fitting[0])):
            found.append(example)
    return found


def _example(
    speaker: ReactiveSpeaker, tokenizer: Tokenizer, conversation: EncodedConversation, turn: int
) -> dict[str, Any] | None:
    speaker.begin([0])
    turns: list[Ids] = []
    for query in conversation.queries[:turn]:
        turns.append(query + speaker.answer(speaker.arms[:1], [0], [query])[0])
        speaker.remember([0], turns[-1:], [False])
    held = speaker.model.slot_ids(speaker.memory)
    if held is None:
        return None
    query = conversation.queries[turn]
    answer = speaker.answer(speaker.arms[:1], [0], [query])[0]
    output = speaker.model.decode(torch.tensor([query + answer], device=held.device), speaker.memory)
    assert output.pointers is not None, "a model whose slots have names has a copying head"
    shares = output.pointers.shares[0, len(query) - 1 : -1].exp()
    slots = held[0].tolist()
    words, others = held_words(tokenizer, slots, turns)
    said = [i for i, token in enumerate(answer) if token >= len(SPECIAL_TOKENS)][:LONGEST]
    return {
        "conversation": conversation.id,
        "language": conversation.language,
        "turns": [
            {"query": tokenizer.decode(asked), "answer": decode_answer(tokenizer, ids[len(asked) :]), "held": kept}
            for asked, ids, kept in zip(conversation.queries, turns, words, strict=False)
        ],
        "others": others,
        "question": tokenizer.decode(query),
        "gold": conversation.probes[turn].gold[0],
        "answer": decode_answer(tokenizer, answer),
        "slots": [tokenizer.decode([token]).strip() or BLANK if token >= 0 else "" for token in slots],
        "tokens": [
            {
                "text": tokenizer.decode([answer[i]]),
                "slots": [round(share, 4) for share in shares[i, : len(slots)].tolist()],
                "interaction": round(float(shares[i, len(slots) :].sum()), 4),
            }
            for i in said
        ],
    }


def _is_broad(conversation: EncodedConversation) -> bool:
    return any(probe.generator == BROAD for probe in conversation.probes.values())


def read_slots(example: dict[str, Any], token: dict[str, Any]) -> dict[str, float]:
    """The words of the slots that a token was copied from, each with its share, the largest first. Slots with the same
    word count together."""
    shares: dict[str, float] = {}
    for word, share in zip(example["slots"], token["slots"], strict=True):
        if word:
            shares[word] = shares.get(word, 0.0) + share
    kept = [(word, share) for word, share in shares.items() if share >= SHOWN]
    return dict(sorted(kept, key=lambda pair: -pair[1]))


def write_examples(examples: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of the report's section about the examples; none without examples."""
    lines = ["## What memory holds: the first conversation of each language with several facts", ""] if examples else []
    for example in examples:
        lines.append("```")
        for turn in example["turns"]:
            lines += [*_spoken("you", turn["query"]), *_spoken("rxt", turn["answer"])]
            lines += _spoken("   ", f"held: {' | '.join(turn['held']) or 'nothing'}")
        lines += _spoken("   ", f"held of no turn: {' | '.join(example['others'])}") if example["others"] else []
        lines += [*_spoken("you", example["question"]), *_spoken("rxt", example["answer"])]
        lines += [*_spoken("   ", f"right: {example['gold']}"), "```", ""]
        rows = []
        for token in example["tokens"]:
            read = list(read_slots(example, token).items())[:MOST]
            own, slots = token["interaction"], sum(token["slots"])
            rows.append(
                [
                    inline(token["text"].strip() or BLANK),
                    ", ".join(f"{inline(word)} {100 * share:.0f} %" for word, share in read) or "-",
                ]
            )
            rows[-1] += [f"{100 * share:.0f} %" for share in (slots, own, max(0.0, 1 - slots - own))]
        lines += [table(["said", "slots it was copied from", "memory", "own turn", "vocabulary"], rows, names=2), ""]
    return lines


def _spoken(who: str, text: str) -> list[str]:
    """A turn in lines of at most 110 columns."""
    mark = f"{who}> " if who.strip() else "     "
    return textwrap.wrap(" ".join(text.replace("`", "'").split()), 110, initial_indent=mark, subsequent_indent="     ")
