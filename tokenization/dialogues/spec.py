"""What is asked of the generator of memory dialogues."""

from __future__ import annotations

from dataclasses import dataclass

from tokenization.settings import Settings, require, require_fractions


@dataclass(frozen=True)
class DialogueSpec(Settings):
    """`turns` and `facts`: inclusive ranges. `echo`: how often the acknowledgement of a fact repeats its value.
    `update`: how often an asked fact is changed before. `unknown`: share of questions about what was never told.
    `distract`: least share of turns that are small talk (turns that nothing else needs are small talk, too). In short
    conversations fewer facts are told than `facts` says, so that at least one is asked. `again`: share of the small
    talk of the training split that asks once more for a fact told before, or, in a share of `unknown`, for one never
    told; elsewhere each fact is asked once, as an answered question writes the fact into memory again.

    `distances`: the only distances at which facts are asked, equally often as far as they fit into the conversation
    (empty: all there are). `unknown_kinds`: weights of never telling, of telling only after the question, and of
    telling it of somebody else; the latter two take a turn of small talk, and without one nothing is told. `joins`:
    share of the questions that need two facts, who has a role and where that person lives, as far as there is small
    talk to give up. `held_out`: in the test split, one fact of every conversation is of a kind that training does not
    have, and all facts are told and asked in sentences that it does not have.

    `broad`: share of the conversations that come from the broad generator, with open sentences, attributes and values
    (`dialogues.broad`); `echo`, `joins`, `unknown_kinds` and `held_out` say nothing there. `characters`: the most that
    one of its interactions has, query and answer together, unless even the shortest sentences have more."""

    turns: tuple[int, int] = (4, 8)
    facts: tuple[int, int] = (1, 4)
    echo: float = 0.3
    update: float = 0.15
    unknown: float = 0.08
    distract: float = 0.25
    again: float = 0.0
    distances: tuple[int, ...] = ()
    unknown_kinds: tuple[float, float, float] = (1.0, 0.0, 0.0)
    joins: float = 0.0
    held_out: bool = False
    broad: float = 0.0
    characters: int = 130

    def __post_init__(self) -> None:
        for name in ("turns", "facts"):
            low, high = getattr(self, name)
            require(low > 0, name, (low, high), "must be above 0")
            require(low <= high, name, (low, high), "must not fall")
        require_fractions(self, "echo", "update", "unknown", "distract", "again", "joins", "broad")
        require(self.characters > 0, "characters", self.characters, "must be above 0")
        require(all(distance > 0 for distance in self.distances), "distances", self.distances, "must be above 0")
        rule = f"one must be below turns = {self.turns[0]}"
        require(not self.distances or min(self.distances) < self.turns[0], "distances", self.distances, rule)
        require(
            all(weight >= 0 for weight in self.unknown_kinds),
            "unknown_kinds",
            self.unknown_kinds,
            "must not fall below 0",
        )
        require(any(self.unknown_kinds), "unknown_kinds", self.unknown_kinds, "one must be above 0")
