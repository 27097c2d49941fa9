"""If documents differ from what stage `corpus` wrote, messages name the file, and that stage to run again."""

import shutil
from pathlib import Path

import pytest

from jobs.configs.tokenizer import TokenizerConfig
from jobs.shards.dialogue_stage import build_conversation_shards, build_interaction_shards
from jobs.shards.job import run_manifest
from jobs.shards.text_manifest import take_stock, text_shards
from jobs.shards.text_rows import TextShardWriter, sample_bytes_per_token
from jobs.shards.text_stage import build_text_shards
from jobs.stage.context import Rerun, StageError
from jobs.stage.corpus_input import open_benchmark, open_corpus
from jobs.tokenizer import train_tokenizer
from tests.support.recorded import recorded
from tests.support.shard_data import CONVERSATIONS, INTERACTIONS, TEXT, documents, shard_context, write_corpus
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.cleaning.benchmark import Benchmark, write_benchmark
from tokenization.documents import Corpus
from tokenization.files.integrity import DamagedFile

STAGES = {
    "tokenizer": (train_tokenizer, TokenizerConfig(vocab_size=400)),
    "text": (build_text_shards, TEXT),
    "interactions": (build_interaction_shards, INTERACTIONS),
    "conversations": (build_conversation_shards, CONVERSATIONS),
}


@pytest.fixture
def inputs(tmp_path) -> tuple[str, str]:
    (tmp_path / "tokenizer").mkdir()
    Tokenizer.train([document.text for document in documents()], 400).save(f"{tmp_path}/tokenizer/tokenizer.json")
    return write_corpus(tmp_path / "corpus"), str(tmp_path / "tokenizer")


def flip(path: Path) -> None:
    """Flip one bit in the middle of the file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("harm", "told"),
    [(flip, "is damaged: sha256 "), (cut, "is truncated or damaged: "), (Path.unlink, "is missing")],
    ids=["flipped", "truncated", "missing"],
)
def test_damaged_documents_are_named_before_any_work_is_done(inputs, tmp_path, monkeypatch, stage, harm, told):
    build, config = STAGES[stage]
    ctx = shard_context(str(tmp_path / "out"), *inputs)
    path = tmp_path / "corpus" / "documents-00001.parquet"
    harm(path)
    monkeypatch.setattr("jobs.shards.job.ensure_ray", lambda _: pytest.fail("Ray was started"))
    with pytest.raises(StageError) as caught:
        build(ctx, config)
    assert str(caught.value).startswith(f"{path} {told}") and caught.value.remedy == Rerun("corpus")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["text", "dialogues"])
def test_documents_that_are_damaged_later_are_named_by_the_worker_that_reads_them(ray_session, inputs, tmp_path, kind):
    ctx = shard_context(str(tmp_path / "out"), *inputs)
    corpus = open_corpus(ctx.inputs["corpus"])
    path = tmp_path / "corpus" / "documents-00000.parquet"
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    stocks = take_stock(corpus)
    shards = text_shards(stocks, TEXT, sample_bytes_per_token(stocks, tokenizer))

    def rows_of_all_files(shard):
        return list(corpus.read(range(600)))

    readers = {"text": TextShardWriter(ctx.output_uri, tokenizer, TEXT.length), "dialogues": rows_of_all_files}
    flip(path)
    with pytest.raises(StageError) as caught:
        run_manifest(ctx, shards, readers[kind])
    assert str(caught.value).startswith(f"{path} is damaged: sha256 ") and caught.value.remedy == Rerun("corpus")


@pytest.mark.parametrize("harm", [cut, lambda path: path.write_bytes(b"PAR1"), lambda path: path.write_bytes(b"")])
def test_what_arrow_cannot_read_is_told_with_the_file(inputs, tmp_path, harm):
    """This holds also if nothing is recorded."""
    path = tmp_path / "corpus" / "documents-00001.parquet"
    harm(path)
    with pytest.raises(DamagedFile, match=f"{path} is damaged: "):
        Corpus(inputs[0])


def test_a_whole_corpus_is_the_same_with_and_without_its_record_and_a_file_of_nobody_is_not_read(inputs, tmp_path):
    files = recorded("corpus", "c-1", inputs[0])
    texts = [document.text for document in documents()]
    shutil.copy(tmp_path / "corpus" / "documents-00001.parquet", tmp_path / "corpus" / "documents-00002.parquet")
    assert [document.text for document in open_corpus(files).read(range(600))] == texts
    assert len(open_corpus(files)) == 600 and len(Corpus(inputs[0])) == 950


def test_a_damaged_benchmark_is_named(inputs, tmp_path):
    assert not len(open_benchmark(recorded("corpus", "c-1", inputs[0])).hashes)
    write_benchmark(inputs[0], Benchmark.of(["one two three four five six seven"], 3))
    artifact = recorded("corpus", "c-1", inputs[0])
    assert len(open_benchmark(artifact).hashes) == 5
    flip(tmp_path / "corpus" / "benchmark.parquet")
    with pytest.raises(StageError, match="benchmark.parquet is damaged: sha256") as caught:
        open_benchmark(artifact)
    assert caught.value.remedy == Rerun("corpus")
