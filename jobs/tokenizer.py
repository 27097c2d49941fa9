"""Stage `tokenizer` trains one vocabulary for both languages on a mixture of documents and on generated dialogues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
import numpy as np

from jobs.configs.tokenizer import TokenizerConfig
from jobs.stage.context import Look, StageContext, StageError
from jobs.stage.corpus_input import open_corpus
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.bpe.trainer import TrainingError, slow
from tokenization.dialogues.wording import generate
from tokenization.documents import Catalogue, Corpus
from tokenization.files.storage import write_json
from tokenization.mixture import MixtureError, SourceOf, passes
from tokenization.records import LANGUAGES, Language

REPORT_BYTES = 400_000  # bytes of validation text per language, over which bytes per token are measured
SAMPLES: dict[Language, str] = {
    "en": "The code of my locker is 4182, and the lighthouse stands by the sea.",
    "pl": "Kod do mojej szafki to 4182, a latarnia stoi nad brzegiem morza.",
}


def train_tokenizer(ctx: StageContext, config: TokenizerConfig) -> dict[str, Any]:
    """Write tokenizer.json and report.json. Too little text gives a smaller vocabulary, which is reported.

    Raises StageError if no tokenizer can be trained as configured.
    """
    corpus = open_corpus(ctx.inputs["corpus"])
    catalogue = corpus.catalogue()
    try:
        often = _passes(catalogue, config)
    except MixtureError as error:
        raise StageError(f"tokenizer: {error}", Look(ctx.stage)) from error
    if reason := slow():
        ctx.reporter.message(reason)
    try:
        tokenizer = Tokenizer.train(_texts(corpus, catalogue, often, config), config.vocab_size)
    except TrainingError as error:
        raise StageError(str(error)) from error
    if tokenizer.vocab_size < config.vocab_size:
        ctx.reporter.message(f"the text yields {tokenizer.vocab_size:,} tokens; {config.vocab_size:,} were asked for")
    _make_folder(ctx.output_uri)
    tokenizer.save(f"{ctx.output_uri}/tokenizer.json")
    ratios = {language: _bytes_per_token(corpus, catalogue, tokenizer, language) for language in LANGUAGES}
    report = {
        "vocab_size": tokenizer.vocab_size,
        "asked_for": config.vocab_size,
        "merges": tokenizer.merges,
        "digest": tokenizer.digest,
        "passes": {f"{source}/{language}": times for (source, language), times in often.items()},
        "bytes_per_token": ratios,
        "samples": {name: [tokenizer.token(i) for i in tokenizer.encode(text)] for name, text in SAMPLES.items()},
    }
    write_json(f"{ctx.output_uri}/report.json", report)
    measured = {f"bytes_per_token/{name}": ratio for name, ratio in ratios.items() if ratio is not None}
    counts = {"vocab_size": tokenizer.vocab_size, "merges": tokenizer.merges}
    return {**counts, **measured, "result": f"{tokenizer.vocab_size:,} tokens"}


def _passes(catalogue: Catalogue, config: TokenizerConfig) -> dict[SourceOf, float]:
    """How often the train documents of each source in each language are read. Raises MixtureError."""
    available = {}
    for language in LANGUAGES:
        rows = catalogue.select("train", language)
        sizes = np.bincount(catalogue.sources[rows], catalogue.bytes[rows], len(catalogue.names))
        available |= {
            (name, language): size for name, size in zip(catalogue.names, sizes.tolist(), strict=True) if size
        }
    return passes(available, config.weights, config.most_passes, config.polish_share, config.document_bytes)


def _texts(
    corpus: Corpus, catalogue: Catalogue, often: Mapping[SourceOf, float], config: TokenizerConfig
) -> Iterator[str]:
    """The training texts: for each language its train documents, then generated dialogues of the train split."""
    plan = config.dialogue_plan
    for language in LANGUAGES:
        mine = catalogue.select("train", language)
        # documents that are read equally often are chosen together, whatever their sources
        for times in sorted({number for (_, other), number in often.items() if other == language and number}):
            alike = {source for (source, other), number in often.items() if (other, number) == (language, times)}
            yield from _documents(corpus, catalogue, mine[np.isin(mine, catalogue.rows_of(alike))], times)
        for index in range(config.dialogues // len(LANGUAGES)):
            conversation = generate(plan, language, "train", config.seed, index)
            for turn in conversation.interactions:
                yield turn.query
                yield turn.answer


def _documents(corpus: Corpus, catalogue: Catalogue, rows: np.ndarray, times: float) -> Iterator[str]:
    """The documents, repeated `times` times. A fraction of a pass takes the first documents with that share of the
    bytes."""
    sizes = catalogue.bytes[rows].cumsum()
    for share in (*[1.0] * int(times), times % 1):
        wanted = round(share * sizes[-1])
        if wanted:
            for document in corpus.read(rows[: int((sizes < wanted).sum()) + 1]):
                yield document.text
                wanted -= len(document.text.encode())
                if wanted <= 0:
                    break


def _bytes_per_token(corpus: Corpus, catalogue: Catalogue, tokenizer: Tokenizer, language: Language) -> float | None:
    """Bytes per token of validation documents; None if there are none."""
    rows = catalogue.select("validation", language)
    chosen = rows[: int((catalogue.bytes[rows].cumsum() < REPORT_BYTES).sum()) + 1]
    texts = [document.text for document in corpus.read(chosen)]
    tokens = sum(map(len, tokenizer.encode_batch(texts)))
    return round(sum(len(text.encode()) for text in texts) / tokens, 4) if tokens else None


def _make_folder(uri: str) -> None:
    fs, path = fsspec.url_to_fs(uri)
    fs.makedirs(path, exist_ok=True)
