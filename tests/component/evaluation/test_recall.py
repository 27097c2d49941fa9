"""Test recall: who remembers what, and that the controls really take the memory away."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest
import torch

from jobs.evaluation.conversations import batches, list_questions, load_conversations, told_at
from jobs.evaluation.rates import tabulate
from jobs.evaluation.recall import ask, play
from jobs.evaluation.speakers import ReactiveSpeaker, StatelessSpeaker
from jobs.stage.context import Change, StageError
from rxt_model.config import ControlTokens
from tests.support.evaluation_data import LENGTH, make_conversations, make_models, make_shards, make_tokenizer
from tokenization.bpe.special_tokens import ANSWER, BOS, EOS, QUERY
from tokenization.dialogues.spec import DialogueSpec
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
        memory=SimpleNamespace(slots=size, thoughts=True),
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

    def generate(self, memory, queries, mode):
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
    arms = {arm: tabulate([o for o in outcomes if o.arm == arm])["all"] for arm in (*ReactiveSpeaker.arms, "donor")}
    assert arms["rxt"]["distance_1_to_4"]["accuracy"] == 1.0
    assert arms["rxt"]["distance_1_to_4"]["n"] >= 120
    kinds = ("recall", "update", "unknown")
    assert [arms["rxt"]["by_kind"][kind]["accuracy"] for kind in kinds] == [1.0, 1.0, 1.0]
    zeroed = arms["zeroed"]["distance_1_to_4"]
    assert zeroed["low"] <= zeroed["chance"] <= zeroed["high"]
    assert arms["shuffled"]["distance_1_to_4"]["accuracy"] == 0.0
    assert arms["donor"]["distance_1_to_4"]["accuracy"] == 1.0
    assert arms["donor"]["distance_1_to_4"]["n"] > 50
    last, unplanted = arms["last"], arms["unplanted"]
    assert last["by_distance"]["1"]["accuracy"] == 1.0
    assert sum(cell["correct"] for name, cell in last["by_distance"].items() if name != "1") == 0
    recalled = unplanted["by_kind"]["recall"]  # without any turn in memory, the reader guesses
    assert recalled["abstained"] > 0.8 and recalled["low"] <= recalled["chance"]
    assert unplanted["by_kind"]["update"]["stale"] == 1.0


def test_the_same_seed_asks_the_same_questions(reader):
    first, again, other = (list_questions(load_conversations(reader, 50, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert {q.language for q in first} == {"en", "pl"}
    near = sum(q.probe.distance in range(1, 5) for q in first)
    assert 50 <= near < 60


def test_both_generators_give_as_many_questions(tokenizer, tmp_path):
    spec = DialogueSpec(turns=(4, 7), facts=(1, 3), broad=0.2)
    uris = make_shards(tmp_path, tokenizer, conversations=80, spec=spec)
    conversations = load_conversations(ShardReader(uris["conversations"], "test"), 20, seed=0)
    for generator in ("templates", "broad"):
        asked = [q.probe for q in list_questions(conversations) if q.probe.generator == generator]
        assert 20 <= sum(probe.distance in range(1, 5) for probe in asked) < 30


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
    live, zeroed = (speaker.read(arm) for arm in ("rxt", "zeroed"))
    assert zeroed.count_nonzero() == 0 and live.count_nonzero() == live.numel()


def test_the_memory_of_another_was_told_another_value_if_one_was(tokenizer, reader, monkeypatch):
    conversations = load_conversations(reader, 60, seed=0)
    numbers = batches(conversations, 100)[0]
    speaker = ReactiveSpeaker(make_models(tokenizer)[0])
    fitting = []

    def spy(arms, rows, queries):
        answered = [row for arm, row in zip(arms, rows, strict=True) if arm == "zeroed"]
        read = [row for arm, row in zip(arms, rows, strict=True) if arm == "shuffled"]
        for row, other in zip(answered, read, strict=True):
            assert row != other
            turn = len(speaker.seen)
            probe = conversations[numbers[row]].probes[turn]
            held = conversations[numbers[other]].probes.values()
            fits = [p for p in held if p.slot == probe.slot and p.kind != "unknown" and told_at(p) < turn]
            fitting.append(any(p.gold != probe.gold for p in fits))
        return [[ANSWER, EOS]] * len(rows)

    monkeypatch.setattr(speaker, "answer", spy)
    speaker.seen = []
    monkeypatch.setattr(speaker, "remember", lambda *arguments: speaker.seen.append(arguments))
    list(play(speaker, conversations, numbers, teacher_forced=False, controls=True))
    assert sum(fitting) > 0.8 * len(fitting)


def test_control_memories_lack_what_they_should(tokenizer, reader):
    """The last turn alone, and all turns but those that tell what is asked: the same as writing just these."""
    model, _ = make_models(tokenizer)
    conversations = load_conversations(reader, 20, seed=0)
    numbers = batches(conversations, 100)[0]
    speaker = ReactiveSpeaker(model)
    with torch.inference_mode():
        list(play(speaker, conversations, numbers, teacher_forced=True, controls=True))
        for row, number in enumerate(numbers):
            one = conversations[number]
            turns = [q + a for q, a in zip(one.queries, one.answers, strict=True)]
            told = {p.turn - p.distance for p in one.probes.values() if p.kind != "unknown"}
            alone = ReactiveSpeaker(model)
            for arm, kept in (("last", turns[-1:]), ("unplanted", [t for i, t in enumerate(turns) if i not in told])):
                alone.begin([number])
                for interaction in kept:
                    alone.remember([0], [interaction], [False])
                torch.testing.assert_close(alone.memory[:, 0], speaker.read(arm)[:, row], rtol=1e-4, atol=1e-5)


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

        def answer(self, arms, rows, queries):
            return [[ANSWER, 400 if arm == "main" else 401, EOS] for arm in arms]

        def remember(self, rows, interactions, telling):
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

    def spy(arms, rows, queries):
        for arm, row in zip(arms, rows, strict=True):
            prompts[arm, row] = list(speaker.histories[row])
        return plain(arms, rows, queries)

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


def test_the_arms_of_the_rival_read_as_much_of_the_history_as_they_should(tokenizer, monkeypatch):
    from rxt_model import generate

    speaker = StatelessSpeaker(make_models(tokenizer)[1])
    speaker.begin([0])
    speaker.remember([0], [list(range(100, 130))], [True])
    read = []
    monkeypatch.setattr(generate, "answer", lambda model, memory, prompts, rooms, **modes: read.extend(prompts))
    speaker.answer(("full_history", "window", "no_history"), [0, 0, 0], [[7]] * 3)
    assert read == [[*range(100, 130), 7], [*range(122, 130), 7], [7]]  # eight slots
