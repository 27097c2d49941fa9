"""Tell a scene in a conversation: its turns in order, then questions about them, with small talk anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tokenization.dialogues.broad.material import material
from tokenization.dialogues.broad.phrasing import Phrasing
from tokenization.dialogues.broad.scenes import Asked, scenes
from tokenization.dialogues.broad.sentences import as_said, quoted
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.values import words
from tokenization.records import BROAD, Conversation, Interaction, Language, Probe, ProbeKind, ProbeTag, Split

TELL, ASK, TALK = 2.0, 2.0, 0.6  # how likely is the next turn of the scene, one of its questions, small talk
SLOT = f"{BROAD}/scene"


def tell_scene(
    spec: DialogueSpec,
    language: Language,
    split: Split,
    rng: Random,
    name: str,
    distractors: Sequence[Interaction] = (),
) -> Conversation:
    """Make a conversation that tells one scene of a split. Two scenes could answer each other's questions."""
    speech = _SceneSpeech(spec, language, split, rng, distractors)
    return Conversation(name, language, BROAD, split, *speech.interactions())


class _SceneSpeech:
    def __init__(
        self, spec: DialogueSpec, language: Language, split: Split, rng: Random, distractors: Sequence[Interaction]
    ) -> None:
        self.spec, self.language, self.rng, self.distractors = spec, language, rng, distractors
        gender = rng.choice("mf") if language == "pl" else ""
        self.material = material(language, split, gender)
        self.phrasing = Phrasing(language, self.material, rng, spec.echo, plain=False)
        self.scene = rng.choice(scenes(language, split, gender))
        self.values = self._values()
        self.at: list[int] = []  # where its turns were told
        self.asks, self.untold = rng.sample(self.scene.asked, len(self.scene.asked)), list(self.scene.untold)

    def interactions(self) -> tuple[tuple[Interaction, ...], tuple[Probe, ...]]:
        """Return the interactions and the probes. There is one turn more than the scene has, at least."""
        count = max(self.rng.randint(*self.spec.turns), len(self.scene.turns) + 1)
        turns: list[Interaction] = []
        probes: list[Probe] = []
        for number in range(count):
            left = len(self.scene.turns) - len(self.at)
            interaction, probe = self._turn(number, hurry=count - number <= left + 1)
            turns.append(interaction)
            probes += [probe] if probe else []
        return tuple(turns), tuple(probes)

    def _turn(self, number: int, hurry: bool) -> tuple[Interaction, Probe | None]:
        told = len(self.at) == len(self.scene.turns)
        weights = (0 if told else TELL, ASK if told and self.asks else 0, 0 if hurry else TALK)
        kind = self.rng.choices(("tell", "ask", "talk"), weights)[0] if any(weights) else "talk"
        if kind == "tell":
            self.at.append(number)
            statement = self._sentence(self.scene.turns[len(self.at) - 1])
            return Interaction(statement, self.phrasing.phrase("acknowledge")), None
        if kind == "ask" and self.untold and self.rng.random() < self.spec.unknown:
            return self._ask_untold(number)
        if kind == "ask" and (answered := self._ask(number, self.asks.pop())):
            return answered
        return self._talk(), None

    def _ask(self, number: int, asked: Asked) -> tuple[Interaction, Probe] | None:
        """Ask for a value, unless no wording leaves room for the answer."""
        turn = self.scene.turns[asked.told]
        quote = (self._sentence if turn.startswith(asked.quote) else self._filled)(asked.quote)
        answer = quoted(as_said(self._sentence(turn), quote), self.language)
        fits = [text for say in asked.say if len(text := self._sentence(say)) + len(answer) <= self.spec.characters]
        if not fits:
            return None
        gold, distance = (self.values[asked.value],), number - self.at[asked.told]
        return Interaction(self.rng.choice(fits), answer), self._probe(number, answer, gold, distance, "recall")

    def _ask_untold(self, number: int) -> tuple[Interaction, Probe]:
        query = self.untold.pop(self.rng.randrange(len(self.untold)))
        refusal = self.phrasing.refusal()
        return Interaction(query, refusal), self._probe(number, refusal, (refusal,), 0, "unknown")

    def _probe(self, number: int, answer: str, gold: tuple[str, ...], distance: int, kind: ProbeKind) -> Probe:
        wrong = tuple(value for value in self.values.values() if _padded(value) not in _padded(answer))
        tag: ProbeTag = "never-told" if kind == "unknown" else ""
        return Probe(number, SLOT, kind, gold, wrong, distance, facts=len(self.values), tag=tag)

    def _values(self) -> dict[str, str]:
        """Draw a value for each letter. None contains another, if the lists allow it."""
        found: dict[str, str] = {}
        for letter, listed in self.scene.values.items():
            used = [_padded(value) for value in found.values()]
            free = [one for one in listed if not any(_padded(one) in other or other in _padded(one) for other in used)]
            found[letter] = self.rng.choice(free or listed)
        return found

    def _filled(self, text: str) -> str:
        for letter, value in self.values.items():
            text = text.replace(f"{{{letter}}}", value)
        return text

    def _sentence(self, text: str) -> str:
        """Fill a sentence. It begins with a capital if it begins with a value."""
        filled = self._filled(text)
        return filled[0].upper() + filled[1:] if text.startswith("{") else filled

    def _talk(self) -> Interaction:
        if self.distractors and self.rng.random() < REAL_TALK:
            return self.rng.choice(self.distractors)
        return self.phrasing.exchange(self.material.small_talk)


def _padded(text: str) -> str:
    return f" {' '.join(words(text))} "
