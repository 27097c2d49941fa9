"""Stage `text-shards` through Ray: tokens per CPU second against its encoder alone, and peak memory by size of corpus.

    python -m tests.benchmarks.data.tokenize_job STORE/corpus/ID STORE/tokenizer/ID [--gb 1.0] [--memory-gb 0.2 0.5 2.0]

The texts are new: a walk over the pairs of words of each language in the corpus given, with made-up words and numbers
that no other document has, so that no cache of the encoder sees the whole twice. CPU seconds are of all processes (of
Ray, its workers and this one), after a small job that starts them. Cases: `reference`, `tokenizers.encode_batch_fast`
alone on a sample; `one_process`, the same shards read, encoded, packed and written by one process, set up as a worker
is (one thread); `ray`, the stage. Memory is the most that a worker, and that the stage's own process, the driver, has
of its own, libraries included; whatever else is done here happens in processes that end. One JSON line per case is
appended to results/tokenize_job.jsonl; targets are reported, not enforced.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers

from jobs.configs.execution import DataExecution, Execution
from jobs.configs.texts import TextShardsConfig
from jobs.shards.text_manifest import take_stock, text_shards
from jobs.shards.text_rows import TextShardWriter, sample_bytes_per_token
from jobs.shards.text_stage import build_text_shards
from jobs.stage.context import StageContext
from jobs.stage.ray_setup import WORKER_ENVIRONMENT, shutdown
from tests.benchmarks.record import RESULTS, append, environment
from tests.support.recorded import recorded
from tokenization.bpe.encoder import BATCH
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.documents import COLUMNS, Corpus
from tokenization.records import LANGUAGES, Document

LENGTH = 1024
WORDS = 700  # of a document, on average
ROW_GROUP = 2_000
SAMPLE_BYTES = 10_000_000
TARGETS = {"to_reference": 8.0, "to_one_process": 0.75}


class Quiet:
    """A reporter that keeps nothing."""

    def metrics(self, step, values): ...
    def progress(self, done, total, note=""): ...
    def message(self, text, remedy=""): ...
    def file(self, path, folder=""): ...


class Walk:
    """Texts of one language. Each word follows a word that it follows in a corpus; every tenth word is made up."""

    def __init__(self, corpus: Corpus, language: str, seed: int) -> None:
        self.random = random.Random(f"{language} {seed}")
        self.followers: dict[str, list[str]] = defaultdict(list)
        for document in corpus.read(range(len(corpus))):
            if document.language == language:
                words = document.text.split(" ")
                for word, following in itertools.pairwise(words):
                    self.followers[word].append(following)
        self.words = sorted(self.followers)

    def text(self) -> str:
        word, words = self.random.choice(self.words), []
        for n in range(self.random.randrange(20, 2 * WORDS)):
            words.append(self._new() if n % 10 == 9 else word)
            following = self.followers.get(word)
            word = self.random.choice(following or self.words)
        return " ".join(words)

    def _new(self) -> str:
        """Make a word from halves of two others, or a number."""
        if self.random.random() < 0.2:
            return str(self.random.randrange(10**6))
        one, other = self.random.choice(self.words), self.random.choice(self.words)
        return one[: (len(one) + 1) // 2] + other[len(other) // 2 :]


def _as_worker() -> None:
    os.environ.update(WORKER_ENVIRONMENT)


def write_corpus(source: str, folder: Path, size: int, seed: int) -> None:
    """Write about `size` bytes of documents, half of them in each language."""
    folder.mkdir(parents=True)
    for number, language in enumerate(LANGUAGES):
        documents = _documents(Walk(Corpus(source), language, seed), language, size // len(LANGUAGES))
        schema = pa.schema({name: pa.string() for name in COLUMNS})
        with pq.ParquetWriter(folder / f"documents-{number:05d}.parquet", schema, compression="zstd") as writer:
            while rows := [asdict(document) for document, _ in zip(documents, range(ROW_GROUP), strict=False)]:
                writer.write_table(pa.Table.from_pylist(rows, schema))


def _documents(walk: Walk, language: str, size: int) -> Iterator[Document]:
    written = number = 0
    while written < size:
        text = walk.text()
        split = "train" if number % 50 else "validation"
        yield Document(f"{language}-{number}", text, language, f"walk-{language}", "CC0", split)
        written, number = written + len(text.encode()), number + 1


def cpu_seconds() -> dict[tuple[int, float], float]:
    """Return the CPU seconds of this process and of all that it started."""
    me = psutil.Process()
    found = {}
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
            found[process.pid, process.create_time()] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return found


class Watch:
    """Measures CPU seconds, and the most memory that a worker and that this process had, while a block runs."""

    def __enter__(self) -> Watch:
        self.worker_peak = self.driver_peak = 0
        self._over = threading.Event()
        self._before = cpu_seconds()
        self._latest = dict(self._before)
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._latest |= cpu_seconds()
        self.cpu_seconds = sum(seconds - self._before.get(key, 0.0) for key, seconds in self._latest.items())

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self._latest |= cpu_seconds()  # of workers that end on the way, the last that was seen
            driver = psutil.Process()
            self.driver_peak = max(self.driver_peak, _own_memory(driver))
            for process in driver.children(recursive=True):
                try:
                    if process.name().startswith("ray::"):
                        self.worker_peak = max(self.worker_peak, _own_memory(process))
                except psutil.NoSuchProcess:
                    continue


def _own_memory(process: psutil.Process) -> int:
    """Return the bytes that belong to a process alone, without pages of shared files."""
    memory = process.memory_info()
    return memory.rss - memory.shared


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` returns in a new process. The process is set up like a worker, and leaves no memory behind
    here."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_as_worker) as pool:
        return pool.submit(work, *arguments).result()


def context(output: Path, corpus: Path, tokenizer: str) -> StageContext:
    inputs = {"corpus": recorded("corpus", "", str(corpus)), "tokenizer": recorded("tokenizer", "", tokenizer)}
    return StageContext(
        "text-shards", "benchmark", str(output), inputs, Execution(data=DataExecution(parallelism=2)), Quiet()
    )


def config(shards: int) -> TextShardsConfig:
    return TextShardsConfig(length=LENGTH, shards=shards)


def reference(corpus_uri: str, tokenizer_uri: str) -> dict[str, float]:
    """Run only the encoder of `tokenizers`, on the first documents of each row group."""
    corpus, tokenizer = Corpus(corpus_uri), Tokenizer.load(f"{tokenizer_uri}/tokenizer.json")
    texts: list[str] = []
    groups = [group for group, _ in corpus.row_groups()]
    for group in groups:
        batch = next(group.read(["text"]))
        texts += batch.column("text").to_pylist()[: max(1, SAMPLE_BYTES // (len(groups) * 6 * WORDS))]
    encoder = tokenizers.Tokenizer.from_str(tokenizer.json)
    began, tokens = time.process_time(), 0
    for start in range(0, len(texts), BATCH):
        encodings = encoder.encode_batch_fast(texts[start : start + BATCH], add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in encodings)
    spent = time.process_time() - began
    return {"tokens": tokens, "cpu_seconds": spent, "bytes": sum(len(text.encode()) for text in texts)}


def one_process(output: str, corpus_uri: str, tokenizer_uri: str, shards: int) -> dict[str, float]:
    tokenizer = Tokenizer.load(f"{tokenizer_uri}/tokenizer.json")
    tokenizer.encode("ready")  # as the workers are, which have chosen their engine in the small job
    began = time.process_time()
    stocks = take_stock(Corpus(corpus_uri))
    write = TextShardWriter(output, tokenizer, LENGTH)
    manifest = text_shards(stocks, config(shards), sample_bytes_per_token(stocks, tokenizer))
    tokens = sum(record.tokens for shard in manifest for record in write(shard).files)
    return {"tokens": tokens, "cpu_seconds": time.process_time() - began}


def through_ray(ctx: StageContext, shards: int) -> dict[str, float]:
    began = time.perf_counter()
    with Watch() as watch:
        metrics = build_text_shards(ctx, config(shards))
    tokens = sum(metrics[f"tokens/{split}"] for split in ("train", "validation", "test"))
    return {
        "tokens": tokens,
        "cpu_seconds": watch.cpu_seconds,
        "seconds": time.perf_counter() - began,
        "fill": metrics["fill"],
        "worker_peak_mb": watch.worker_peak / 1e6,
        "driver_peak_mb": watch.driver_peak / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="folder of documents-*.parquet whose words are used")
    parser.add_argument("tokenizer", help="folder of tokenizer.json")
    parser.add_argument("--gb", type=float, default=1.0, help="size of the corpus for speed, 10^9 bytes")
    parser.add_argument("--memory-gb", type=float, nargs="*", default=[0.2, 0.5, 2.0], help="sizes for peak memory")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--folder", help="where to put texts and shards: about twice the largest size")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.load(f"{arguments.tokenizer}/tokenizer.json")
    base = {
        **environment("ray", "pyarrow", "tokenizers"),
        "vocab_size": tokenizer.vocab_size, "length": LENGTH, "shards": arguments.shards,
    }  # fmt: skip

    def tell(case: str, size: float, found: dict[str, float], **more: object) -> float:
        rate = found["tokens"] / found["cpu_seconds"]
        line = {"case": f"tokenize_{case}", **base, "gb": size, **found}
        line |= {"tokens_per_cpu_second": rate, **more}
        append(RESULTS / "tokenize_job.jsonl", [line])
        print(json.dumps(line), flush=True)
        return rate

    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        apart(write_corpus, arguments.corpus, folder / "small", 2_000_000, arguments.seed)
        build_text_shards(context(folder / "out", folder / "small", arguments.tokenizer), config(2))
        for seed, size in enumerate(dict.fromkeys([arguments.gb, *arguments.memory_gb]), arguments.seed + 1):
            corpus = folder / f"corpus-{seed}"
            apart(write_corpus, arguments.corpus, corpus, int(size * 1e9), seed)
            shutil.rmtree(folder / "out")
            found = through_ray(context(folder / "out", corpus, arguments.tokenizer), arguments.shards)
            if size == arguments.gb:
                shutil.rmtree(folder / "out")
                inputs = str(corpus), arguments.tokenizer
                rates = [
                    tell("reference", size, apart(reference, *inputs)),
                    tell("one_process", size, apart(one_process, str(folder / "out"), *inputs, arguments.shards)),
                ]
                rate = found["tokens"] / found["cpu_seconds"]
                ratios = {"to_reference": rate / rates[0], "to_one_process": rate / rates[1]}
                met = {key: ratios[key] >= target for key, target in TARGETS.items()}
                tell("ray", size, found, **ratios, target=TARGETS, met=met)
            else:
                tell("memory", size, found)
            shutil.rmtree(corpus)
    shutdown()


if __name__ == "__main__":
    main()
