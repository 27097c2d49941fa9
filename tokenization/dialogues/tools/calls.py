"""Put calls of tools into a generated conversation: a question whose answer is a call, then a turn that begins with
its result, which is answered in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

from tokenization.dialogues.broad.book import Exchange
from tokenization.dialogues.broad.material import material
from tokenization.dialogues.tools.sums import Sum, draw_sum, split_of_sum, sum_of_small_talk
from tokenization.hashing import stable_hash
from tokenization.records import Conversation, Interaction, Language, Split
from tokenization.tools.calculator import CalculatorError, calculate
from tokenization.tools.calls import CALCULATOR, ERROR, LOOK_UP, NOTHING_FOUND, ToolCall

LOOKED_UP = 0.25  # share of the calls that look something up, of those that are put in
MISSING = 0.15  # share of the look-ups that find nothing
LONGEST = 50  # characters of a question that is looked up, and of what is found

WORKED_OUT: Mapping[Language, tuple[str, ...]] = {
    "en": ("That makes {}.", "It is {}.", "The result is {}."),
    "pl": ("To daje {}.", "Wychodzi {}.", "Wynik to {}."),
}
NOT_WORKED_OUT: Mapping[Language, str] = {"en": "That cannot be worked out.", "pl": "Tego nie da się policzyć."}
LOOK: Mapping[Language, tuple[str, ...]] = {
    "en": ("Look in the documents: {}", "Look it up: {}", "What do the documents say? {}"),
    "pl": ("Zajrzyj do dokumentów: {}", "Sprawdź w dokumentach: {}", "Co jest w dokumentach? {}"),
}
FOUND: Mapping[Language, tuple[str, ...]] = {
    "en": ("The documents say: {}", "I found this: {}"),
    "pl": ("W dokumentach jest: {}", "Oto co jest: {}"),
}
NOT_FOUND: Mapping[Language, str] = {
    "en": "The documents say nothing about it.",
    "pl": "W dokumentach nic o tym nie ma.",
}

TwoTurns = tuple[Interaction, Interaction]


def with_calls(conversation: Conversation, share: float) -> Conversation:
    """Return the conversation with calls. Every sum of its small talk becomes one, or gives way to another sum if it
    belongs to another split. After each turn another call follows with probability `share`. It depends on the arguments
    alone. Questions about facts stay the same, but for their places and distances."""
    language, split = conversation.language, conversation.split
    rng = Random(stable_hash(f"calls/{conversation.id}"))
    turns: list[Interaction] = []
    places: list[int] = []  # where each turn is now
    for turn in conversation.interactions:
        places.append(len(turns))
        asked = sum_of_small_talk(turn)
        if asked and split_of_sum(asked.expression) != split:
            asked = draw_sum(language, split, rng)
        turns += calculation(asked, language, rng) if asked else (turn,)
        if rng.random() < share:
            turns += draw_call(language, split, rng)
    probes = tuple(
        replace(probe, turn=places[probe.turn], distance=places[probe.turn] - places[probe.turn - probe.distance])
        for probe in conversation.probes
    )
    return replace(conversation, interactions=tuple(turns), probes=probes)


def draw_call(language: Language, split: Split, rng: Random) -> TwoTurns:
    """Draw a sum or a look-up of a split, each in two turns."""
    if rng.random() < LOOKED_UP:
        return look_up(language, split, rng)
    return calculation(draw_sum(language, split, rng), language, rng)


def calculation(asked: Sum, language: Language, rng: Random) -> TwoTurns:
    """Return a sum and its result. The numbers of the call stand in the question, those of the answer in the result."""
    try:
        result = calculate(asked.expression)
        answer = rng.choice(WORKED_OUT[language]).format(result)
    except CalculatorError as error:
        result, answer = f"{ERROR}{error}", NOT_WORKED_OUT[language]
    return _turns(asked.question, ToolCall(CALCULATOR, asked.expression), result, answer)


def look_up(language: Language, split: Split, rng: Random) -> TwoTurns:
    """Return a question of general knowledge that is looked up, with what is found."""
    exchanges = list(_short(material(language, split, "m" if language == "pl" else "").questions))
    exchange = rng.choice(exchanges)
    question, found = rng.choice(exchange.user), rng.choice(exchange.reply)
    answer = rng.choice(FOUND[language]).format(found)
    if rng.random() < MISSING:
        found, answer = NOTHING_FOUND, NOT_FOUND[language]
    return _turns(rng.choice(LOOK[language]).format(question), ToolCall(LOOK_UP, question.rstrip("?")), found, answer)


def _short(exchanges: tuple[Exchange, ...]) -> Iterator[Exchange]:
    for exchange in exchanges:
        user = tuple(text for text in exchange.user if len(text) <= LONGEST)
        reply = tuple(text for text in exchange.reply if len(text) <= LONGEST)
        if user and reply:
            yield replace(exchange, user=user, reply=reply)


def _turns(question: str, call: ToolCall, result: str, answer: str) -> TwoTurns:
    return Interaction(question, "", tool_call=call.written), Interaction("", answer, tool_result=result)
