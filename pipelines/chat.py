"""`rxt chat` holds one conversation with a trained model. Answers are streamed; memory is written in the background."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path

from jobs.stage.context import Artifact, Chat, StageError
from jobs.stage.inputs import open_tokenizer
from jobs.stage.model_folder import require_tokenizer
from jobs.stage.model_input import model_uri, open_model
from jobs.tools.documents import read_documents
from jobs.tools.loop import SaidPiece, ToolAnswered, converse
from jobs.tools.toolbox import Toolbox
from pipelines import kept_memory
from pipelines.guard.terminal import REPLACEMENT, printable, say
from pipelines.kept_memory import place_of
from pipelines.memory_table import memory_table
from pipelines.thinking import HELP as THINKING
from pipelines.thinking import MODES, Thoughts
from pipelines.tool_lines import line_of
from rxt_model.config import ConfigError, FragmentsConfig
from rxt_model.generate import Mode, stream, thinking_limit
from rxt_model.model import ReactiveTransformer
from rxt_model.size import parameters
from rxt_model.state import ConversationState
from tokenization.bpe.tokenizer import INCOMPLETE, Tokenizer
from tokenization.conversations.template import decode_answer, decode_call, encode_query
from tokenization.dialogues.score import score
from tokenization.dialogues.wording import example
from tokenization.records import Interaction, Language

HELP = f"""\
/memory      what short-term memory holds, and how much the last interaction changed it
/reset       forget everything: a fresh memory
{THINKING}
/save FILE   keep the memory of this conversation
/load FILE   go on with a kept one
/quit        leave (so does the end of input)"""
GREETING = """\
Tell me facts in short sentences and ask for them later: I answer from memory. If I was not told, I should say so.
Mów mi fakty krótkimi zdaniami i pytaj o nie później: odpowiadam z pamięci. O czym nie było mowy, tego nie wiem.
  My cat is called Luna.  ...  What is my cat called?        Mój kot to Luna.  ...  Jak nazywa się mój kot?
/memory shows the words that I hold (pokazuje słowa, które pamiętam)   /help shows all commands (wszystkie polecenia)"""
SHOWN = 30  # letters before the place where a long turn is cut
FULL = "     (memory is full: from now on it cannot keep all that is said; a new `rxt chat --long` can)"
LOST = "     (this is no UTF-8: letters were lost. To nie UTF-8: zginęły litery.)"
SILENCE = "     (an empty turn: write a sentence, or /help. Nic nie napisano: napisz zdanie albo /help.)"


class ChatError(StageError):
    """There is no model to talk to, or a command in the conversation failed."""


class ChatSession:
    """Turns of one conversation, a speaker of `jobs.tools.loop`. The state is a promise: each answer starts a write in
    the background, and whoever needs the memory next waits for it."""

    def __init__(self, model: ReactiveTransformer, tokenizer: Tokenizer, tools: Toolbox | None = None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.tools = tools or Toolbox()
        self.mode: Mode = "auto"
        self._writer = ThreadPoolExecutor(1, "memory-write")
        self.reset()

    @property
    def state(self) -> ConversationState:
        return self._state.result()

    def reset(self) -> None:
        self._become(ConversationState.new(self.model))

    def save(self, path: Path) -> None:
        kept_memory.save(self.state, path, self.model)

    def load(self, path: Path) -> None:
        self._become(kept_memory.load(path, self.model))

    @property
    def call(self) -> str | None:
        """The text of the tool call that the last answer ended in, or None."""
        return decode_call(self.tokenizer, self._turns[-1]) if self._turns else None

    def kept_tokens(self, said: str | Interaction) -> tuple[int, int]:
        """How many tokens of a prompt or a tool's result the model gets to see, and how many it has."""
        text = said if isinstance(said, str) else said.tool_result
        return len(self._query(said)) - len(self._query("")), len(self.tokenizer.encode(text))

    def read_part(self, said: str | Interaction) -> str:
        """The beginning of a prompt or a tool's result that the model gets to see."""
        return self.tokenizer.decode(self._query(said)).rstrip(INCOMPLETE)

    def answer(self, said: str | Interaction) -> Generator[str]:
        """Pieces of the text that answers a prompt, or the query part of an interaction, as they are made. Whatever was
        said until then is written to memory at the end, also when the reader stops early. Thoughts before the answer
        are printed (`pipelines.thinking`)."""
        before, query = self.state, self._query(said)
        ids: list[int] = []
        shown = ""
        room = max(1, self.model.config.length - len(query))
        limit = thinking_limit(room)
        thoughts = Thoughts(self.tokenizer, limit)
        try:
            memory = before.read(self.model, query)
            for token in stream(self.model, memory, query, room, mode=self.mode, thoughts=limit):
                ids.append(token)
                thoughts.show(ids)
                # The bytes of one character may be spread over tokens: hold back what is not a character yet.
                text = decode_answer(self.tokenizer, ids).rstrip(INCOMPLETE)
                yield text.removeprefix(shown)
                shown = text
            yield decode_answer(self.tokenizer, ids).removeprefix(shown)
        finally:
            thoughts.end()
            self._before = before
            self._turns.append(query + ids)
            self._state = self._writer.submit(before.written, self.model, query + ids)

    def fills_up(self) -> bool:
        """Whether no slot is free any more, and this is told for the first time. A memory whose slots have no names,
        and one that is loaded for each message, never fill up."""
        held = None if self._told_full or self.state.fragments is not None else self.model.slot_ids(self.state.memory)
        self._told_full = self._told_full or (held is not None and bool((held >= 0).all()))
        return self._told_full and held is not None

    def describe(self) -> str:
        return memory_table(self.model, self.tokenizer, self.state, self._before, self._turns)

    def _query(self, said: str | Interaction) -> list[int]:
        turn = Interaction(query=said, answer="") if isinstance(said, str) else said
        return encode_query(self.tokenizer, turn, self.model.config.length)

    def _become(self, state: ConversationState) -> None:
        self._before = state
        self._told_full = False
        self._turns: list[list[int]] = []  # what was written since, for the eyes of the user alone
        self._state: Future[ConversationState] = Future()
        self._state.set_result(state)


def open_chat(model_artifact: Artifact, tokenizer_artifact: Artifact, long: bool = False) -> ChatSession:
    """Open the model of a stage and its tokenizer. A `long` conversation keeps all turns, also if the model's config
    has no `memory.fragments`. Raises StageError if one of their files is missing or damaged, if they do not belong
    together, or if the model has no memory, or none that can keep all turns."""
    model, tokenizer = open_model(model_artifact), open_tokenizer(tokenizer_artifact)
    require_tokenizer(model.config.tokenizer_digest, model_uri(model_artifact), tokenizer)
    if not isinstance(model, ReactiveTransformer):
        raise ChatError(
            f"{model_uri(model_artifact)} is a stateless baseline: it has no memory to talk to", Chat("smat")
        )
    if long and model.config.memory.fragments is None:
        try:
            memory = replace(model.config.memory, fragments=FragmentsConfig())
            model.config = replace(model.config, memory=memory)
        except ConfigError as error:
            raise ChatError(
                f"{model_uri(model_artifact)}: this model cannot keep all turns: {error}", Chat(model_artifact.stage)
            ) from error
    return ChatSession(model, tokenizer)


def chat(
    model: Artifact,
    tokenizer: Artifact,
    header: str,
    prompts: Sequence[str] = (),
    examples: Sequence[Language] = (),
    documents: str | None = None,
    seed: int | None = None,
    long: bool = False,
) -> int:
    """Talk on the terminal to the model, and return the exit code. Prints `header` first. A `long` conversation keeps
    all turns.

    `examples` plays a drawn conversation in each language, `prompts` what was given; with neither, standard input is
    read until it ends. The model may look things up in the files at `documents`. `seed` draws the examples; None draws
    the seed, which is printed.
    """
    for standard in (sys.stdin, sys.stdout):
        if isinstance(standard, TextIOWrapper):
            standard.reconfigure(encoding="utf-8", errors="replace")
    passages = [] if documents is None else read_documents(documents)
    session = open_chat(model, tokenizer, long)
    memory = session.model.config.memory
    print(
        f"{header}\n{model.stage}/{model.artifact_id}   {parameters(session.model) / 1e6:.1f} M parameters   "
        f"memory {session.model.config.stateful_layers} layers x {memory.slots} slots   /memory /reset /save /load"
        + (f"\n{documents}: {len(passages):,} passages to look things up in" if passages else "")
    )
    if not examples and not prompts:
        print(f"\n{GREETING}\n")
    with Toolbox(passages) as session.tools:
        for language in examples:
            _play(session, language, secrets.randbelow(1_000_000) if seed is None else seed)
        for prompt in prompts:
            say(f"you> {prompt}")
            if not _turn(session, prompt):
                return 0
        return 0 if examples or prompts else _listen(session)


def _listen(session: ChatSession) -> int:
    """Takes turns from standard input. An error is printed, and the conversation goes on."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  gives input() a history and editing
    while True:
        try:
            prompt = input("you> ")
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            return 130
        if not sys.stdin.isatty():
            say(prompt)
        if REPLACEMENT in prompt:
            print(LOST)
        try:
            if not _turn(session, prompt):
                return 0
        except StageError as error:
            say(f"error: {error}\n  next     {error.remedy}")


def _turn(session: ChatSession, prompt: str) -> bool:
    """Handles one prompt or command. Returns False after the last one."""
    prompt = prompt.encode(errors="replace").decode().strip()
    if not prompt.startswith("/"):
        if prompt:
            _say(session, prompt)
        else:
            print(SILENCE)
        return True
    name, _, argument = prompt.partition(" ")
    if name == "/quit":
        return False
    if name in ("/save", "/load"):
        _file_command(session, name, argument.strip())
    elif name == "/reset":
        session.reset()
        print("a fresh memory")
    elif name in MODES:
        session.mode, told = MODES[name]
        print(told)
    elif name == "/memory":
        print(session.describe())
    elif name == "/help":
        print(HELP)
    else:
        raise ChatError(f"{name}: no such command", "/help")
    return True


def _file_command(session: ChatSession, name: str, argument: str) -> None:
    path = place_of(name, argument)
    (session.save if name == "/save" else session.load)(path)
    turns = session.state.turns
    print(f"{path}: memory after {turns} turn{'s' * (turns != 1)}")


def _say(session: ChatSession, prompt: str) -> str:
    """Streams one turn to the terminal: the answer, and before it calls of tools. Ctrl-C ends the turn, not the
    conversation."""
    _tell_if_cut(session, prompt)
    if session.fills_up():
        print(FULL)
    print("rxt> ", end="", flush=True)
    events = converse(session, prompt, session.tools)
    said = []
    try:
        for event in events:
            if isinstance(event, SaidPiece):
                said.append(printable(event.text))
                print(said[-1], end="", flush=True)
            else:
                print(line_of(event), end="", flush=True)
            if isinstance(event, ToolAnswered):
                print()
                _tell_if_cut(session, event.query)
                print("rxt> ", end="", flush=True)
    except KeyboardInterrupt:
        events.close()
        print(" …", end="")
    print(flush=True)
    return "".join(said)


def _tell_if_cut(session: ChatSession, said: str | Interaction) -> None:
    kept, whole = session.kept_tokens(said)
    if kept < whole:
        read = session.read_part(said)
        print(f"     (too long: the model reads {kept} of {whole} tokens, up to: … {printable(read[-SHOWN:])})")


def _play(session: ChatSession, language: Language, seed: int) -> None:
    """Plays a conversation whose facts are drawn from values that training never saw. Every answer is the first
    attempt."""
    drawn = example(language, seed, split="test")
    probes = {probe.turn: probe for probe in drawn.probes}
    print(f"\nexample {language}, seed {seed}: values held out from training, a fresh memory, first attempts")
    session.reset()
    right = 0
    for turn, interaction in enumerate(drawn.interactions):
        print(f"you> {interaction.query}")
        answer = _say(session, interaction.query)
        if probe := probes.get(turn):
            correct = score(answer, probe, language) == "correct"
            right += correct
            print(f"     {'✓' if correct else '✗'} {probe.gold[0]}")
    print(f"{right} of {len(probes)} remembered")
