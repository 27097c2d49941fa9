"""Play dialogues in people's own words: the model answers every turn itself, from a fresh memory for each dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jobs.evaluation.conversations import Ids
from jobs.evaluation.own_words.reader import OwnWordsDialogue, OwnWordsProbe
from jobs.evaluation.recall import play
from jobs.evaluation.speakers import ReactiveSpeaker, StatelessSpeaker
from rxt_model.baseline import StatelessDecoder
from rxt_model.generate import Mode
from rxt_model.model import ReactiveTransformer
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer, encode_query
from tokenization.records import Interaction, Probe

Place = tuple[str, int]  # the id of a dialogue, and a turn counted from 0


@dataclass(frozen=True)
class Played:
    """`answers` of each arm by place; the control arms answer questions alone. `turns` in all; `cut` are those that the
    model read only the beginning of, and how many of their tokens it read, of how many."""

    answers: dict[str, dict[Place, str]]
    turns: int
    cut: dict[Place, tuple[int, int]]


@dataclass(frozen=True)
class EncodedDialogue:
    """A dialogue as queries `[BOS] [Q] …`. It has no reference answers, and does not say which turns tell a fact."""

    queries: tuple[Ids, ...]
    probes: dict[int, OwnWordsProbe]
    answers: tuple[Ids, ...] = ()
    tells: frozenset[int] = frozenset()

    def held(self, turn: int) -> dict[str, Probe]:
        """No probe: there is no list of kinds of facts."""
        return {}


class EmptiedSpeaker(ReactiveSpeaker):
    """RxT as `rxt chat` talks: each conversation begins with the same memory, and the model chooses its mode. Arm
    `emptied` is a control that gets this memory at every question, so it can only guess."""

    arms = ("rxt", "emptied")
    mode: Mode = "auto"

    def begin(self, conversations: Sequence[int]) -> None:
        super().begin([0] * len(conversations))
        self.fresh = self.memory

    def read(self, arm: str) -> Tensor:
        return self.fresh if arm == "emptied" else self.memory


@torch.inference_mode()
def play_own_words(
    model: ReactiveTransformer | StatelessDecoder,
    tokenizer: Tokenizer,
    dialogues: Sequence[OwnWordsDialogue],
    batch_size: int,
) -> Played:
    """Play all dialogues with greedy answers. A stateless model reads its full history, and in the arm `no_history` the
    question alone."""
    length = model.config.length
    speaker = StatelessSpeaker(model) if isinstance(model, StatelessDecoder) else EmptiedSpeaker(model)
    encoded = [_encoded(tokenizer, dialogue, length) for dialogue in dialogues]
    answers: dict[str, dict[Place, str]] = {arm: {} for arm in speaker.arms}
    for start in range(0, len(dialogues), batch_size):
        numbers = range(len(dialogues))[start : start + batch_size]
        for arm, number, turn, ids in play(speaker, encoded, numbers, teacher_forced=False, controls=True):
            answers[arm][dialogues[number].id, turn] = decode_answer(tokenizer, ids)
    frame = len(_query(tokenizer, "", length))
    cut = {}
    for dialogue, found in zip(dialogues, encoded, strict=True):
        for turn, (said, query) in enumerate(zip(dialogue.turns, found.queries, strict=True)):
            kept, whole = len(query) - frame, len(tokenizer.encode(said.user))
            if kept < whole:
                cut[dialogue.id, turn] = kept, whole
    return Played(answers, sum(len(dialogue.turns) for dialogue in dialogues), cut)


def _encoded(tokenizer: Tokenizer, dialogue: OwnWordsDialogue, length: int) -> EncodedDialogue:
    return EncodedDialogue(
        queries=tuple(_query(tokenizer, turn.user, length) for turn in dialogue.turns),
        probes={number: turn.probe for number, turn in enumerate(dialogue.turns) if turn.probe},
    )


def _query(tokenizer: Tokenizer, text: str, length: int) -> Ids:
    return encode_query(tokenizer, Interaction(query=text, answer=""), length)
