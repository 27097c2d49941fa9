"""Chat with a small untrained model: what is said, what is kept, and when memory is written."""

from __future__ import annotations

import io
import re
import shutil
import sys
import threading
from dataclasses import replace

import pytest
import torch

from jobs.stage.context import Artifact, Chat, Rerun, StageError
from pipelines.chat import ChatError, ChatSession, chat, open_chat
from rxt_model.config import MemoryConfig
from rxt_model.files.checkpoint import save_pretrained
from rxt_model.generate import answer
from rxt_model.model import ReactiveTransformer
from rxt_model.state import ConversationState
from tests.support.evaluation_data import ARCHITECTURE, LENGTH, make_conversations, make_tokenizer, save_models
from tests.support.processes import SECONDS
from tests.support.recorded import recorded
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer, encode_query
from tokenization.records import Interaction

PROMPTS = ["Mój kod to 4182, zażółć.", "What is my code?", "Thank you."]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return make_tokenizer()


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tokenizer) -> dict[str, Artifact]:
    """Give models of both kinds, and the tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    uris = save_models(folder, tokenizer) | {"tokenizer": str(folder / "tokenizer")}
    return {name: recorded(name, "e51b07c2d9aa-1", uri) for name, uri in uris.items()}


@pytest.fixture
def session(sources) -> ChatSession:
    return open_chat(sources["rxt"], sources["tokenizer"])


@pytest.fixture
def say(sources, monkeypatch, capsys):
    """Run the command with text on standard input. Returns the exit code and what was printed."""

    def run(text: str = "", **options) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        code = chat(sources["rxt"], sources["tokenizer"], "store here", **options)
        return code, capsys.readouterr().out

    return run


def save_selective(folder, tokenizer: Tokenizer, ageing: float = 0.0) -> list[Artifact]:
    """Save a model with a selective write, whose slots name their tokens, and its tokenizer."""
    torch.manual_seed(0)
    memory = MemoryConfig(slots=64, variant="selective", ageing=ageing)
    shape = replace(ARCHITECTURE, copying=True, memory=memory)
    model = ReactiveTransformer(shape.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)).eval()
    save_pretrained(model, folder / "rxt" / "model")
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return [recorded(name, "0-1", str(folder / name)) for name in ("rxt", "tokenizer")]


def reference(session: ChatSession, prompts: list[str]) -> tuple[list[str], torch.Tensor]:
    """Take the same turns one after the other, without streaming or threads."""
    model, tokenizer, texts = session.model, session.tokenizer, []
    memory = ConversationState.new(model).memory
    for prompt in prompts:
        query = encode_query(tokenizer, Interaction(prompt, ""), model.config.length)
        ids = answer(model, memory, [query], [model.config.length - len(query)], mode="auto")[0]
        texts.append(decode_answer(tokenizer, ids))
        row = torch.tensor([query + ids])
        mask = torch.ones_like(row, dtype=torch.bool)
        with torch.no_grad():
            memory = model.write(memory, model.encode(row, mask), mask)
    return texts, memory


def test_streamed_turns_equal_turns_one_by_one(session):
    texts, memory = reference(session, PROMPTS)
    assert ["".join(session.answer(prompt)) for prompt in PROMPTS] == texts
    assert torch.equal(session.state.memory, memory) and session.state.turns == 3


def test_the_answer_is_there_before_memory_is_written_and_the_next_turn_waits(session, monkeypatch):
    texts, memory = reference(session, PROMPTS[:2])
    may_write, order, write = threading.Event(), [], ReactiveTransformer.write

    def slow(self, *arguments):
        may_write.wait(SECONDS)
        order.append("written")
        return write(self, *arguments)

    monkeypatch.setattr(ReactiveTransformer, "write", slow)
    assert "".join(session.answer(PROMPTS[0])) == texts[0]
    order.append("answered")
    threading.Timer(0.2, may_write.set).start()
    assert "".join(session.answer(PROMPTS[1])) == texts[1]
    assert torch.equal(session.state.memory, memory)
    assert order == ["answered", "written", "written"]


def test_an_answer_that_is_cut_off_is_remembered_as_far_as_it_was_said(session):
    pieces = session.answer(PROMPTS[0])
    next(pieces)
    pieces.close()
    assert session.state.turns == 1
    assert not torch.equal(session.state.memory, ConversationState.new(session.model).memory)


def test_characters_are_never_torn(session, monkeypatch):
    text = "zażółć gęślą 🦊 jaźń"
    ids = [b for c in text for b in session.tokenizer.encode(c)]
    assert len(ids) > len(text)
    monkeypatch.setattr("pipelines.chat.stream", lambda *_, **__: iter(ids))
    pieces = list(session.answer("?"))
    assert "".join(pieces) == text and "\ufffd" not in "".join(pieces)
    assert len([p for p in pieces if p]) == len(text)


def test_prompts_are_played_and_memory_is_kept_and_restored_bit_for_bit(say, tmp_path, session):
    kept, again = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    code, out = say(prompts=[PROMPTS[0], f"/save {kept}"])
    assert code == 0
    where, header, you, rxt, command, saved = out.splitlines()
    assert command == f"you> /save {kept}"
    assert where == "store here"
    assert header.startswith("rxt/e51b07c2d9aa-1   0.1 M parameters   memory 2 layers x 8 slots")
    assert you == f"you> {PROMPTS[0]}" and rxt.startswith("rxt> ") and saved.endswith("after 1 turn")

    say(prompts=[f"/load {kept}", f"/save {again}"])
    assert kept.read_bytes() == again.read_bytes()
    say(prompts=[f"/load {kept}", *PROMPTS[1:], f"/save {again}"])
    _, memory = reference(session, PROMPTS)
    assert torch.equal(ConversationState.load(again, session.model).memory, memory)


def test_saving_touches_no_file_that_is_no_saved_conversation(say, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    (tmp_path / ".talk").write_text("hidden")
    lines = [f"/save {tmp_path}/notes.txt", f"/save {tmp_path}", f"/save {tmp_path}/none/talk", f"/load {tmp_path}"]
    code, out = say("\n".join([*lines, f"/save '{tmp_path}/talk'", f"/save {tmp_path}/talk"]))
    assert code == 0 and out.count("talk: memory after 0 turns") == 2
    assert f"/save {tmp_path}/notes.txt: that file is no saved conversation, and stays" in out
    assert f"next     /save {tmp_path}/notes-memory.safetensors" in out
    assert f"/save {tmp_path}: is a folder" in out and f"/load {tmp_path}: is a folder" in out
    assert f"there is no folder {tmp_path}/none" in out
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {"notes.txt", ".talk", "talk"}
    assert (tmp_path / "notes.txt").read_text() == "precious" and (tmp_path / ".talk").read_text() == "hidden"


def test_what_was_kept_by_a_long_conversation_names_the_chat_that_goes_on_with_it(tokenizer, tmp_path):
    sources = save_selective(tmp_path, tokenizer)
    long, plain = open_chat(*sources, long=True), open_chat(*sources)
    long.save(tmp_path / "long")
    plain.save(tmp_path / "plain")
    for session, file, command in ((plain, "long", "rxt chat --long "), (long, "plain", "rxt chat  ")):
        with pytest.raises(StageError, match=f"{file}: was saved with") as refused:
            session.load(tmp_path / file)
        assert refused.value.remedy.startswith(command)


def test_escape_sequences_and_lost_letters_of_the_input_are_told(say):
    _, out = say("\x1b[2Jclear \ufffd\n")
    assert "\x1b" not in out and "this is no UTF-8: letters were lost" in out


def test_piped_input_with_commands(say):
    text = f"{PROMPTS[0]}\n\n/memory\n/reset\n/memory\n/help\n/nonsense\n/load\n/load /nowhere\n/quit\n{PROMPTS[1]}\n"
    code, out = say(text)
    assert code == 0 and PROMPTS[1] not in out
    assert out.count("rxt> ") == 1 and out.count("(an empty turn: write a sentence, or /help.") == 1
    assert "turns 1   layers 2   slots 8 x 32" in out and "turns 0   layers 2" in out
    assert "a fresh memory" in out and "/save FILE" in out
    assert "error: /nonsense: no such command" in out and "error: /load needs a file" in out
    assert "error: /load /nowhere: there is no such file" in out


def test_a_talk_begins_with_what_the_model_can_do_in_both_languages_and_a_script_does_not(say):
    _, out = say("")
    assert "Tell me facts in short sentences" in out and "Mów mi fakty krótkimi zdaniami" in out and "/memory" in out
    assert "Tell me facts" not in say(prompts=["/help"])[1] + say(examples=["en"], seed=7)[1]


def test_memory_shows_the_words_of_each_turn(tokenizer):
    torch.manual_seed(0)
    shape = replace(ARCHITECTURE, copying=True, memory=MemoryConfig(slots=64, variant="selective"))
    model = ReactiveTransformer(shape.with_vocabulary(tokenizer.vocab_size, tokenizer.digest)).eval()
    session = ChatSession(model, tokenizer)
    held = tokenizer.encode("Mój kod to 4182") + tokenizer.encode("zebra")
    slots = torch.tensor([[*held, *[-1] * (64 - len(held))]])
    model.slot_ids = lambda memory: slots
    for prompt in PROMPTS[:2]:
        list(session.answer(prompt))
    *_, first, second, others = session.describe().splitlines()
    assert "the last write brought 0 tokens, and 0 went" in session.describe()
    assert first.startswith("  turn 1: Mój kod to 4182") and second.startswith("  turn 2: ")
    assert others.startswith("  of other turns: ") and "zebra".startswith(others.split(": ")[1].split(" | ")[0])
    session.reset()
    assert "turn 1" not in session.describe()


def test_a_long_conversation_keeps_all_turns_in_slots_that_stay_as_many(tokenizer, tmp_path):
    sources = save_selective(tmp_path, tokenizer)
    long, plain = open_chat(*sources, long=True), open_chat(*sources)
    for session in (long, plain):
        session.mode = "fast"
        for turn in range(5):
            list(session.answer(f"{PROMPTS[0]} {turn}"))
    assert len(long.state.fragments) == 5 and plain.state.fragments is None
    query = encode_query(tokenizer, Interaction(PROMPTS[1], ""), LENGTH)
    read = long.state.read(long.model, query)
    assert read.shape == plain.state.memory.shape and not torch.equal(read, plain.state.memory)
    texts = answer(plain.model, read, [query], [LENGTH - len(query)], mode="fast")[0]
    long.save(tmp_path / "kept")
    assert "".join(long.answer(PROMPTS[1])) == decode_answer(tokenizer, texts)
    assert re.search(r"turns 6 .*\nall turns are kept, \d+\.\d MiB; slots are loaded for each message", long.describe())
    long.load(tmp_path / "kept")
    assert "".join(long.answer(PROMPTS[1])) == decode_answer(tokenizer, texts)


def test_a_memory_that_is_full_says_so_once(tokenizer, tmp_path, capsys):
    sources = save_selective(tmp_path, tokenizer, 0.1)
    turns = ["/fast", *[PROMPTS[0], "/memory"] * 5]
    assert chat(*sources, "", prompts=[*turns, "/reset", *turns]) == 0
    out = capsys.readouterr().out
    for part in out.split("a fresh memory"):
        used = [int(n) for n in re.findall(r"slots 64 x \d+   (\d+) of them in use", part)]
        assert 0 < used[0] < 64 and used[-1] == 64 and used == sorted(used)
        before, told, after = part.partition("     (memory is full: from now on it cannot keep all")
        assert told and "memory is full" not in after
        assert before.count("of them in use") == used.index(64) + 1  # in the turn after the one that filled it


def test_a_model_that_cannot_keep_all_turns_says_why(sources):
    with pytest.raises(ChatError, match="rxt/model: this model cannot keep all turns: memory.fragments = .* copying"):
        open_chat(sources["rxt"], sources["tokenizer"], long=True)


def test_input_may_just_end(say):
    code, out = say(PROMPTS[1] + "\n")
    assert code == 0 and out.count("rxt> ") == 1


def test_memory_shows_what_the_last_write_changed(session):
    list(session.answer(PROMPTS[0]))
    before = session.state.memory
    list(session.answer(PROMPTS[1]))
    expected = [float((session.state.memory[i] - before[i]).norm()) for i in range(2)]
    shown = [float(line.split()[2]) for line in session.describe().splitlines()[2:]]
    assert shown == pytest.approx(expected, abs=0.01)


def test_a_long_prompt_is_cut_with_a_note(say, session):
    long = ("a very long story " * 40).strip()
    kept, whole = session.kept_tokens(long)
    assert kept < session.model.config.length < whole
    code, out = say(prompts=[long])
    assert code == 0 and f"the model reads {kept} of {whole} tokens, up to: … " in out
    shown = out.split("up to: … ")[1].split(")")[0]
    assert long.startswith(session.read_part(long)) and session.read_part(long).endswith(shown) and len(shown) == 30


def test_a_wrong_command_in_a_script_ends_it(say):
    with pytest.raises(StageError, match="/load /nowhere"):
        say(prompts=["/load /nowhere", "hello"])


def test_an_example_asks_about_held_out_values_and_can_be_repeated(say):
    code, out = say(examples=["en"], seed=7)
    questions = out.count("✓") + out.count("✗")
    assert code == 0 and questions >= 2 and f"of {questions} remembered" in out
    assert say(examples=["en"], seed=7)[1] == out


def test_an_example_draws_its_seed_and_starts_with_a_fresh_memory(say):
    outs = [say(examples=["pl"])[1] for _ in range(2)]
    seeds = [int(out.split("example pl, seed ")[1].split(":")[0]) for out in outs]
    assert seeds[0] != seeds[1]
    assert say(examples=["en", "pl"], seed=seeds[0])[1].endswith(outs[0].partition("\n\n")[2])


def test_a_right_answer_gets_its_mark(say, monkeypatch):
    from tokenization.dialogues.wording import example

    answers = iter([i.answer for i in example("pl", 7, "test").interactions])
    monkeypatch.setattr(ChatSession, "answer", lambda self, prompt: (text for text in [next(answers)]))
    _, out = say(examples=["pl"], seed=7)
    assert "✗" not in out and out.count("✓") >= 2


def test_what_cannot_be_talked_to_is_explained(sources, tokenizer, tmp_path):
    with pytest.raises(ChatError, match="no memory") as caught:
        open_chat(sources["baseline"], sources["tokenizer"])
    assert caught.value.remedy == Chat("smat")
    other = Tokenizer.train([i.query for conversation in make_conversations(3) for i in conversation.interactions], 300)
    other.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(StageError, match=f"(?s){other.digest}.*{tokenizer.digest}"):
        open_chat(sources["rxt"], recorded("tokenizer", "0-1", str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "file"),
    [("rxt", "model/model.safetensors"), ("rxt", "model/config.json"), ("tokenizer", "tokenizer.json")],
)
@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-9],
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        lambda content: b"{}",
        lambda content: None,
    ],
    ids=["truncated", "flipped", "foreign", "missing"],
)
def test_a_file_that_was_harmed_is_named_with_the_stage_to_make_again(sources, tmp_path, name, file, harm):
    shutil.copytree(sources[name].uri, tmp_path, dirs_exist_ok=True)
    path = tmp_path / file
    content = harm(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    harmed = sources | {name: replace(sources[name], uri=str(tmp_path))}
    with pytest.raises(StageError, match=f"{path} is ") as caught:
        open_chat(harmed["rxt"], harmed["tokenizer"])
    assert caught.value.remedy == Rerun(name)
