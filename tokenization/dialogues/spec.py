"""The settings of the generator of memory dialogues."""

from __future__ import annotations

from dataclasses import dataclass

from tokenization.settings import Settings, require, require_fractions

REAL_TALK = 0.2  # share of the small talk that is real, if there are real interactions


@dataclass(frozen=True)
class DialogueSpec(Settings):
    """Settings of memory dialogues. `turns` and `facts` are inclusive ranges per conversation. Short conversations tell
    fewer facts than `facts` says, so that at least one is asked.

    These are shares:
    - `echo`: acknowledgements of a fact that repeat its value.
    - `update`: asked facts that change before the question.
    - `unknown`: questions about facts that were not told.
    - `distract`: turns with small talk, at least. Turns that nothing else needs are small talk, too.
    - `again`: small talk in the training split that becomes one more question about a fact told before, or, in a share
      `unknown`, about one never told. Other splits ask for each fact once, because an answer writes the fact into
      memory again.
    - `joins`: questions that need two facts (who has a role, and where that person lives), if there is enough small
      talk to replace.
    - `thinking`: answers to `joins` that think first: they quote both facts, then answer. The others are to be fast. A
      question cannot tell which it will be, so only the thinking ones train the choice between the two modes.
    - `plain`: broad conversations in the plainest form: one short statement or question per turn, most about a word
      from a long list, and one form of acknowledgements, refusals, answers that quote, and answers without a quote.
    - `scenes`: broad conversations of training and validation that tell a scene (`dialogues.broad.scenes`). They have
      `turns`, if their scene is short enough, at most `unknown` questions without an answer, and at most `characters`
      in a question with its answer.
    - `tools`: turns after which the user asks for a sum or a look-up. The answer is a call of a tool, and the next turn
      begins with its result (`dialogues.tools`). Above 0, sums of small talk are worked out in this way, too. These
      turns come on top of `turns`. With `distances`, they would change the grid, and must be left out.
    - `broad`: conversations from the broad generator, with open sentences, attributes and values (`dialogues.broad`).
      It ignores `echo`, `joins`, `thinking`, `unknown_kinds` and `held_out`.

    `distances` are the only distances between a fact and its question (empty: all). Each is equally frequent, as far as
    it fits. `unknown_kinds` are the weights of never telling the fact, of telling it after the question, and of telling
    it about somebody else. The last two replace a turn of small talk; without one, nothing is told. With `held_out`,
    each conversation of the test split has one fact of a kind that training lacks, and all its statements and questions
    use sentences that training lacks. In the broad generator, an interaction has at most `characters` characters in
    query and answer, unless even the shortest sentences have more.
    """

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
    plain: float = 0.0
    scenes: float = 0.0
    characters: int = 130
    tools: float = 0.0
    thinking: float = 0.0

    left_out = frozenset({"tools", "thinking"})  # no field: it has no annotation; see pipelines.fingerprint

    def __post_init__(self) -> None:
        for name in ("turns", "facts"):
            low, high = getattr(self, name)
            require(low > 0, name, (low, high), "must be above 0")
            require(low <= high, name, (low, high), "must not fall")
        shares = "echo update unknown distract again joins thinking broad plain scenes tools"
        require_fractions(self, *shares.split())
        require(not (self.tools and self.distances), "tools", self.tools, "must be 0 with distances")
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
