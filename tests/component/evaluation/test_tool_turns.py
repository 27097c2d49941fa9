"""Turns with tools: a scripted model that calls rightly and in every wrong way, what it is told, and what is shown."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from jobs.tools.loop import CalledTooOften, SaidPiece, ToolAnswered, ToolCalled, converse
from jobs.tools.toolbox import Toolbox
from pipelines import chat as chat_module
from pipelines.chat import ChatSession
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState
from tests.support.evaluation_data import ARCHITECTURE, make_tokenizer
from tests.support.processes import SECONDS
from tokenization.bpe.special_tokens import ANSWER, EOS, QUERY, THINK, TOOL_CALL, TOOL_RESULT
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_interaction
from tokenization.records import Interaction
from tokenization.tools.calls import ToolCall
from tokenization.tools.search import Passage

SUM = ToolCall("calculator", "128 + 46").written
PASSAGES = [Passage("notes.txt", "The boiler was serviced on 12 May.")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer) -> ReactiveTransformer:
    """Give a model that takes interactions in which many calls have room."""
    torch.manual_seed(0)
    shape = replace(ARCHITECTURE, length=512)
    return ReactiveTransformer(shape.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)).eval()


class Scripted(ChatSession):
    """A conversation with a model that says what the script holds, turn by turn: a text, and a call or None."""

    def __init__(self, model: ReactiveTransformer, tokenizer: Tokenizer) -> None:
        super().__init__(model, tokenizer, Toolbox(PASSAGES))
        self.script: list[tuple[str, str | None]] = []
        self.queries: list[list[int]] = []

    def stream(
        self, model: ReactiveTransformer, memory: Tensor, query: Sequence[int], _most: int, **_: object
    ) -> Iterator[int]:
        self.queries.append(list(query))
        text, call = self.script.pop(0)
        called = [] if call is None else [TOOL_CALL, *self.tokenizer.encode(call)]
        return iter([ANSWER, *self.tokenizer.encode(text), *called, EOS])


@pytest.fixture
def session(model, tokenizer, monkeypatch):
    made = Scripted(model, tokenizer)
    monkeypatch.setattr(chat_module, "stream", made.stream)
    yield made
    assert made.state.turns > 0  # waits for the last write
    made.tools.close()


def played(session: Scripted, prompt: str, *script: tuple[str, str | None]) -> list:
    session.script = list(script)
    events = list(converse(session, prompt, session.tools))
    assert session.script == []
    return events


def told(session: Scripted) -> list[Interaction]:
    """The query parts that the model was given."""
    return [decode_interaction(session.tokenizer, ids) for ids in session.queries]


def test_the_result_of_a_call_is_the_next_query_and_every_interaction_is_written(session):
    events = played(session, "What is 128 plus 46?", ("", SUM), ("That makes 174.", None))
    first, second = told(session)
    assert first == Interaction("What is 128 plus 46?", "") and second == Interaction("", "", tool_result="174")
    assert QUERY in session.queries[0] and QUERY not in session.queries[1] and TOOL_RESULT in session.queries[1]
    said = "".join(event.text for event in events if isinstance(event, SaidPiece))
    others = [event for event in events if not isinstance(event, SaidPiece)]
    assert said == "That makes 174." and others[0] == ToolCalled(ToolCall("calculator", "128 + 46"))
    assert (
        isinstance(others[1], ToolAnswered) and [one.text for one in others[1].results] == ["174"] and len(others) == 2
    )

    state = ConversationState.new(session.model)
    encode = session.tokenizer.encode
    answers = ([ANSWER, TOOL_CALL, *encode(SUM), EOS], [ANSWER, *encode("That makes 174."), EOS])
    for query, answer in zip(session.queries, answers, strict=True):
        state = state.written(session.model, query + answer)
    assert session.state.turns == 2 and torch.equal(session.state.memory, state.memory)


def test_several_calls_at_once_are_told_together(session):
    calls = f"{SUM}\n{ToolCall('look_up', 'boiler').written}"
    played(session, "Both?", ("Wait.", calls), ("Done.", None))
    assert told(session)[1].tool_result == "174\n\nThe boiler was serviced on 12 May."


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("", "the call is not JSON: Expecting value"),
        (SUM[:-3], "the call is not JSON: Unterminated string"),
        ("What now?", "the call is not JSON: Expecting value"),
        (SUM.replace("calculator", "shell"), "there is no tool 'shell'"),
        (SUM.replace("expression", "formula"), "calculator takes one text: expression"),
        (SUM.replace("128 + 46", "9**9**9"), "too large"),
        (SUM.replace("128 + 46", "open"), "'open' is not arithmetic"),
    ],
)
def test_a_call_that_fails_is_told_and_the_model_may_answer(session, call, reason):
    events = played(session, "?", ("", call), ("I cannot.", None))
    assert told(session)[1].tool_result.startswith(f"error: {reason}")
    (heard,) = [event for event in events if isinstance(event, ToolAnswered)]
    assert heard.results[0].failed and session.state.turns == 2


def test_a_tool_that_hangs_is_told_and_the_turn_goes_on(session):
    played(session, "?", ("", SUM), ("174.", None))
    os.kill(session.tools._process.pid, signal.SIGSTOP)
    session.tools.seconds = 0.3
    played(session, "?", ("", SUM), ("I cannot.", None))
    assert told(session)[-1].tool_result == "error: calculator took longer than 0.3 s"


def test_a_result_that_is_too_long_is_cut(session):
    session.tools.characters = 10
    played(session, "?", ("", ToolCall("look_up", "boiler").written), ("So.", None))
    assert told(session)[1].tool_result == "The boiler … (cut)"


def test_calls_without_end_end_the_turn(session):
    events = played(session, "?", *[("", SUM)] * 6)
    results = [one.tool_result for one in told(session)[1:]]
    assert results == ["174"] * 4 + ["error: no more calls in this turn"]
    assert events[-1] == CalledTooOften() and session.state.turns == 6

    events = played(session, "?", ("", "\n".join([SUM] * 6)), ("Enough.", None))
    assert told(session)[-1].tool_result == "\n\n".join(["174"] * 4 + ["error: no more calls in this turn"])
    assert not any(isinstance(event, CalledTooOften) for event in events)


def test_memory_is_written_while_the_tool_runs(session, monkeypatch):
    """The write waits for the tool here: if the tool waited for the write, neither would go on."""
    tool_ran, order, write, run = threading.Event(), [], ReactiveTransformer.write, Toolbox.run

    def slow_write(self, *arguments):
        order.append("written after the tool" if tool_ran.wait(SECONDS) else "no tool ran")
        return write(self, *arguments)

    def observed(self, call):
        result = run(self, call)
        tool_ran.set()
        return result

    monkeypatch.setattr(ReactiveTransformer, "write", slow_write)
    monkeypatch.setattr(Toolbox, "run", observed)
    played(session, "?", ("", SUM), ("174.", None))
    assert session.state.turns == 2 and order == ["written after the tool"] * 2


def test_leaving_a_turn_keeps_what_was_said(session):
    session.script = [("Let me see.", SUM)]
    events = converse(session, "?", session.tools)
    assert isinstance(next(events), SaidPiece)
    events.close()
    assert session.state.turns == 1 and session.call is None  # the call was not said yet


def test_the_chat_shows_calls_and_results_in_lines_of_their_own(session, capsys):
    session.script = [("", SUM), ("That makes 174.", None)]
    assert chat_module._say(session, "What is 128 plus 46?") == "That makes 174."
    assert capsys.readouterr().out == "rxt> [calculator: 128 + 46]\ntool> 174\nrxt> That makes 174.\n"

    session.script = [("Hm. ", ToolCall("look_up", "the\nboiler\x1b[2J").written), ("12 May.", None)]
    chat_module._say(session, "When?")
    shown = "tool> notes.txt: The boiler was serviced on 12 May.\nrxt> 12 May.\n"
    assert capsys.readouterr().out == f"rxt> Hm. [look_up: the boiler\ufffd[2J]\n{shown}"

    session.script = [("", "{oops")] * 6
    chat_module._say(session, "?")
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["rxt> [call: {oops]", "tool> error: the call is not JSON: Expecting property name "
                         "enclosed in double quotes"]  # fmt: skip
    assert last == "     (the model calls tools without end, so the turn ends here)"


class Thinking(Scripted):
    """A conversation with a model whose script holds ids; `...` in it is Ctrl-C."""

    def stream(
        self, model: ReactiveTransformer, memory: Tensor, query: Sequence[int], _most: int, **_
    ) -> Iterator[int]:
        self.queries.append(list(query))
        for token in self.script.pop(0):
            if token is ...:
                raise KeyboardInterrupt
            yield token


def test_thoughts_before_a_call_are_closed_and_shown_once_also_if_they_are_interrupted(
    model, tokenizer, monkeypatch, capsys
):
    think, call = [THINK, *tokenizer.encode("Add them.")], [TOOL_CALL, *tokenizer.encode(SUM)]
    said = [ANSWER, *tokenizer.encode("174."), EOS]
    thought, called = "rxt> (thinks: Add them.)\n     ", "[calculator: 128 + 46]\ntool> 174\n"
    played_and_shown = [
        ([[*think, ANSWER, *call, EOS], said], f"{thought}{called}rxt> 174.\n"),
        ([[*think, *call, EOS], [*think, *said]], f"{thought}{called}{thought}174.\n"),
        ([[*think, *call, *said], said], f"{thought}174.{called}rxt> 174.\n"),
        ([[*think, ...]], f"{thought} …\n"),
        ([[*think, ANSWER, *call[:4], ...]], f"{thought} …\n"),
        ([[*think, ANSWER, *call, EOS], [*think, ...]], f"{thought}{called}{thought} …\n"),
    ]
    for script, shown in played_and_shown:
        session = Thinking(model, tokenizer)
        monkeypatch.setattr(chat_module, "stream", session.stream)
        session.script = list(script)
        chat_module._say(session, "?")
        assert capsys.readouterr().out == shown
        state = ConversationState.new(model)
        for query, ids in zip(session.queries, script, strict=True):
            state = state.written(model, query + [token for token in ids if token is not ...])
        assert torch.equal(session.state.memory, state.memory) and session.state.turns == len(script)
        session.tools.close()


def test_the_user_sees_where_the_model_stops_reading_a_result(session, capsys):
    text = "The boiler was serviced. " * 40
    session.tools.passages, session.tools.characters = [Passage("notes.txt", text)], 2_000
    session.script = [("", ToolCall("look_up", "boiler").written), ("So.", None)]
    chat_module._say(session, "?")
    _, result, note, last = capsys.readouterr().out.splitlines()
    kept, whole = (len(session.tokenizer.encode(one)) for one in (told(session)[1].tool_result, text))
    assert result == f"tool> notes.txt: {text.strip()}" and kept < whole and last == "rxt> So."
    assert note.startswith(f"     (too long: the model reads {kept} of {whole} tokens, up to: … ")
