"""Phrase statements, questions and replies about facts, with the openers and remarks that people add."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tokenization.dialogues.broad.book import Exchange
from tokenization.dialogues.broad.facts import Fact
from tokenization.dialogues.broad.material import Material
from tokenization.dialogues.broad.sentences import (
    AS_WRITTEN,
    as_said,
    clause,
    closed,
    fill,
    quotable,
    quoted,
    takes_opener,
    without_verb,
)
from tokenization.dialogues.english import ENGLISH
from tokenization.dialogues.polish import POLISH
from tokenization.dialogues.value_lists import Value
from tokenization.dialogues.values import REFUSALS
from tokenization.records import Interaction, Language

OPENED, FILLED, FOLLOWED = 0.3, 0.1, 0.12  # shares of statements: with an opener, a remark before, a remark after
OPENED_QUESTION, LED_UP = 0.15, 0.15  # shares of questions: with an opener before, a sentence before
# A share FRAMED of the answers has one of two forms: a quote of the words that told the fact (`sentences.quoted`), or
# the value alone, where there is nothing to quote. With more forms, each would be less likely than a refusal, and a
# greedy model would refuse.
ANSWERS: dict[Language, str] = {"en": "It's {value}.", "pl": "Mam zapisane: {value}."}
FRAMED = 0.7
PLAIN_ACKNOWLEDGEMENTS: dict[Language, str] = {"en": ENGLISH.acknowledgement, "pl": POLISH.acknowledgement}
TAILED = 0.25  # share of the statements with a value at their end that go on after it
PLAIN_REFUSED = 0.7  # share of refusals in the words of the template generator
NOUN_REFUSED = 0.4  # share of other refusals that name the unknown attribute
IN_A_SENTENCE = 0.3  # share of the acknowledgements with a value that use an answer sentence


class Saying(NamedTuple):
    """The text of a turn that tells a fact, and the sentence in it that does, if an answer can quote it, as it stands
    there (`sentences.as_said`)."""

    text: str
    quote: str


class Phrasing:
    """Phrases one conversation. A `bare` sentence has no opener or remark. In a `plain` conversation all are bare, and
    each kind of reply has one wording. `echo` is the share of acknowledgements that repeat the value."""

    def __init__(self, language: Language, material: Material, rng: Random, echo: float, plain: bool) -> None:
        self.language, self.material, self.rng, self.echo, self.plain = language, material, rng, echo, plain
        self.talked: set[str] = set()

    def said(self, fact: Fact, sentence: str, value: Value | None = None, *, inside: bool = False) -> str:
        """Fill a sentence of the user about a fact."""
        as_written = fact.attribute.kind in AS_WRITTEN and sentence.startswith("{value}")
        values = fact.named(by_user=True) | ({"value": value[0]} if value else {})
        proper = fact.attribute.word[:1].isupper() and sentence.startswith(fact.attribute.word[:3])
        return fill(sentence, values, inside=inside and not proper, as_written=as_written)

    def answer(self, fact: Fact) -> str:
        """Answer a question about a fact."""
        if not (self.plain or self.rng.random() < FRAMED):
            return self.in_a_sentence(fact, fact.values[-1])
        if fact.quote:
            return quoted(fact.quote, self.language)
        return ANSWERS[self.language].replace("{value}", fact.values[-1][0])

    def in_a_sentence(self, fact: Fact, value: Value) -> str:
        """Draw a sentence of the assistant with the value, one that has words before it, if there is one: at the start
        a value gets a capital, and so other tokens than those that memory holds."""
        after_words = [sentence for sentence in fact.attribute.answer if not sentence.startswith("{value}")]
        sentence = self.rng.choice(after_words or fact.attribute.answer)
        as_written = fact.attribute.kind in AS_WRITTEN and sentence.startswith("{value}")
        return fill(sentence, fact.named(by_user=False) | {"value": value[0]}, as_written=as_written)

    def contrast(self, told: Sequence[tuple[Fact, Value]]) -> tuple[str, str] | None:
        """Tell two facts of one kind, the second without a verb: `The drill is in the shed` and `the axe in the attic`.
        Return None if they are of different kinds, or no sentence is built like this."""
        (fact, value), (other, value_of_other) = told
        kinds = {(one.attribute.name.split("/")[0], bool(one.attribute.word), one.owner is None) for one, _ in told}
        if len(kinds) > 1:
            return None
        fits = [
            (full, short)
            for full, alike in zip(fact.attribute.tell, other.attribute.tell, strict=True)
            if (short := without_verb(alike, other.attribute.word or "{owner}"))
        ]
        if not fits:
            return None
        full, short = self.rng.choice(fits)
        return self.said(fact, full, value), self.said(other, short, value_of_other, inside=True)

    def statement(self, fact: Fact, value: Value, bare: bool) -> Saying:
        return self.around(self.rng.choice(fact.attribute.tell), fact, value, bare)

    def around(self, sentence: str, fact: Fact, value: Value, bare: bool) -> Saying:
        """Fill a statement, and perhaps add an opener and a tail, or a sentence before or after it."""
        rng, phrases, bare = self.rng, self.material.phrases, bare or self.plain
        opener = ""
        if not bare and rng.random() < OPENED:
            opener = rng.choice(phrases["opener"] + phrases["opener_statement"])
        opener = opener if opener and takes_opener(sentence, opener, self.language) else ""
        said = self.said(fact, sentence, value, inside=bool(opener))
        before = f"{opener} " if opener else ""
        if not bare and not opener and rng.random() < FILLED:
            before, said = f"{self.phrase('filler')} ", said[0].upper() + said[1:]
        text = f"{before}{said}"
        if not bare and rng.random() < TAILED and said.removesuffix(".").endswith(value[0]):
            tail = self.phrase("tail")
            text = f"{text.removesuffix('.')}{'' if tail.startswith(',') else ' '}{tail}."
        if not bare and rng.random() < FOLLOWED:
            text = f"{closed(text)} {self.phrase('after')}"
        return Saying(text, as_said(text, quotable(said)))

    def question(self, fact: Fact, bare: bool) -> str:
        rng, sentence = self.rng, self.rng.choice(fact.attribute.ask)
        chance = 1.0 if bare or self.plain else rng.random()
        if chance < OPENED_QUESTION:
            opener = self.phrase("opener")
            if takes_opener(sentence, opener, self.language):
                return f"{opener} {self.said(fact, sentence, inside=True)}"
        elif chance < OPENED_QUESTION + LED_UP:
            return f"{self.phrase('before_question')} {self.said(fact, sentence)}"
        return self.said(fact, sentence)

    def acknowledged(self, fact: Fact, value: Value, phrases: str) -> str:
        """Draw an acknowledgement. A share `echo` of them repeats the value."""
        if self.plain:
            return PLAIN_ACKNOWLEDGEMENTS[self.language]
        if self.rng.random() >= self.echo:
            return self.phrase(phrases)
        if self.rng.random() < IN_A_SENTENCE:
            return f"{closed(self.phrase(phrases))} {self.in_a_sentence(fact, value)}"
        as_written = fact.attribute.kind in AS_WRITTEN
        return fill(self.phrase("acknowledge_value"), {"value": value[0]}, as_written=as_written)

    def correction(self, fact: Fact, old: Value, new: Value) -> Saying:
        """Name the old and the new value. An answer can quote the clause with the new one (`sentences.clause`)."""
        as_written = fact.attribute.kind in AS_WRITTEN
        text = fill(self.phrase("correction"), {"old": old[0], "new": new[0]}, as_written=as_written)
        return Saying(text, as_said(text, clause(text, new[0], old[0])))

    def refusal(self, fact: Fact | None = None) -> str:
        if self.plain or self.rng.random() < PLAIN_REFUSED:
            return REFUSALS[self.language]
        if fact and fact.owner is None and not fact.attribute.word and self.rng.random() < NOUN_REFUSED:
            return fill(self.phrase("refuse_noun"), fact.attribute.noun)
        return self.phrase("refuse")

    def phrase(self, name: str) -> str:
        return self.rng.choice(self.material.phrases[name])

    def exchange(self, exchanges: Sequence[Exchange]) -> Interaction:
        """Draw an exchange. If the conversation already has it, draw once more. Plain conversations have the first
        reply."""
        exchange = self.rng.choice(exchanges)
        if exchange.user[0] in self.talked:
            exchange = self.rng.choice(exchanges)
        self.talked.add(exchange.user[0])
        reply = exchange.reply[0] if self.plain else self.rng.choice(exchange.reply)
        return Interaction(self.rng.choice(exchange.user), reply)
