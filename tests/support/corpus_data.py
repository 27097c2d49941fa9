"""The context and configuration of the corpus stage on test sources, and what the stage wrote."""

import hashlib
from pathlib import Path
from typing import Any

from jobs.configs.execution import DataExecution, Execution
from jobs.configs.texts import CorpusConfig
from jobs.stage.context import StageContext
from tokenization.cleaning.cleaner import Cleaner


class TextCleaner(Cleaner):
    """A cleaner of which only the text is asked."""

    def __call__(self, raw: str) -> str:
        return super().__call__(raw).text


class Recorder:
    def __init__(self):
        self.messages, self.remedies, self.steps = [], [], []

    def metrics(self, step, values):
        pass

    def progress(self, done, total, note=""):
        self.steps.append((done, total, note))

    def message(self, text, remedy=""):
        self.messages.append(text)
        self.remedies.append(remedy)

    def file(self, path, folder=""):
        pass


def corpus_context(
    folder: Path, parallelism: int = 2, should_stop=lambda: False, earlier: tuple[str, ...] = ()
) -> StageContext:
    execution = Execution(data=DataExecution(parallelism=parallelism))
    return StageContext("corpus", "corpus-1", str(folder), {}, execution, Recorder(), should_stop, earlier)


def config(sources, **options) -> CorpusConfig:
    values: dict[str, Any] = {"validation_fraction": 0.1, "test_fraction": 0.1, **options}
    return CorpusConfig(sources=sources, **values)


def content(folder: Path) -> dict[str, str]:
    """Return the digest of each file of the result. Hidden files are no part of it."""
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
