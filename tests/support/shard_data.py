"""A generated corpus, small configurations of every kind of shards, and the context of a stage that makes them."""

import dataclasses
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.execution import DataExecution, Execution
from jobs.configs.texts import TextShardsConfig
from jobs.stage.context import StageContext
from tests.support.recorded import recorded
from tokenization.documents import COLUMNS
from tokenization.files.integrity import sha256_of
from tokenization.records import Document

TEXT = TextShardsConfig(length=48, shards=3)
INTERACTIONS = InteractionShardsConfig(length=48, shards=2, generated=200, documents=100)
CONVERSATIONS = ConversationShardsConfig(length=96, shards=2, train=30, validation=6, test=8)


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.done, self.messages, self.files, self.pages = [], [], [], []

    def metrics(self, step, values): ...

    def file(self, path, folder=""):
        assert os.path.getsize(path)
        self.files.append((path, folder))
        if path.endswith(".md"):
            self.pages.append(Path(path).read_text())

    def progress(self, done, total, note=""):
        self.done.append((done, total))

    def message(self, text, remedy=""):
        self.messages.append(text)


def documents() -> list[Document]:
    rng = random.Random(0)
    words = {
        "en": "the lighthouse keeper walked slowly along quiet shore under grey morning sky".split(),
        "pl": "latarnik szedł powoli wzdłuż cichego brzegu pod szarym porannym niebem żółć źdźbło".split(),
    }
    found = []
    for n in range(600):
        language = "pl" if n % 3 == 0 else "en"
        sentences = [" ".join(rng.choices(words[language], k=rng.randint(3, 9))).capitalize() + "." for _ in range(6)]
        split = ("train",) * 8 + ("validation", "test")
        text = " ".join(sentences) + f" [A] {n} [EOS]"
        found.append(Document(f"generated-{n}", text, language, "generated", "CC0", split[n // 3 % 10]))
    return found


def write_corpus(folder: Path) -> str:
    folder.mkdir()
    rows = [dataclasses.asdict(document) for document in documents()]
    for number, part in enumerate((rows[:250], rows[250:])):
        table = pa.Table.from_pylist(part).select(COLUMNS)
        pq.write_table(table, folder / f"documents-{number:05d}.parquet", row_group_size=100)
    return str(folder)


def shard_context(output: str | Path, corpus: str, tokenizer: str = "", workers: int = 2, **more) -> StageContext:
    return StageContext(
        stage="shards",
        artifact_id="test-1",
        output_uri=str(output),
        inputs={
            name: recorded(name, f"{name}-1", uri)
            for name, uri in (("corpus", corpus), ("tokenizer", tokenizer))
            if uri
        },
        execution=Execution(data=DataExecution(parallelism=workers)),
        reporter=Notes(),
        **more,
    )


def digests(uri: str) -> dict[str, str]:
    return {path.name: sha256_of(str(path)) for path in Path(uri).rglob("*") if path.is_file()}
