"""Measure what a model remembers: test conversations are played turn by turn, and each speaker keeps its own memory.

In free-running mode (the headline), each speaker's own answers enter its memory or history. In teacher-forced mode (a
diagnostic), the reference answers do. Control arms answer the same questions as the main arm but write nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from jobs.evaluation.conversations import EncodedConversation, Ids, batches, list_questions, told_at
from jobs.evaluation.rates import Outcome, Question
from jobs.evaluation.speakers import Speaker
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.dialogues.score import chance, score
from tokenization.records import Probe


class Playable(Protocol):
    """What is played of a conversation: its queries, the turns with a probe, and those that tell what is asked. Without
    teacher forcing, nobody reads the reference answers."""

    @property
    def queries(self) -> tuple[Ids, ...]: ...
    @property
    def answers(self) -> tuple[Ids, ...]: ...
    @property
    def probes(self) -> Mapping[int, Any]: ...
    @property
    def tells(self) -> Container[int]: ...
    def held(self, turn: int) -> Mapping[str, Probe]: ...


def play(
    speaker: Speaker,
    conversations: Sequence[Playable],
    numbers: Sequence[int],
    *,
    teacher_forced: bool,
    controls: bool,
) -> Iterator[tuple[str, int, int, Ids]]:
    """Play one batch of conversations; yield (arm, conversation, turn, answer ids) for every answer."""
    main, *others = speaker.arms
    speaker.begin(numbers)
    for turn in range(max(len(conversations[n].queries) for n in numbers)):
        rows = [r for r, n in enumerate(numbers) if turn < len(conversations[n].queries)]
        asking = [r for r in rows if turn in conversations[numbers[r]].probes]
        calls = [(main, r, r) for r in (asking if teacher_forced else rows)]
        for arm in others if controls else ():
            calls += [(arm, r, donor(conversations, numbers, r, turn) if arm == "shuffled" else r) for r in asking]
        own: dict[int, Ids] = {}
        if calls:  # all arms at once, since a larger batch costs little more
            queries = [conversations[numbers[r]].queries[turn] for _, r, _ in calls]
            answers = speaker.answer([arm for arm, *_ in calls], [read for *_, read in calls], queries)
            yield from ((arm, numbers[r], turn, a) for (arm, r, _), a in zip(calls, answers, strict=True))
            own = {r: a for (arm, r, _), a in zip(calls, answers, strict=True) if arm == main}
        kept = [conversations[numbers[r]].answers[turn] if teacher_forced else own[r] for r in rows]
        write(speaker, conversations, numbers, turn, rows, kept)


def write(
    speaker: Speaker,
    conversations: Sequence[Playable],
    numbers: Sequence[int],
    turn: int,
    rows: Sequence[int],
    answers: Sequence[Ids],
) -> None:
    """Let the speaker remember a turn with these answers, one per row."""
    played = [conversations[numbers[r]] for r in rows]
    interactions = [one.queries[turn] + answer for one, answer in zip(played, answers, strict=True)]
    speaker.remember(rows, interactions, [turn in one.tells for one in played])


def donor(conversations: Sequence[Playable], numbers: Sequence[int], row: int, turn: int) -> int:
    """The row whose memory the arm `shuffled` reads when `row` asks: the nearest before it that was told another value
    of the same kind of fact, or else the nearest."""
    others = [(row - step) % len(numbers) for step in range(1, len(numbers))]
    probe = conversations[numbers[row]].probes[turn]
    fitting = (r for r in others if other_value(conversations[numbers[r]], probe))
    return next(fitting, others[0])


def other_value(conversation: Playable, probe: Probe) -> Probe | None:
    """The probe for the same kind of fact as `probe`, if the conversation was told another value of it by then."""
    found = conversation.held(probe.turn).get(probe.slot)
    return found if found and found.gold != probe.gold else None


@torch.inference_mode()
def ask(
    speaker: Speaker,
    tokenizer: Tokenizer,
    conversations: Sequence[EncodedConversation],
    batch_size: int,
    *,
    teacher_forced: bool = False,
    controls: bool = True,
) -> tuple[list[Outcome], dict[tuple[int, int], str]]:
    """Ask every arm all questions of the conversations. Returns the outcomes, and the answers of the main arm by
    (conversation, turn).

    The answers of the arm `shuffled` are judged twice: by the value of the conversation that asks, and, as arm `donor`,
    by that of the conversation whose memory was read, if this was told the same kind of fact.
    """
    questions = {(q.conversation, q.turn): q for q in list_questions(conversations)}
    outcomes, said = [], {}
    for numbers in batches(conversations, batch_size):
        place = {number: row for row, number in enumerate(numbers)}
        for arm, number, turn, ids in play(
            speaker, conversations, numbers, teacher_forced=teacher_forced, controls=controls
        ):
            text = decode_answer(tokenizer, ids)
            if arm == speaker.arms[0]:
                said[number, turn] = text
            question = questions.get((number, turn))
            if question is None:
                continue
            outcomes.append(Outcome(question, arm, text, score(text, question.probe, question.language)))
            if arm == "shuffled" and question.probe.kind != "unknown":
                read = conversations[numbers[donor(conversations, numbers, place[number], turn)]]
                if held := other_value(read, question.probe):
                    asked = _of_donor(question, held)
                    outcomes.append(Outcome(asked, "donor", text, score(text, asked.probe, asked.language)))
    return outcomes, said


def _of_donor(question: Question, held: Probe) -> Question:
    """The question as the conversation would ask it whose memory is read."""
    probe = replace(held, turn=question.turn, kind="recall", distance=question.turn - told_at(held))
    return replace(
        question, probe=probe, first=True, chance=chance(held.slot, question.language, "test"), majority=False
    )
