"""After SIGKILL to a worker or the driver, in the middle of any kind of shards, the same command continues. It ends
with the bytes of an undisturbed run, for any number of workers."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.configs.texts import TextShardsConfig
from jobs.shards.dialogue_manifest import conversation_shards, interaction_shards
from jobs.shards.dialogue_rows import ConversationRows, DialogueShardWriter, InteractionRows, choose_distractors
from jobs.shards.dialogue_stage import build_conversation_shards, build_interaction_shards
from jobs.shards.job import run_manifest
from jobs.shards.text_manifest import take_stock, text_shards
from jobs.shards.text_rows import TextShardWriter, sample_bytes_per_token
from jobs.shards.text_stage import build_text_shards
from jobs.stage.corpus_input import open_corpus
from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS
from tests.support.recorded import recorded
from tests.support.shard_data import digests, documents, shard_context, write_corpus
from tokenization.bpe.tokenizer import Tokenizer

STAGES = {
    "text": (build_text_shards, TextShardsConfig(length=48, shards=3)),
    "interactions": (
        build_interaction_shards,
        InteractionShardsConfig(length=48, shards=2, generated=200, documents=100),
    ),
    "conversations": (build_conversation_shards, ConversationShardsConfig(length=96, shards=2, train=400)),
}
DRIVER = """
import os, pickle, signal, sys
from tests.support.shard_data import shard_context
(build, config), uris, workers = pickle.load(sys.stdin.buffer)
killed = lambda: os.kill(os.getpid(), signal.SIGKILL)  # asked after the first finished shard
build(shard_context(*uris, workers=workers, should_stop=killed), config)
"""
EVERY_KIND = [(kind, 2) for kind in STAGES]


def deadly(content: str, mark: str) -> Tokenizer:
    """Kill the process once, at its third batch of texts. Then a shard is half written."""

    class Deadly(Tokenizer):  # in here, so that it travels to workers, which do not know this module
        def __init__(self) -> None:
            super().__init__(tokenizers.Tokenizer.from_str(content))
            self.batches = 0

        def encode_flat(self, texts):
            self.batches += 1
            if self.batches == 3 and not os.path.exists(mark):
                open(mark, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode_flat(texts)

        def __reduce__(self):
            return Deadly, ()

    return Deadly()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("killed")
    (root / "tokenizer").mkdir()
    Tokenizer.train([document.text for document in documents()], 500).save(f"{root}/tokenizer/tokenizer.json")
    return write_corpus(root / "corpus"), str(root / "tokenizer")


@pytest.fixture(scope="module")
def undisturbed(ray_session, inputs, tmp_path_factory) -> dict[str, dict[str, str]]:
    """Return the digests of all files of each stage."""
    root, found = tmp_path_factory.mktemp("undisturbed"), {}
    for kind, (build, config) in STAGES.items():
        build(shard_context(root / kind, *inputs), config)
        found[kind] = digests(str(root / kind))
    return found


def job(kind: str, inputs: tuple[str, str], uri: str, tokenizer: Tokenizer):
    """Return the manifest of a stage and its write function, with this tokenizer."""
    corpus, config = open_corpus(recorded("corpus", "c-1", inputs[0])), STAGES[kind][1]
    honest = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    if kind == "text":
        stocks = take_stock(corpus)
        shards = text_shards(stocks, config, sample_bytes_per_token(stocks, honest))
        return shards, TextShardWriter(uri, tokenizer, config.length)
    catalogue, spec = corpus.catalogue(), config.dialogues
    if kind == "interactions":
        shards = interaction_shards(catalogue, config)
        rows = InteractionRows(corpus, tokenizer, config.length, spec, config.seed)
    else:
        shards = conversation_shards(config, catalogue)
        distractors = choose_distractors(corpus, catalogue, honest, config.length)
        rows = ConversationRows(corpus, tokenizer, config.length, spec, None, config.seed, distractors, config.longest)
    return shards, DialogueShardWriter(uri, kind, rows)


@pytest.mark.parametrize(("kind", "workers"), [*EVERY_KIND, *((kind, 1) for kind in STAGES)])
def test_a_worker_killed_while_it_writes_changes_no_byte(ray_session, inputs, undisturbed, tmp_path, kind, workers):
    ctx = shard_context(tmp_path / kind, *inputs, workers=workers)
    mark = tmp_path / "killed"
    tokenizer = deadly(Path(inputs[1], "tokenizer.json").read_text(), str(mark))
    run_manifest(ctx, *job(kind, inputs, ctx.output_uri, tokenizer))
    assert mark.exists()
    of_the_stage = {"index.json", "report.json"}
    assert digests(ctx.output_uri) == {n: d for n, d in undisturbed[kind].items() if n not in of_the_stage}


@pytest.mark.parametrize(("kind", "workers"), [*EVERY_KIND, ("text", 1)])
def test_a_driver_killed_after_a_shard_goes_on_to_the_same_bytes(
    ray_session, inputs, undisturbed, tmp_path, kind, workers
):
    """It is killed when its first shard is finished. The other worker is then in the middle of the next one."""
    output = tmp_path / kind
    address = ray_session.get_runtime_context().gcs_address
    killed = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=pickle.dumps((STAGES[kind], (str(output), *inputs), workers)),
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": address},
        capture_output=True,
        timeout=SECONDS,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert any((output / "done").glob("*.json")) and not (output / "index.json").exists()
    build, config = STAGES[kind]
    ctx = shard_context(output, *inputs, workers=workers)
    build(ctx, config)
    assert ctx.reporter.messages[0].startswith("resumed at step ")
    assert digests(str(output)) == undisturbed[kind]
