"""Put scenes into a conversation: their turns in order, mixed with each other, questions about them, and small talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tokenization.dialogues.broad.material import material
from tokenization.dialogues.broad.phrasing import Phrasing
from tokenization.dialogues.broad.scenes import Scene, scenes
from tokenization.dialogues.broad.sentences import quoted
from tokenization.dialogues.spec import REAL_TALK, DialogueSpec
from tokenization.dialogues.values import words
from tokenization.records import BROAD, Conversation, Interaction, Language, Probe, ProbeKind, ProbeTag, Split

TELL, ASK, TALK = 2.0, 1.5, 0.6  # how likely is each turn of a scene, each question that can be asked, small talk
TURNS_PER_SCENE = 3  # at least, in the mean
TWICE = 2  # times that a question can be asked
LATER = 0.4  # share of the questions without an answer that a later turn would answer, where there is one
SLOT = f"{BROAD}/scene"


@dataclass
class _Told:
    """A scene with its values, and the turns of the conversation in which its turns were told."""

    scene: Scene
    values: dict[str, str]
    at: list[int] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)  # times by question

    @property
    def whole(self) -> bool:
        return len(self.at) == len(self.scene.turns)

    @property
    def said(self) -> list[str]:
        """The values in the turns told so far."""
        turns = self.scene.turns[: len(self.at)]
        return [value for letter, value in self.values.items() if any(f"{{{letter}}}" in turn for turn in turns)]

    def filled(self, text: str) -> str:
        for letter, value in self.values.items():
            text = text.replace(f"{{{letter}}}", value)
        return text[0].upper() + text[1:] if text[:1] == "{" else text


def tell_scenes(
    spec: DialogueSpec,
    language: Language,
    split: Split,
    rng: Random,
    name: str,
    distractors: Sequence[Interaction] = (),
) -> Conversation:
    """Make a conversation of scenes of a split."""
    gender = rng.choice("mf") if language == "pl" else ""
    told = _SceneSpeech(spec, language, split, gender, rng, distractors)
    return Conversation(name, language, BROAD, split, *told.interactions())


class _SceneSpeech:
    def __init__(
        self,
        spec: DialogueSpec,
        language: Language,
        split: Split,
        gender: str,
        rng: Random,
        distractors: Sequence[Interaction],
    ) -> None:
        self.spec, self.language, self.rng, self.distractors = spec, language, rng, distractors
        self.material = material(language, split, gender)
        self.phrasing = Phrasing(language, self.material, rng, spec.echo, plain=False)
        self.turns = rng.randint(*spec.turns)
        count = rng.randint(1, max(1, self.turns // TURNS_PER_SCENE))
        self.values: list[str] = []
        drawn = rng.sample(scenes(language, split, gender), count)
        self.told = [_Told(scene, self._values(scene)) for scene in drawn]

    def interactions(self) -> tuple[tuple[Interaction, ...], tuple[Probe, ...]]:
        """Return the interactions and the probes."""
        turns: list[Interaction] = []
        probes: list[Probe] = []
        for number in range(self.turns):
            interaction, probe = self._turn(number, last=number == self.turns - 1)
            turns.append(interaction)
            probes += [probe] if probe else []
        return tuple(turns), tuple(probes)

    def _turn(self, number: int, last: bool) -> tuple[Interaction, Probe | None]:
        tells = [one for one in self.told if not one.whole]
        begun = [one for one in self.told if one.at]
        asks = [
            (one, which)
            for one in begun
            for which in range(len(one.scene.asked))
            if one.whole and one.asked.get(which, 0) < TWICE
        ]
        weights = (TELL * len(tells), ASK * len(asks), TALK)
        kind = "ask" if last and asks else self.rng.choices(("tell", "ask", "talk"), weights)[0]
        if kind == "ask" and self.rng.random() < self.spec.unknown and (made := self._ask_untold(number, begun, tells)):
            return made
        if kind == "ask" and (made := self._ask(number, *self.rng.choice(asks))):
            return made
        if kind == "tell":
            return self._tell(number, self.rng.choice(tells)), None
        return self._talk(), None

    def _tell(self, number: int, told: _Told) -> Interaction:
        text = told.filled(told.scene.turns[len(told.at)])
        told.at.append(number)
        return Interaction(text, self.phrasing.phrase("acknowledge"))

    def _ask(self, number: int, told: _Told, which: int) -> tuple[Interaction, Probe] | None:
        asked = told.scene.asked[which]
        told.asked[which] = told.asked.get(which, 0) + 1
        answer = quoted(told.filled(asked.quote), self.language)
        query = self._wording(told, asked.say, answer)
        if len(query) + len(answer) > self.spec.characters:
            return None
        gold = told.values[asked.value]
        probe = self._probe(number, answer, (gold,), number - told.at[asked.told], "recall")
        return Interaction(query, answer), probe

    def _ask_untold(
        self, number: int, begun: Sequence[_Told], tells: Sequence[_Told]
    ) -> tuple[Interaction, Probe] | None:
        """Ask what no turn tells, or what a later one tells, if any scene has a question for it."""
        later = [one for one in tells if not one.at]
        open_ended = [one for one in begun if one.scene.untold]
        if later and (not open_ended or self.rng.random() < LATER):
            told, tag = self.rng.choice(later), "told-later"
            says = self.rng.choice(told.scene.asked).say
        elif open_ended:
            told, tag = self.rng.choice(open_ended), "never-told"
            says = told.scene.untold
        else:
            return None
        refusal = self.phrasing.refusal()
        query = self._wording(told, says, refusal)
        return Interaction(query, refusal), self._probe(number, refusal, (refusal,), 0, "unknown", tag)

    def _wording(self, told: _Told, says: Sequence[str], answer: str) -> str:
        """Draw a wording that leaves room for the answer, or return the shortest."""
        filled = [told.filled(text) for text in says]
        fits = [text for text in filled if len(text) + len(answer) <= self.spec.characters]
        return self.rng.choice(fits) if fits else min(filled, key=len)

    def _probe(
        self, number: int, answer: str, gold: tuple[str, ...], distance: int, kind: ProbeKind, tag: ProbeTag = ""
    ) -> Probe:
        said = f" {' '.join(words(answer))} "
        values = [value for told in self.told if told.at for value in told.said]
        wrong = tuple(value for value in dict.fromkeys(values) if f" {' '.join(words(value))} " not in said)
        return Probe(number, SLOT, kind, gold, wrong, distance, facts=len(values), tag=tag)

    def _values(self, scene: Scene) -> dict[str, str]:
        """Draw a value for each letter. No value of a conversation contains another."""
        found: dict[str, str] = {}
        for letter, listed in scene.values.items():
            free = [value for value in listed if self._is_new(value)]
            found[letter] = self.rng.choice(free or listed)
            self.values.append(f" {' '.join(words(found[letter]))} ")
        return found

    def _is_new(self, value: str) -> bool:
        text = f" {' '.join(words(value))} "
        return not any(text in other or other in text for other in self.values)

    def _talk(self) -> Interaction:
        if self.distractors and self.rng.random() < REAL_TALK:
            return self.rng.choice(self.distractors)
        return self.phrasing.exchange(self.material.small_talk)
