"""The section of docs/data.md about own data: its configuration is laid over `tiny`, and its files are read."""

import json
import re

from pipelines.code_digest import ROOT
from pipelines.overrides import resolve
from pipelines.presets import PRESETS
from tokenization.conversations.sources import partitions_of, read_conversations
from tokenization.sources.texts import pieces, read


def test_a_newcomer_adds_a_table_a_folder_of_texts_and_messages(tmp_path, monkeypatch):
    section = (ROOT / "docs" / "data.md").read_text().partition("### Add your own")[2]
    shown = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    assert shown and "rxt run tiny --config mine.toml" in section
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(shown[1])
    (tmp_path / "letters.csv").write_text('id;body\n1;"Drogi Janie, u nas wszystko dobrze; pisz."\n')
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("The first chapter.\n\nThe second chapter.\n")
    messages = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A model."}]
    (tmp_path / "chats.jsonl").write_text(json.dumps({"messages": messages}) + "\n")

    tiny, mine = resolve(PRESETS["tiny"]()), resolve(PRESETS["tiny"](), tmp_path / "mine.toml")
    assert mine.corpus.sources[:-2] == tiny.corpus.sources and mine.interactions.sources[:-1] == ()
    texts = {source.name: [text for piece in pieces(source) for text in read(source, piece)]
             for source in mine.corpus.sources[-2:]}  # fmt: skip
    assert texts == {
        "letters": ["Drogi Janie, u nas wszystko dobrze; pisz."],
        "books": ["The first chapter.\n\nThe second chapter.\n"],
    }
    [partition] = partitions_of(mine.interactions.sources[-1])
    [conversation] = read_conversations(partition)
    assert [(turn.query, turn.answer) for turn in conversation.interactions] == [("Who are you?", "A model.")]
