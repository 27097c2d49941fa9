"""Put broad conversations into words: turn a script into interactions and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from tokenization.dialogues.broad.facts import OPEN, OPEN_IN_PLAIN, Fact, FactDrawer, said_forms
from tokenization.dialogues.broad.material import material
from tokenization.dialogues.broad.phrasing import Phrasing
from tokenization.dialogues.broad.plan import Script, ScriptTurn, write_script
from tokenization.dialogues.broad.scene_speech import tell_scene
from tokenization.dialogues.broad.sentences import as_said, closed, fill, joined, joint, quotable
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.value_lists import Value
from tokenization.dialogues.values import words
from tokenization.hashing import stable_hash
from tokenization.records import BROAD, Conversation, Interaction, Language, Probe, ProbeKind, ProbeTag, Split

IN_ONE = 0.8  # share of the pairs joined in one sentence, where this is possible
CONTRASTED = 0.5  # share of the pairs of one kind whose second half has no verb, where this is possible
CONTRASTS: Mapping[Language, tuple[str, ...]] = {
    "en": ("{a}, {b}.", "{a} and {b}.", "{a}, and {b}."),
    "pl": ("{a}, a {b}.", "{a}, {b}.", "{a} i {b}."),
}
BY_VALUES = 0.25  # share of the changes that name only the old and the new value
KNOWLEDGE = 0.4  # share of general questions in the rest
_TRIES = 6  # attempts to fit a turn into its characters; from the fourth on, sentences are bare


def generate_broad(
    spec: DialogueSpec,
    language: Language,
    split: Split,
    seed: int,
    index: int,
    distractors: Sequence[Interaction] = (),
) -> Conversation:
    """Generate broad conversation `index` of a split. It depends only on the arguments."""
    rng = Random(stable_hash(f"broad/{language}/{split}/{seed}/{index}"))
    name = f"broad-{language}-{split}-{seed}-{index}"
    if spec.scenes and split != "test" and rng.random() < spec.scenes:
        return tell_scene(spec, language, split, rng, name, distractors)
    plain = spec.plain > 0 and rng.random() < spec.plain
    script = write_script(spec, rng, again=split == "train", plain=plain)
    return tell_script(script, spec, language, split, rng, name, distractors, plain)


def tell_script(
    script: Script,
    spec: DialogueSpec,
    language: Language,
    split: Split,
    rng: Random,
    name: str,
    distractors: Sequence[Interaction] = (),
    plain: bool = False,
) -> Conversation:
    """Put a script into words. What finds no value or sentence becomes small talk."""
    return _Speech(spec, language, split, rng, distractors, script.facts, plain).conversation(name, script.turns)


class Draft(NamedTuple):
    """An interaction. `quotes` has a part of the query for each fact that it tells, empty if an answer cannot quote
    it."""

    interaction: Interaction
    quotes: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        return len(self.interaction.query) + len(self.interaction.answer)


class _Speech:
    """Puts one conversation into words. It leaves out a part of the script for which a value or a sentence is missing,
    or which would be too long."""

    def __init__(
        self,
        spec: DialogueSpec,
        language: Language,
        split: Split,
        rng: Random,
        distractors: Sequence[Interaction],
        facts: int,
        plain: bool,
    ) -> None:
        self.spec, self.language, self.split, self.rng, self.distractors = spec, language, split, rng, distractors
        gender = rng.choice("mf") if language == "pl" else ""
        self.material = material(language, split, gender)
        self.drawer = FactDrawer(language, split, gender, self.material, rng, OPEN_IN_PLAIN if plain else OPEN)
        self.facts = self.drawer.draw(facts)
        self.of_others: list[Value] = []
        self.phrasing = Phrasing(language, self.material, rng, spec.echo, plain)
        self.told_later: set[int] = set()

    def conversation(self, name: str, turns: Sequence[ScriptTurn]) -> Conversation:
        interactions: list[Interaction] = []
        probes: list[Probe] = []
        told_last = {fact: number for number, turn in enumerate(turns) if turn.kind == "tell" for fact in turn.facts}
        for number, turn in enumerate(turns):
            self.told_later = {id(self.facts[fact]) for fact, last in told_last.items() if last > number}
            interaction, probe = self._turn(number, turn)
            interactions.append(interaction or self._talk())
            probes += [probe] if probe else []
        return Conversation(name, self.language, BROAD, self.split, tuple(interactions), tuple(probes))

    def _turn(self, number: int, turn: ScriptTurn) -> tuple[Interaction | None, Probe | None]:
        facts = [self.facts[fact] for fact in turn.facts]
        if turn.kind == "ask":
            return self._ask(number, facts)
        if turn.kind == "tell":
            return self._tell(number, facts, turn.corrected), None
        if turn.kind == "change":
            return self._change(number, facts[0]), None
        if turn.kind == "other":
            return self._tell_of_another(facts[0]), None
        if turn.kind == "retract":
            return self._retract(facts[0]), None
        return self._greet() if turn.kind == "greet" else None, None

    # statements of the user

    def _tell(self, number: int, facts: list[Fact], corrected: bool) -> Interaction | None:
        values = [self.drawer.value(fact) for fact in facts]
        told = [(fact, value) for fact, value in zip(facts, values, strict=True) if value]
        if not told:
            return None
        if len(told) == 2:
            both = self._fitted(lambda bare: self._pair(told))
            if self._fits(both):
                return self._state(number, told, both)
        told = told[:1]  # the pair is too long: the second fact is asked later, and not known
        fact, value = told[0]
        if corrected and (right := self.drawer.value(fact)):
            interaction = self._fitted(lambda bare: self._corrected(fact, value, right))
            if self._fits(interaction):
                return self._state(number, [*told, (fact, right)], interaction)
        return self._state(number, told, self._fitted(lambda bare: self._plain(fact, value, bare)))

    def _state(self, number: int, told: list[tuple[Fact, Value]], made: Draft) -> Interaction:
        for (fact, value), quote in zip(told, made.quotes, strict=True):
            fact.values.append(value)
            fact.stated, fact.retracted, fact.quote = number, False, quote
        return made.interaction

    def _plain(self, fact: Fact, value: Value, bare: bool) -> Draft:
        saying = self.phrasing.statement(fact, value, bare)
        reply = self.phrasing.acknowledged(fact, value, "acknowledge")
        return Draft(Interaction(saying.text, reply), (saying.quote,))

    def _pair(self, told: list[tuple[Fact, Value]]) -> Draft:
        if self.rng.random() < CONTRASTED and (both := self.phrasing.contrast(told)):
            pattern = self.rng.choice(CONTRASTS[self.language])
            text = joined(pattern, *both)
            if text:
                return self._both_told(text, both[0], joint(pattern) + both[1])
        patterns = [self.rng.choice(fact.attribute.tell) for fact, _ in told]
        first = self.phrasing.said(told[0][0], patterns[0], told[0][1])
        if self.rng.random() < IN_ONE:
            second = self.phrasing.said(told[1][0], patterns[1], told[1][1], inside=True)
            pattern = self.phrasing.phrase("join")
            text = joined(pattern, first, second)
            if text:
                return self._both_told(text, first, joint(pattern) + second)
        second = self.phrasing.said(told[1][0], patterns[1], told[1][1])
        return self._both_told(f"{closed(first)} {second}", first, second)

    def _both_told(self, text: str, first: str, second: str) -> Draft:
        quotes = (quotable(first), as_said(text, quotable(second)))
        return Draft(Interaction(text, self.phrasing.phrase("acknowledge")), quotes)

    def _corrected(self, fact: Fact, wrong: Value, right: Value) -> Draft:
        first = self.phrasing.said(fact, self.rng.choice(fact.attribute.tell), wrong)
        correction = self.phrasing.correction(fact, wrong, right)
        reply = self.phrasing.acknowledged(fact, right, "acknowledge")
        text = f"{closed(first)} {correction.text}"
        return Draft(Interaction(text, reply), (quotable(first), as_said(text, correction.quote.strip())))

    def _change(self, number: int, fact: Fact) -> Interaction | None:
        if not fact.known:
            return self._tell(number, [fact], corrected=False)
        value = self.drawer.value(fact)
        if value is None:
            return None

        def text(bare: bool) -> Draft:
            changes = fact.attribute.change
            if not changes or self.rng.random() < BY_VALUES:
                saying = self.phrasing.correction(fact, fact.values[-1], value)
            else:
                saying = self.phrasing.around(self.rng.choice(changes), fact, value, bare)
            reply = self.phrasing.acknowledged(fact, value, "acknowledge_change")
            return Draft(Interaction(saying.text, reply), (saying.quote,))

        return self._state(number, [(fact, value)], self._fitted(text))

    def _tell_of_another(self, fact: Fact) -> Interaction | None:
        another = self.drawer.of_another(fact)
        value = self.drawer.value(another) if another else None
        if another is None or value is None:
            return None
        fact.told_of_another = True
        self.of_others.append(value)
        return self._fitted(lambda bare: self._plain(another, value, bare)).interaction

    def _retract(self, fact: Fact) -> Interaction | None:
        if not fact.known or fact.owner is not None or fact.attribute.word:
            return None
        fact.retracted = True
        query = fill(self.phrasing.phrase("retract"), fact.attribute.noun)
        return Interaction(query, self.phrasing.phrase("acknowledge_retract"))

    # questions of the user

    def _ask(self, number: int, facts: list[Fact]) -> tuple[Interaction | None, Probe | None]:
        asked = facts if all(fact.known for fact in facts) else facts[:1]
        fact = asked[0]
        grid = self.spec.distances if self.split != "train" else ()
        if fact.known and grid and number - fact.stated not in grid:  # its change was left out
            return None, None
        if not fact.known:
            refused = self._fitted(
                lambda bare: Draft(Interaction(self.phrasing.question(fact, bare), self.phrasing.refusal(fact)))
            ).interaction
            return refused, self._probe_of_unknown(number, fact, refused.answer)
        if len(asked) == 2:
            both = self._fitted(lambda bare: self._both(asked))
            if self._fits(both):
                return both.interaction, self._probe(number, asked, both.interaction.answer, "two-facts")
        answered = self._answered(fact)
        if fact.quote and not self._fits(answered):  # there is no room for the quote
            fact.quote = ""
            answered = self._answered(fact)
        return answered.interaction, self._probe(number, [fact], answered.interaction.answer)

    def _answered(self, fact: Fact) -> Draft:
        return self._fitted(
            lambda bare: Draft(Interaction(self.phrasing.question(fact, bare), self.phrasing.answer(fact)))
        )

    def _both(self, facts: list[Fact]) -> Draft:
        questions = [self.phrasing.said(fact, self.rng.choice(fact.attribute.ask)) for fact in facts]
        query = " ".join(question if question.endswith(("?", ".", "!")) else f"{question}?" for question in questions)
        return Draft(Interaction(query, "\n".join(closed(self.phrasing.answer(fact)) for fact in facts)))

    def _probe(self, number: int, facts: list[Fact], answer: str, tag: ProbeTag = "") -> Probe:
        kind: ProbeKind = "update" if any(len(fact.values) > 1 for fact in facts) else "recall"
        gold = facts[0].values[-1] if len(facts) == 1 else tuple(said_forms(fact.values[-1] for fact in facts))
        stale = [value for fact in facts for value in fact.values[:-1]]
        return Probe(
            turn=number,
            slot=f"{BROAD}/{facts[0].attribute.kind}",
            kind=kind,
            gold=gold,
            forbidden=self._forbidden(stale, facts, answer),
            distance=number - min(fact.stated for fact in facts),
            facts=self._held(),
            tag=tag,
        )

    def _probe_of_unknown(self, number: int, fact: Fact, refusal: str) -> Probe:
        tag: ProbeTag = "never-told"
        if fact.told_of_another:
            tag = "somebody-else"
        elif fact.retracted:
            tag = "retracted"
        elif id(fact) in self.told_later:
            tag = "told-later"
        slot, forbidden = f"{BROAD}/{fact.attribute.kind}", self._forbidden(fact.values, [fact], refusal)
        return Probe(number, slot, "unknown", (refusal,), forbidden, distance=0, facts=self._held(), tag=tag)

    def _forbidden(self, stale: Iterable[Value], facts: list[Fact], answer: str) -> tuple[str, ...]:
        """Return the values that a right answer must not contain: old values first, then every other value told so far.
        Values that are part of the right answer are left out."""
        mine = set(map(id, facts))
        others = [value for other in self.facts if id(other) not in mine for value in other.values]
        told = dict.fromkeys(said_forms([*stale, *others, *self.of_others]))
        text = f" {' '.join(words(answer))} "
        return tuple(value for value in told if f" {' '.join(words(value))} " not in text)

    def _held(self) -> int:
        return sum(fact.known for fact in self.facts) + len(self.of_others)

    # small talk, and the length of a turn

    def _talk(self) -> Interaction:
        """Draw small talk. If it contains a value told before, draw again a few times."""
        pick = self._any_talk()
        for _ in range(_TRIES):
            text = f" {' '.join(words(f'{pick.query} {pick.answer}'))} "
            if not any(value in text for value in self.drawer.said):
                break
            pick = self._any_talk()
        return pick

    def _any_talk(self) -> Interaction:
        if self.distractors and self.rng.random() < REAL_TALK:
            return self.rng.choice(self.distractors)
        knowledge = self.rng.random() < KNOWLEDGE
        return self.phrasing.exchange(self.material.questions if knowledge else self.material.small_talk)

    def _greet(self) -> Interaction | None:
        return self.phrasing.exchange(self.material.greetings) if self.material.greetings else None

    def _fits(self, made: Draft) -> bool:
        return made.characters <= self.spec.characters

    def _fitted(self, make: Callable[[bool], Draft]) -> Draft:
        """Make an interaction several times. Return the first that is short enough, or the shortest."""
        made: list[Draft] = []
        for number in range(_TRIES):
            made.append(make(number >= _TRIES // 2))
            if self._fits(made[-1]):
                return made[-1]
        return min(made, key=lambda one: one.characters)
