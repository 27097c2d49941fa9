"""Put memory dialogues into words: turn a plan, with values drawn for its facts, into a conversation and probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tokenization.dialogues.broad.speech import generate_broad
from tokenization.dialogues.english import ENGLISH
from tokenization.dialogues.phrasebook import Phrasebook, Role, Slot
from tokenization.dialogues.plan import DialogueAct, ask_again, count_facts, plan
from tokenization.dialogues.polish import POLISH
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.tools.calls import with_calls
from tokenization.dialogues.value_lists import Value
from tokenization.dialogues.values import PERSON, SPECIAL_SLOTS, mentioned, split_values
from tokenization.hashing import stable_hash
from tokenization.records import Conversation, Interaction, InteractionInMode, Language, Probe, Split

PHRASEBOOKS: dict[Language, Phrasebook] = {"en": ENGLISH, "pl": POLISH}


def generate(
    spec: DialogueSpec,
    language: Language,
    split: Split,
    seed: int,
    index: int,
    distractors: Sequence[Interaction] = (),
) -> Conversation:
    """Generate conversation `index` of a split. It depends only on the arguments. Real `distractors`, if given, replace
    a share REAL_TALK of the small talk, except those that contain a value of any slot."""
    told = _generate(spec, language, split, seed, index, distractors)
    return with_calls(told, spec.tools) if spec.tools else told


def _generate(
    spec: DialogueSpec, language: Language, split: Split, seed: int, index: int, distractors: Sequence[Interaction]
) -> Conversation:
    if spec.broad and stable_hash(f"generator/{language}/{split}/{seed}/{index}") < spec.broad * 2**64:
        return generate_broad(spec, language, split, seed, index, distractors)
    rng = Random(stable_hash(f"dialogue/{language}/{split}/{seed}/{index}"))
    acts = plan(spec, rng)
    if split == "train":
        acts = ask_again(spec, acts, rng)
    name = f"dialogue-{language}-{split}-{seed}-{index}"
    unseen = spec.held_out and split == "test"
    return _Speech(language, split, rng, spec.echo, unseen, distractors, spec.thinking).conversation(name, acts)


def example(language: Language, seed: int, split: Split = "test") -> Conversation:
    """Generate a conversation with two or three facts, some small talk, then a question about each fact."""
    rng = Random(stable_hash(f"example/{language}/{split}/{seed}"))
    facts = rng.choice((2, 3))
    tells = [DialogueAct("tell", fact) for fact in range(facts)]
    asks = [DialogueAct("ask", fact) for fact in rng.sample(range(facts), facts)]
    name = f"example-{language}-{split}-{seed}"
    return _Speech(language, split, rng).conversation(name, [*tells, DialogueAct("distract"), *asks])


class _Speech:
    """Puts one conversation into words."""

    def __init__(
        self,
        language: Language,
        split: Split,
        rng: Random,
        echo: float = 0.0,
        unseen: bool = False,
        distractors: Sequence[Interaction] = (),
        thinking: float = 0.0,
    ) -> None:
        self.language, self.split, self.rng = language, split, rng
        self.echo, self.unseen, self.distractors, self.thinking = echo, unseen, distractors, thinking
        self.book = PHRASEBOOKS[language]
        self.slots: list[Slot] = []
        self.told: dict[int, list[Value]] = {}
        self.stated: dict[int, int] = {}
        self.of_others: dict[int, Value] = {}
        self.acquaintances = _Acquaintances(language, split, rng)

    def conversation(self, name: str, acts: list[DialogueAct]) -> Conversation:
        self.slots = self.rng.sample(self.book.slots, count_facts(acts))
        if self.unseen and self.slots:
            self.slots[self.rng.randrange(len(self.slots))] = self.book.held_out
        self.acquaintances.draw(acts)
        interactions: list[Interaction] = []
        probes: list[Probe] = []
        for number, act in enumerate(acts):
            if act.kind == "distract":
                interactions.append(self._small_talk())
            elif act.kind in ("tell", "update"):
                interactions.append(self._tell(number, act))
            elif act.kind == "other":
                interactions.append(self._tell_of_somebody_else(act))
            elif act.kind in ("role", "residence"):
                interactions.append(self._answered(*self.acquaintances.tell(number, act)))
            elif act.kind == "join":
                role, place = self.acquaintances.asked(act)
                answered = Interaction(role.question, role.answer.format(place[0]))
                interactions.append(self._in_a_mode(answered, act, f"{name}/{number}"))
                probes.append(self._join(number, act, place))
            else:
                interaction, probe = self._ask(number, act, later=acts[number:])
                interactions.append(interaction)
                probes.append(probe)
        return Conversation(name, self.language, "dialogues", self.split, tuple(interactions), tuple(probes))

    def _small_talk(self) -> Interaction:
        if self.distractors and self.rng.random() < REAL_TALK:
            pick = self.rng.choice(self.distractors)
            text = f"{pick.query} {pick.answer}"
            special = SPECIAL_SLOTS if self.unseen or self.acquaintances.people else ()
            if not any(mentioned(text, self.language, slot) for slot in (None, *special)):
                return pick
        return self.book.small_talk(self.rng)

    def _tell(self, number: int, act: DialogueAct) -> Interaction:
        slot = self.slots[act.fact]
        known = self.told.setdefault(act.fact, [])
        value = self._draw(slot, known)
        known.append(value)
        self.stated[act.fact] = number
        sentences = slot.updates if act.kind == "update" else (self.unseen and slot.unseen_tells) or slot.tells
        sentence = self.rng.choice(sentences).format(value[0])
        return self._answered(sentence, slot.questions[0][1].format(value[0]))

    def _tell_of_somebody_else(self, act: DialogueAct) -> Interaction:
        slot = self.slots[act.fact]
        self.of_others[act.fact] = value = self._draw(slot, ())
        return Interaction(self.rng.choice(slot.others).format(value[0]), self.book.acknowledgement)

    def _answered(self, sentence: str, back: str) -> Interaction:
        """Make an interaction of a statement and an acknowledgement, which may repeat the statement."""
        answer = self.book.echo.format(back) if self.rng.random() < self.echo else self.book.acknowledgement
        return Interaction(sentence, answer)

    def _draw(self, slot: Slot, known: Sequence[Value]) -> Value:
        table = split_values(self.language, slot.name, self.split)
        return self.rng.choice([value for value in table if value not in known] if known else table)

    def _ask(self, number: int, act: DialogueAct, later: Sequence[DialogueAct]) -> tuple[Interaction, Probe]:
        slot = self.slots[act.fact]
        question, answer = self.rng.choice((self.unseen and slot.unseen_questions) or slot.questions)
        current = self.told.get(act.fact, ())
        tag = ""
        if not current:
            tag = "told-later" if DialogueAct("tell", act.fact) in later else "never-told"
            tag = "somebody-else" if act.fact in self.of_others else tag
        probe = Probe(
            turn=number,
            slot=slot.name,
            kind="unknown" if not current else "update" if len(current) > 1 else "recall",
            gold=current[-1] if current else (self.book.refusal,),
            forbidden=(*(value[0] for value in current[:-1]), *self._others(act.fact)),
            distance=number - self.stated[act.fact] if current else 0,
            facts=self._facts(),
            tag=tag,
        )
        return Interaction(question, answer.format(current[-1][0]) if current else self.book.refusal), probe

    def _in_a_mode(self, answered: Interaction, act: DialogueAct, name: str) -> Interaction:
        """Let a share `thinking` of the answers think first. The draw depends on `name` alone, so all else is the same
        whatever the share is."""
        if not self.thinking:
            return answered
        if stable_hash(f"thinking/{name}") < self.thinking * 2**64:
            return replace(answered, think=self.acquaintances.thought(act))
        return InteractionInMode(answered.query, answered.answer)

    def _join(self, number: int, act: DialogueAct, place: Value) -> Probe:
        return Probe(
            turn=number,
            slot=self.book.acquaintances.residence.name,
            kind="recall",
            gold=place,
            forbidden=tuple(value for value in self._others(-1) if value != place[0]),
            distance=number - self.acquaintances.since(act),
            facts=self._facts(),
            tag="join",
        )

    def _others(self, fact: int) -> list[str]:
        """Return every value told so far that does not belong to this fact."""
        values = [value[0] for other, values in self.told.items() if other != fact for value in values]
        return [*values, *(value[0] for value in self.of_others.values()), *self.acquaintances.told_places()]

    def _facts(self) -> int:
        return len(self.told) + len(self.acquaintances.stated)


class _Acquaintances:
    """Holds who has which role, where they live, and in which turns each was told."""

    def __init__(self, language: Language, split: Split, rng: Random) -> None:
        self.language, self.split, self.rng = language, split, rng
        self.book = PHRASEBOOKS[language].acquaintances
        self.roles: list[Role] = []
        self.people: list[Value] = []
        self.places: list[Value] = []
        self.stated: dict[tuple[str, int], int] = {}

    def draw(self, acts: list[DialogueAct]) -> None:
        count = sum(act.kind == "join" for act in acts)
        if count:
            self.roles = self.rng.sample(self.book.roles, count)
            self.people = self.rng.sample(split_values(self.language, PERSON, self.split), count)
            self.places = self.rng.sample(split_values(self.language, self.book.residence.name, self.split), count)

    def tell(self, number: int, act: DialogueAct) -> tuple[str, str]:
        """Return the user's sentence and the one that repeats it."""
        self.stated[act.kind, act.fact] = number
        role, person, place = self.roles[act.fact], self.people[act.fact][0], self.places[act.fact][0]
        if act.kind == "role":
            return role.tell.format(person), role.echo.format(person)
        sentence = self.rng.choice(self.book.residence.tells).format(person, place)
        return sentence, sentence

    def asked(self, act: DialogueAct) -> tuple[Role, Value]:
        return self.roles[act.fact], self.places[act.fact]

    def thought(self, act: DialogueAct) -> str:
        """Return both facts as they were told, who has the role first."""
        person, place = self.people[act.fact][0], self.places[act.fact][0]
        return f"{self.roles[act.fact].tell.format(person)} {self.book.residence.tells[0].format(person, place)}"

    def since(self, act: DialogueAct) -> int:
        """Return the turn of the earlier of the two statements."""
        return min(self.stated["role", act.fact], self.stated["residence", act.fact])

    def told_places(self) -> list[str]:
        return [self.places[fact][0] for kind, fact in self.stated if kind == "residence"]
