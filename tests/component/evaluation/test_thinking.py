"""Fast and thinking answers in `rxt chat`, with a scripted model, and in the measurements of recall."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
import torch

from jobs.evaluation.conversations import load_conversations
from jobs.evaluation.hybrid import has_thoughts, join_figures, join_table
from jobs.evaluation.speakers import ReactiveSpeaker
from jobs.evaluation.value_tokens import value_places
from pipelines.chat import ChatError, ChatSession, _listen, _turn
from pipelines.thinking import Thoughts
from rxt_model.config import ControlTokens
from rxt_model.generate import answer, is_thinking, thinking_limit
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState
from tests.support.evaluation_data import ARCHITECTURE, make_shards, make_tokenizer
from tokenization.bpe.special_tokens import ANSWER, EOS, THINK, TOOL_CALL
from tokenization.conversations.template import encode_query
from tokenization.dialogues.spec import DialogueSpec
from tokenization.records import Interaction, Probe
from tokenization.shards.reader import ShardReader

QUESTION = "Gdzie mieszka mój szef?"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return ReactiveTransformer(ARCHITECTURE.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)).eval()


@pytest.fixture
def session(model, tokenizer, monkeypatch):
    """A conversation with a model that says `session.script`; `session.asked` holds the options of every answer."""
    session = ChatSession(model, tokenizer)
    session.asked = []

    def scripted(_model, _memory, _query, _room, **options):
        session.asked.append(options)
        return iter(session.script)

    monkeypatch.setattr("pipelines.chat.stream", scripted)
    session.script = [THINK, *tokenizer.encode("Mój szef to Jaś."), ANSWER, *tokenizer.encode("W Łodzi."), EOS]
    return session


def test_thoughts_are_shown_apart_and_are_no_part_of_the_answer(session, capsys, model):
    assert _turn(session, QUESTION)
    assert capsys.readouterr().out == "rxt> (thinks: Mój szef to Jaś.)\n     W Łodzi.\n"
    assert "".join(session.answer(QUESTION)) == "W Łodzi."
    query = encode_query(session.tokenizer, Interaction(QUESTION, ""), model.config.length)
    once = ConversationState.new(model).written(model, query + session.script)
    assert torch.equal(session.state.memory, once.written(model, query + session.script).memory)


def test_thoughts_are_dimmed_on_a_terminal_and_characters_are_never_torn(tokenizer, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    text = "zażółć 🦊"
    ids = [THINK, *(byte for letter in text for byte in tokenizer.encode(letter)), ANSWER]
    thoughts = Thoughts(tokenizer, 99)
    for end in range(1, len(ids) + 1):
        thoughts.show(ids[:end])
        assert "\ufffd" not in screen.getvalue()
    assert screen.getvalue() == f"\x1b[2m(thinks: {text})\x1b[0m\n     "


def test_a_fast_answer_shows_no_thoughts(session, capsys):
    session.script = [ANSWER, *session.tokenizer.encode("W Łodzi."), EOS]
    _turn(session, QUESTION)
    assert capsys.readouterr().out == "rxt> W Łodzi.\n"


def test_who_asks_chooses_the_mode_until_further_notice(session, capsys):
    for prompt in (QUESTION, "/think", QUESTION, QUESTION, "/fast", QUESTION, "/reset", QUESTION, "/auto", QUESTION):
        _turn(session, prompt)
    assert [asked["mode"] for asked in session.asked] == ["auto", "thinking", "thinking", "fast", "fast", "auto"]
    out = capsys.readouterr().out
    assert out.index("I think before") < out.index("I answer at once") < out.index("I choose whether to think")
    _turn(session, "/help")
    assert "/think" in capsys.readouterr().out
    with pytest.raises(ChatError, match="/thinking: no such command"):
        _turn(session, "/thinking")


def test_the_user_is_told_that_thinking_was_stopped(session, capsys):
    room = session.model.config.length - len(encode_query(session.tokenizer, Interaction(QUESTION, ""), 64))
    limit = thinking_limit(room)
    word = session.tokenizer.encode("a b c d e f g h i j k l m n o p q r s t u v w x y z " * 3)
    session.script = [THINK, *word[:limit], ANSWER, *session.tokenizer.encode("Tak."), EOS]
    _turn(session, QUESTION)
    assert f" … stopped after {limit} tokens, as thinking may not take more)\n     Tak.\n" in capsys.readouterr().out
    assert session.asked[-1]["thoughts"] == limit
    session.script = [THINK, *session.tokenizer.encode("x")[-1:] * 24, ANSWER, EOS]
    _turn(session, QUESTION)
    assert " … stopped, as it went in circles)\n" in capsys.readouterr().out
    session.script = [THINK, *session.tokenizer.encode("never")]
    _turn(session, QUESTION)
    assert capsys.readouterr().out == "rxt> (thinks: never)\n     \n"


def test_commands_come_from_standard_input_too(session, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"/fast\n{QUESTION}\n"))
    assert _listen(session) == 0
    assert session.asked[0]["mode"] == "fast" and "rxt> (thinks: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "thinks"), [((), True), ((20, 21), True), ((20, ANSWER, 21), False), ((20, TOOL_CALL), False)]
)
def test_thoughts_end_at_an_answer_or_a_call(said, thinks):
    assert is_thinking([THINK, *said], ControlTokens()) == thinks
    assert not is_thinking([ANSWER, *said], ControlTokens())


SPEC = DialogueSpec(turns=(7, 9), facts=(2, 3), joins=1.0, distract=0.0, update=0.0, unknown=0.0, thinking=0.5)


@pytest.fixture(scope="module")
def conversations(tokenizer, tmp_path_factory):
    uris = make_shards(tmp_path_factory.mktemp("shards"), tokenizer, conversations=3, text_rows=1, spec=SPEC)
    return load_conversations(ShardReader(uris["conversations"], "test"), 50, seed=0)


@torch.inference_mode()
def test_arms_answer_in_their_mode_from_the_memory_of_the_main_arm(model, tokenizer, conversations):
    speaker = ReactiveSpeaker(model, hybrid=True)
    speaker.begin([0, 1])
    queries = [list(conversations[0].queries[0]), list(conversations[1].queries[0])] * 2
    speaker.remember([0, 1], [queries[0] + [ANSWER, 20, EOS], queries[1] + [ANSWER, 21, EOS]], [False, False])
    said = speaker.answer(["fast", "rxt", "thinking", "zeroed"], [0, 1, 0, 1], queries)
    read = {0: speaker.memory[:, :1], 1: speaker.memory[:, 1:]}
    modes = [("fast", read[0]), ("auto", read[1]), ("thinking", read[0]), ("auto", torch.zeros_like(read[1]))]
    for query, own, (mode, memory) in zip(queries, said, modes, strict=True):
        room = model.config.length - len(query)
        assert [own] == answer(model, memory, [query], [room], mode=mode, thoughts=[thinking_limit(room)])
    assert [own[0] for own in said[::2]] == [ANSWER, THINK]


def test_only_where_the_data_think_are_the_modes_told_apart(model, conversations):
    fast = [replace(one, answers=tuple(ids[-3:] for ids in one.answers)) for one in conversations]
    assert has_thoughts(conversations) and not has_thoughts(fast) and not has_thoughts([])
    assert ReactiveSpeaker(model, hybrid=True).arms == (*ReactiveSpeaker(model).arms, "fast", "thinking")


def test_the_report_has_a_row_for_each_mode():
    def cell(right):
        return {"all": {"by_kind": {"join": {"n": 40, "accuracy": right, "low": right - 0.1, "high": right + 0.1}}}}

    arms = {"rxt": cell(0.5), "fast": cell(0.25), "thinking": cell(0.75), "zeroed": cell(0.1), "last": cell(0.2)}
    assert join_figures(arms) == {
        "memory/joins_fast": 0.25, "memory/joins_thinking": 0.75, "memory/joins_rxt": 0.5, "memory/joins_zeroed": 0.1,
    }  # fmt: skip
    text = "\n".join(join_table(arms))
    assert "RxT, thinking" in text and "75.0" in text and "65-85" in text
    assert (
        join_table({"rxt": cell(0.5)}) == [] and join_figures({"rxt": {"all": {"by_kind": {}}}, "thinking": {}}) == {}
    )


def test_a_value_is_looked_for_in_the_answer_and_not_in_the_thoughts(tokenizer):
    think, said = tokenizer.encode("He is in Porto."), tokenizer.encode("In Porto.")
    ids = [THINK, *think, ANSWER, *said, EOS]
    (places,) = value_places(tokenizer, ids, Probe(3, "residence", "recall", ("Porto",), (), 2, 1, "join"))
    assert min(places) > ids.index(ANSWER) and tokenizer.decode(ids[p] for p in places).strip() == "Porto"
