"""Test recall: who remembers what, and that the controls really take the memory away."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest
import torch

from jobs.evaluation.rates import tabulate
from jobs.evaluation.recall import (
    ReactiveSpeaker,
    StatelessSpeaker,
    ask,
    batches,
    list_questions,
    load_conversations,
    play,
)
from jobs.stage.context import Change, StageError
from rxt_model.config import ControlTokens
from tests.support.evaluation_data import LENGTH, make_conversations, make_models, make_shards, make_tokenizer
from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY
from tokenization.dialogues.values import mentioned, split_values
from tokenization.dialogues.wording import PHRASEBOOKS
from tokenization.shards.reader import ShardReader


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def reader(tokenizer, tmp_path_factory):
    uris = make_shards(tmp_path_factory.mktemp("shards"), tokenizer, conversations=60)
    return ShardReader(uris["conversations"], "test")


class Notebook:
    """A memory that keeps the tokens of every interaction."""

    size = 600
    config = SimpleNamespace(
        length=LENGTH,
        stateful_layers=1,
        slot_dim=1,
        vocab_size=1000,
        memory=SimpleNamespace(slots=size),
        tokens=ControlTokens(),
    )

    def initial_memories(self, generators):
        return torch.zeros(1, len(generators), self.size, 1)

    def encode(self, ids, mask, memory):
        return (ids * mask)[None, :, :, None].float()

    def write(self, memory, encoded, mask):
        return torch.cat([memory, encoded], dim=2)[:, :, -self.size :]


class Reader(ReactiveSpeaker):
    """Answers from the notebook alone with the newest value of the slot, and guesses if the notebook is blank."""

    def __init__(self, tokenizer):
        super().__init__(Notebook())
        self.tokenizer = tokenizer
        self.random = random.Random(0)
        self.questions = {
            question: (language, slot.name, answer)
            for language, book in PHRASEBOOKS.items()
            for slot in book.slots
            for question, answer in slot.questions
        }

    def generate(self, memory, queries):
        return [self.reply(memory[0, row, :, 0].int().tolist(), query) for row, query in enumerate(queries)]

    def reply(self, held, query):
        asked = self.questions.get(self.tokenizer.decode(query))
        if asked is None:
            return [ANSWER, EOS]
        language, slot, answer = asked
        notes = " ".join(str(i) for i in held).split(f"{BOS} {QUERY} ")[1:]
        found = [mentioned(self.tokenizer.decode(map(int, note.split())), language, slot) for note in notes]
        newest = next((values for values in reversed(found) if values), None)
        if newest:
            text = answer.format(newest.pop())
        elif notes:
            text = PHRASEBOOKS[language].refusal
        else:
            text = answer.format(self.random.choice(split_values(language, slot, "test"))[0])
        return [ANSWER, *self.tokenizer.encode(text), EOS]


def test_a_perfect_memory_scores_one_and_an_empty_one_at_chance(tokenizer, reader):
    conversations = load_conversations(reader, 120, seed=0)
    outcomes, _ = ask(Reader(tokenizer), tokenizer, conversations, batch_size=16)
    arms = {arm: tabulate([o for o in outcomes if o.arm == arm]) for arm in ReactiveSpeaker.arms}
    assert arms["rxt"]["distance_1_to_4"]["accuracy"] == 1.0
    assert arms["rxt"]["distance_1_to_4"]["n"] >= 120
    assert {kind: cell["accuracy"] for kind, cell in arms["rxt"]["by_kind"].items()} == {
        "recall": 1.0, "update": 1.0, "unknown": 1.0,
    }  # fmt: skip
    zeroed = arms["zeroed"]["distance_1_to_4"]
    assert zeroed["low"] <= zeroed["chance"] <= zeroed["high"]
    assert arms["shuffled"]["distance_1_to_4"]["high"] < 0.2


def test_the_same_seed_asks_the_same_questions(reader):
    first, again, other = (list_questions(load_conversations(reader, 50, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert {q.language for q in first} == {"en", "pl"}
    near = sum(q.probe.distance in range(1, 5) for q in first)
    assert 50 <= near < 60


def test_questions_know_whether_they_were_asked_before(reader):
    conversation = load_conversations(reader, 1, seed=0)[0]
    (turn, probe), *_ = sorted(conversation.probes.items())
    conversation.probes[turn + 100] = probe
    questions = [q for q in list_questions([conversation]) if q.probe == probe]
    assert [q.first for q in questions] == [True, False]


def test_batches_hold_one_language_and_never_a_single_conversation(reader):
    conversations = load_conversations(reader, 150, seed=0)
    for size in (1, 2, 7, 500):
        parts = batches(conversations, size)
        assert sorted(n for part in parts for n in part) == list(range(len(conversations)))
        assert all(len(part) >= 2 and len({conversations[n].language for n in part}) == 1 for part in parts)
    polish = [n for n, conversation in enumerate(conversations) if conversation.language == "pl"]
    with pytest.raises(StageError, match="single 'en' conversation") as caught:
        batches([conversations[0], *(conversations[n] for n in polish)], 4)
    assert caught.value.remedy == Change("conversations.test", 400)


def test_controls_change_the_memory_that_is_read(tokenizer, reader):
    model, _ = make_models(tokenizer)
    conversations = load_conversations(reader, 20, seed=0)
    speaker = ReactiveSpeaker(model)
    numbers = batches(conversations, 4)[0]
    with torch.inference_mode():
        for _ in play(speaker, conversations, numbers, teacher_forced=False, controls=False):
            pass
    live, zeroed, shuffled = (speaker.read(arm) for arm in ("rxt", "zeroed", "shuffled"))
    assert zeroed.count_nonzero() == 0 and live.count_nonzero() == live.numel()
    rows = range(live.shape[1])
    donors = [next(r for r in rows if torch.equal(shuffled[:, row], live[:, r])) for row in rows]
    assert sorted(donors) == list(rows) and all(donor != row for row, donor in enumerate(donors))


def test_controls_leave_the_conversation_as_it_was(tokenizer, reader):
    model, _ = make_models(tokenizer)
    conversations = load_conversations(reader, 8, seed=0)
    with_controls = ask(ReactiveSpeaker(model), tokenizer, conversations, 8)[1]
    without = ask(ReactiveSpeaker(model), tokenizer, conversations, 8, controls=False)[1]
    assert with_controls == without


def test_free_running_remembers_own_words_and_teacher_forcing_the_reference(reader):
    """The speaker always gives the same answer, and notes what it is told to remember."""

    class Parrot:
        arms = ("main", "control")

        def begin(self, conversations):
            self.held = [[] for _ in conversations]

        def answer(self, arm, rows, queries):
            return [[ANSWER, 400 if arm == "main" else 401, EOS]] * len(rows)

        def remember(self, rows, interactions):
            for row, interaction in zip(rows, interactions, strict=True):
                self.held[row].append(interaction)

    conversations = load_conversations(reader, 20, seed=0)
    numbers = batches(conversations, 100)[0]
    for forced in (False, True):
        parrot = Parrot()
        given = list(play(parrot, conversations, numbers, teacher_forced=forced, controls=True))
        for row, number in enumerate(numbers):
            conversation = conversations[number]
            answers = conversation.answers if forced else [[ANSWER, 400, EOS]] * len(conversation.queries)
            assert parrot.held[row] == [q + a for q, a in zip(conversation.queries, answers, strict=True)]
        asked = sum(len(conversations[n].probes) for n in numbers)
        assert sum(arm == "control" for arm, *_ in given) == asked
        assert sum(arm == "main" for arm, *_ in given) == (
            asked if forced else sum(len(conversations[n].queries) for n in numbers)
        )


def test_ragged_batches_answer_as_conversations_alone(tokenizer, reader):
    """Rows of a batch end at different turns; each must be answered as if it were alone with one neighbour."""
    for speaker in (ReactiveSpeaker(make_models(tokenizer)[0]), StatelessSpeaker(make_models(tokenizer)[1])):
        conversations = [t for t in load_conversations(reader, 40, seed=0) if t.language == "en"][:4]
        assert len({len(t.queries) for t in conversations}) > 1
        with torch.inference_mode():
            together = {
                x[:3]: x[3] for x in play(speaker, conversations, range(4), teacher_forced=True, controls=False)
            }
            for pair in ((0, 1), (2, 3)):
                for arm, number, turn, ids in play(speaker, conversations, pair, teacher_forced=True, controls=False):
                    assert together[arm, number, turn] == ids


def test_the_rival_reads_the_whole_history_and_the_floor_nothing(tokenizer, reader, monkeypatch):
    conversations = load_conversations(reader, 20, seed=0)
    numbers = batches(conversations, 100)[0]
    speaker = StatelessSpeaker(make_models(tokenizer)[1])
    prompts = {}
    plain = speaker.answer

    def spy(arm, rows, queries):
        for row in rows:
            prompts[arm, row] = list(speaker.histories[row])
        return plain(arm, rows, queries)

    monkeypatch.setattr(speaker, "answer", spy)
    list(play(speaker, conversations, numbers, teacher_forced=True, controls=False))
    for row, number in enumerate(numbers):
        conversation = conversations[number]
        last = max(conversation.probes)
        told = [q + a for q, a in zip(conversation.queries[:last], conversation.answers[:last], strict=True)]
        assert prompts["full_history", row] == sum(told, [])


def test_talks_hold_what_was_generated(tokenizer, reader):
    originals = {conversation.id: conversation for conversation in make_conversations(60)}
    for conversation in load_conversations(reader, 30, seed=0):
        original = originals[conversation.id]
        assert tuple(conversation.probes.values()) == original.probes
        assert [tokenizer.decode(q) for q in conversation.queries] == [i.query for i in original.interactions]
        assert [tokenizer.decode(a) for a in conversation.answers] == [i.answer for i in original.interactions]
        assert re.match(f"dialogue-{conversation.language}-test", conversation.id)
