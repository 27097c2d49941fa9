"""Stage: one vocabulary for both languages, from equal parts of English and Polish."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec

from jobs.context import Rerun, StageContext, StageError
from jobs.data_configs import TokenizerConfig
from tokenization.bpe_trainer import TrainingError
from tokenization.dialogues import DialogueSpec, generate
from tokenization.documents import Catalogue, Corpus, CorpusError
from tokenization.records import LANGUAGES, Language
from tokenization.shards import write_json
from tokenization.tokenizer import Tokenizer

MOST_PASSES = 4  # over the documents of a language that has too few
REPORT_BYTES = 400_000  # of validation text per language
SAMPLES: dict[Language, str] = {
    "en": "The code of my locker is 4182, and the lighthouse stands by the sea.",
    "pl": "Kod do mojej szafki to 4182, a latarnia stoi nad brzegiem morza.",
}


def train_tokenizer(ctx: StageContext, config: TokenizerConfig) -> dict[str, Any]:
    """Stage: writes tokenizer.json and report.json. Little text gives a smaller vocabulary, which is reported."""
    try:
        corpus = Corpus(ctx.inputs["corpus"].uri)
    except CorpusError as error:
        raise StageError(str(error), Rerun("corpus")) from error
    catalogue = corpus.catalogue()
    try:
        tokenizer = Tokenizer.train(_texts(corpus, catalogue, config), config.vocab_size)
    except TrainingError as error:
        raise StageError(str(error)) from error
    if tokenizer.vocab_size < config.vocab_size:
        ctx.reporter.message(f"the text yields {tokenizer.vocab_size:,} tokens, {config.vocab_size:,} were asked for")
    _make_folder(ctx.output_uri)
    tokenizer.save(f"{ctx.output_uri}/tokenizer.json")
    ratios = {language: _bytes_per_token(corpus, catalogue, tokenizer, language) for language in LANGUAGES}
    report = {
        "vocab_size": tokenizer.vocab_size,
        "asked_for": config.vocab_size,
        "merges": tokenizer.merges,
        "digest": tokenizer.digest,
        "bytes_per_token": ratios,
        "samples": {name: [tokenizer.token(i) for i in tokenizer.encode(text)] for name, text in SAMPLES.items()},
    }
    write_json(f"{ctx.output_uri}/report.json", report)
    measured = {f"bytes_per_token/{name}": ratio for name, ratio in ratios.items() if ratio is not None}
    counts = {"vocab_size": tokenizer.vocab_size, "merges": tokenizer.merges}
    return {**counts, **measured, "result": f"{tokenizer.vocab_size:,} tokens"}


def _texts(corpus: Corpus, catalogue: Catalogue, config: TokenizerConfig) -> Iterator[str]:
    """Train documents, half of `document_bytes` per language, then generated train dialogues."""
    plan = DialogueSpec(**config.dialogue_plan.model_dump())
    for language in LANGUAGES:
        yield from _documents(corpus, catalogue, language, config.document_bytes // len(LANGUAGES))
        for index in range(config.dialogues // len(LANGUAGES)):
            conversation = generate(plan, language, "train", config.seed, index)
            for turn in conversation.interactions:
                yield turn.query
                yield turn.answer


def _documents(corpus: Corpus, catalogue: Catalogue, language: Language, wanted: int) -> Iterator[str]:
    """Documents chosen by hash until `wanted` bytes are reached; all of them, repeatedly, where there are too few."""
    rows = catalogue.select("train", language)
    sizes = catalogue.bytes[rows].cumsum()
    chosen = rows[: int((sizes < wanted).sum()) + 1]
    for _ in range(MOST_PASSES):
        for document in corpus.read(chosen):
            yield document.text
            wanted -= len(document.text.encode())
            if wanted <= 0:
                return


def _bytes_per_token(corpus: Corpus, catalogue: Catalogue, tokenizer: Tokenizer, language: Language) -> float | None:
    """On validation documents; None where there are none."""
    rows = catalogue.select("validation", language)
    chosen = rows[: int((catalogue.bytes[rows].cumsum() < REPORT_BYTES).sum()) + 1]
    texts = [document.text for document in corpus.read(chosen)]
    tokens = sum(map(len, tokenizer.encode_batch(texts)))
    return round(sum(len(text.encode()) for text in texts) / tokens, 4) if tokens else None


def _make_folder(uri: str) -> None:
    fs, path = fsspec.url_to_fs(uri)
    fs.makedirs(path, exist_ok=True)
