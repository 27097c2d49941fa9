"""The shard stages on a generated corpus: complete, resumable, and the same bytes whatever the number of workers."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from jobs.configs.tokenizer import TokenizerConfig
from jobs.shards.dialogue_counts import COUNTS
from jobs.shards.dialogue_stage import build_conversation_shards, build_interaction_shards
from jobs.shards.text_stage import build_text_shards
from jobs.stage.context import Interrupted, Rerun, StageContext, StageError
from jobs.tokenizer import train_tokenizer
from pipelines.code_digest import ROOT
from tests.support.processes import SECONDS
from tests.support.shard_data import CONVERSATIONS, INTERACTIONS, TEXT, digests, documents, shard_context, write_corpus
from tokenization.bpe.special_tokens import BOS, EOS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.conversations.template import decode_answer
from tokenization.documents import Corpus
from tokenization.records import LANGUAGES, SPLITS, Interaction
from tokenization.shards.index import read_index
from tokenization.shards.provenance import origins_of
from tokenization.shards.reader import ShardReader


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("shards")
    corpus = write_corpus(root / "corpus")
    ctx = shard_context(root / "tokenizer", corpus)
    train_tokenizer(ctx, TokenizerConfig(vocab_size=600, document_bytes=40_000, dialogues=40))
    return corpus, str(root / "tokenizer")


def test_the_tokenizer_stage_reports_and_repeats(inputs, tmp_path):
    corpus, folder = inputs
    tokenizer = Tokenizer.load(f"{folder}/tokenizer.json")
    report = json.loads(Path(folder, "report.json").read_text())
    assert (report["vocab_size"], report["digest"]) == (tokenizer.vocab_size, tokenizer.digest)
    assert tokenizer.vocab_size == 11 + 256 + report["merges"] <= 600
    texts = [d.text for d in documents() if d.split == "validation" and d.language == "pl"]
    ratio = sum(len(text.encode()) for text in texts) / sum(len(tokenizer.encode(text)) for text in texts)
    assert report["bytes_per_token"]["pl"] == pytest.approx(ratio, abs=1e-3)
    again = shard_context(tmp_path, corpus)
    metrics = train_tokenizer(again, TokenizerConfig(vocab_size=600, document_bytes=40_000, dialogues=40))
    assert digests(tmp_path) == digests(folder)
    assert metrics["bytes_per_token/pl"] == report["bytes_per_token"]["pl"]


def test_little_text_gives_a_small_vocabulary_and_says_so(inputs, tmp_path):
    ctx = shard_context(tmp_path, inputs[0])
    metrics = train_tokenizer(ctx, TokenizerConfig(vocab_size=60_000, document_bytes=2_000, dialogues=2))
    assert metrics["vocab_size"] < 2_000
    assert "60,000 were asked for" in ctx.reporter.messages[0]


def test_a_missing_corpus_is_a_message_for_the_user(tmp_path):
    with pytest.raises(StageError, match="no documents") as caught:
        build_text_shards(shard_context(tmp_path, str(tmp_path / "nowhere")), TEXT)
    assert caught.value.remedy == Rerun("corpus")


@pytest.fixture(scope="module")
def built(ray_session, inputs, tmp_path_factory) -> dict[str, StageContext]:
    """Run the three stages, with two workers."""
    root = tmp_path_factory.mktemp("built")
    contexts = {name: shard_context(root / name, *inputs) for name in ("text", "interactions", "conversations")}
    build_text_shards(contexts["text"], TEXT)
    build_interaction_shards(contexts["interactions"], INTERACTIONS)
    build_conversation_shards(contexts["conversations"], CONVERSATIONS)
    return contexts


def test_text_shards_hold_every_document_and_nothing_else(built, inputs):
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    for split in ("train", "validation", "test"):
        reader = ShardReader(built["text"].output_uri, split)
        rows = reader.rows(range(len(reader)))
        for number, language in enumerate(("en", "pl")):
            ids = [i for row in rows if row["language"] == number for i in row["input_ids"]]
            expected = [d for d in documents() if d.split == split and d.language == language]
            times = ids.count(BOS) / len(expected)
            assert ids.count(BOS) == ids.count(EOS)
            assert times == 1 or (split, language) == ("train", "pl") and 1 < times <= 4
            if times == 1:
                content = sorted(i for d in expected for i in tokenizer.encode(d.text))
                assert sorted(i for i in ids if i not in (BOS, EOS)) == content
        assert (reader.length, reader.tokenizer_digest, reader.vocab_size) == (
            48, tokenizer.digest, tokenizer.vocab_size,
        )  # fmt: skip


def test_every_token_of_a_shard_is_traced(built, inputs):
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    by_id = {document.id: document for document in documents()}
    uri = built["text"].output_uri
    for row in (0, 7):
        [ids] = [found["input_ids"] for found in ShardReader(uri, "train").rows([row])]
        origins = origins_of(f"{uri}/train-00000.arrow", row)
        assert [one.row for one in origins] == [row] * len(origins) and origins[-1].start + origins[-1].tokens == len(
            ids
        )
        for one in origins:
            piece = [token for token in ids[one.start : one.start + one.tokens] if token not in (BOS, EOS)]
            text = tokenizer.encode(by_id[one.id].text)
            assert one.source == "generated" and piece == text[one.offset : one.offset + len(piece)]
    for kind in ("interactions", "conversations"):
        uri = built[kind].output_uri
        rows = len(ShardReader(uri, "test"))
        found = [one for row in range(rows) for one in origins_of(f"{uri}/test-00000.arrow", row)]
        assert len(found) == rows and {one.source for one in found} >= {"dialogues"}
        if kind == "interactions":
            assert {one.id for one in found if one.source == "generated"} <= by_id.keys()


def test_polish_gets_its_share(built):
    reader = ShardReader(built["text"].output_uri, "train")
    tokens = [0, 0]
    for row in reader.rows(range(len(reader))):
        tokens[row["language"]] += len(row["input_ids"])
    assert tokens[1] / sum(tokens) == pytest.approx(0.5, abs=0.05)


def test_the_report_counts_what_is_in_the_shards(built, inputs):
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    report = json.loads(Path(built["text"].output_uri, "report.json").read_text())
    for split in ("train", "validation", "test"):
        reader = ShardReader(built["text"].output_uri, split)
        rows = reader.rows(range(len(reader)))
        written = [sum(len(row["input_ids"]) for row in rows if row["language"] == n) for n in (0, 1)]
        starts = [sum(row["input_ids"].count(BOS) for row in rows if row["language"] == n) for n in (0, 1)]
        assert report["rows"][split] == {"rows": len(rows), "tokens": sum(written), "capacity": 48 * len(rows)}
        for number, language in enumerate(("en", "pl")):
            mine = [d.text for d in documents() if (d.split, d.language) == (split, language)]
            counts = report["sources"]["generated"][language][split]
            assert counts == {
                "documents": len(mine),
                "bytes": sum(len(text.encode()) for text in mine),
                "tokens": sum(map(len, tokenizer.encode_batch(mine))),
                "trained_tokens": written[number] - 2 * starts[number],
            }
    assert report["rows"]["train"]["tokens"] > 0.99 * report["rows"]["train"]["capacity"]
    assert sum(report["lengths"]["pl"]) == sum(d.language == "pl" for d in documents())


@pytest.mark.parametrize("kind", ["text", "interactions", "conversations"])
def test_the_data_card_is_shown(built, kind):
    names = [Path(path).name for path, folder in built[kind].reporter.files if folder == "data_card"]
    assert names == ["card.md", "card.png"]


@pytest.mark.parametrize("kind", ["text", "interactions"])
def test_the_card_ends_in_a_sample_of_what_is_trained_on(built, kind):
    [page] = built[kind].reporter.pages
    english, polish = page.partition("## A sample")[2].partition("### en")[2].split("### pl")
    for language, told in (("en", english), ("pl", polish)):
        shown = re.findall(r"^- generated: `(.*)`$", told, re.MULTILINE)
        texts = [
            document.text[:300].strip()
            for document in documents()
            if (document.language, document.split) == (language, "train")
        ]
        if kind == "text":
            assert len(shown) == len(set(shown)) == 100 and set(shown) <= set(texts)
        else:
            assert len(shown) == 50 and all("` → `" in line for line in shown)  # all that are not generated
            assert all(any(line.partition("` → `")[0] in text for text in texts) for line in shown)


@pytest.mark.parametrize("kind", ["interactions", "conversations"])
def test_the_report_of_dialogues_counts_what_is_in_the_shards(built, kind):
    report = json.loads(Path(built[kind].output_uri, "report.json").read_text())
    for split in SPLITS:
        reader = ShardReader(built[kind].output_uri, split)
        rows = [row.get("interactions", [row]) for row in reader.rows(range(len(reader)))]
        for number, language in enumerate(LANGUAGES):
            mine = [turns for turns in rows if turns[0]["language"] == number]
            told = [languages[language][split] for languages in report["sources"].values() if language in languages]
            assert {name: sum(counts[name] for counts in told) for name in COUNTS if name != "cut_tokens"} == {
                "rows": len(mine),
                "turns": sum(map(len, mine)),
                "tokens": sum(len(turn["input_ids"]) for turns in mine for turn in turns),
                "supervised": sum(sum(turn["loss_mask"]) for turns in mine for turn in turns),
            }
    assert set(report["sources"]) == ({"dialogues", "generated"} if kind == "interactions" else {"dialogues"})


def test_interactions_are_real_and_generated_in_both_languages(built, inputs):
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    reader = ShardReader(built["interactions"].output_uri, "train")
    rows = reader.rows(range(len(reader)))
    assert len(rows) == 300
    assert [sum(row["language"] == n for row in rows) for n in (0, 1)] == [150, 150]
    answers = {decode_answer(tokenizer, row["input_ids"]) for row in rows}
    sentences = {s.strip() + "." for d in documents() for s in d.text.split(".")}
    assert len(answers & sentences) >= 50
    assert all(len(row["input_ids"]) == len(row["loss_mask"]) <= 48 for row in rows)
    assert len(ShardReader(built["interactions"].output_uri, "test")) == 15


def test_conversations_carry_probes_that_their_answers_satisfy(built, inputs):
    from tokenization.dialogues.score import score
    from tokenization.records import Probe

    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    for split, count in (("train", 60), ("validation", 12), ("test", 16)):
        reader = ShardReader(built["conversations"].output_uri, split)
        rows = reader.rows(range(len(reader)))
        assert len({row["conversation_id"] for row in rows}) == len(rows) == count
        probes = [(row, probe) for row in rows for probe in row["probes"]]
        assert probes
        for row, probe in probes:
            turn = row["interactions"][probe["turn"]]
            answer = decode_answer(tokenizer, turn["input_ids"])
            probe = Probe(**probe | {"gold": tuple(probe["gold"]), "forbidden": tuple(probe["forbidden"])})
            assert score(answer, probe, ("en", "pl")[turn["language"]]) == "correct"


def test_progress_is_told_per_shard(built):
    assert built["text"].reporter.done == [(n, 3) for n in range(1, 4)]


def test_one_worker_writes_the_same_bytes(built, inputs, tmp_path):
    alone = shard_context(tmp_path / "conversations", *inputs, workers=1)
    build_conversation_shards(alone, CONVERSATIONS)
    assert digests(alone.output_uri) == digests(built["conversations"].output_uri)


def test_a_stopped_stage_goes_on_where_it_was(ray_session, inputs, built, tmp_path):
    """It leaves finished shards alone, and writes a damaged and a missing one again."""
    stops = itertools.chain([False, True], itertools.repeat(False))
    ctx = shard_context(tmp_path / "text", *inputs, workers=1, should_stop=lambda: next(stops))
    with pytest.raises(Interrupted, match="2 of 3"):
        build_text_shards(ctx, TEXT)
    assert not os.path.exists(f"{ctx.output_uri}/index.json")
    records = [json.loads(path.read_text())["files"] for path in Path(ctx.output_uri, "done").glob("*.json")]
    assert len(records) >= 2
    written = {tuple(record["file"] for record in files) for files in records}
    before = {name: os.stat(f"{ctx.output_uri}/{name}").st_mtime_ns for files in written for name in files}
    again = min(written)
    damaged = again[1]
    with open(f"{ctx.output_uri}/{damaged}", "r+b") as file:
        file.write(b"damaged")
    ctx.reporter.messages.clear()
    build_text_shards(ctx, TEXT)
    after = {name: os.stat(f"{ctx.output_uri}/{name}").st_mtime_ns for name in before}
    assert {name for name in before if after[name] != before[name]} == set(again)
    kept = len(records) - 1
    assert ctx.reporter.messages == [f"resumed at step {kept}: {kept} of 3 shards were finished before"]
    assert digests(ctx.output_uri) == digests(built["text"].output_uri)


def test_a_file_without_a_record_is_not_taken_for_finished(ray_session, inputs, built, tmp_path):
    ctx = shard_context(tmp_path / "conversations", *inputs)
    os.makedirs(ctx.output_uri)
    Path(ctx.output_uri, "train-00000.arrow").write_bytes(b"left by a writer that was killed")
    Path(ctx.output_uri, ".train-00001.arrow.x1y2.tmp").write_bytes(b"half")
    build_conversation_shards(ctx, CONVERSATIONS)
    assert digests(ctx.output_uri) == digests(built["conversations"].output_uri)


def test_an_error_in_a_worker_reaches_the_user_with_its_cause(ray_session, inputs, tmp_path):
    (tmp_path / "train-00000.arrow").mkdir()
    with pytest.raises(StageError, match=r"IsADirectoryError.*train-00000\.arrow"):
        build_conversation_shards(shard_context(tmp_path, *inputs), CONVERSATIONS)


def test_real_small_talk_comes_from_the_split_of_the_conversation(inputs):
    from jobs.shards.dialogue_rows import choose_distractors

    corpus = Corpus(inputs[0])
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    chosen = choose_distractors(corpus, corpus.catalogue(), tokenizer, 48)
    texts = {(d.split, d.language): "" for d in documents()}
    for d in documents():
        texts[d.split, d.language] += d.text
    for key, interactions in chosen.items():
        assert interactions and all(isinstance(one, Interaction) and one.query in texts[key] for one in interactions)


@pytest.fixture
def bucket(monkeypatch):
    """Run an S3 server on loopback. The usual environment variables tell this process and its children about it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("shards")
    yield "s3://shards"
    server.stop()


ON_S3 = """
import sys
from jobs.shards.dialogue_stage import build_conversation_shards
from jobs.stage.ray_setup import shutdown
from tests.support.shard_data import CONVERSATIONS, shard_context
for _ in range(2):
    ctx = shard_context(*sys.argv[1:])
    build_conversation_shards(ctx, CONVERSATIONS)
    print(ctx.reporter.messages)
shutdown()
"""


def test_shards_on_an_object_store_equal_local_ones(built, inputs, bucket, tmp_path, monkeypatch):
    """The test has a Ray of its own, since its workers must know the store from the start, as on a cluster."""
    url = f"{bucket}/conversations"
    command = [sys.executable, "-c", ON_S3, url, *inputs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert done.stdout.splitlines() == ["[]", "['resumed at step 4: 4 of 4 shards were finished before']"]
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    assert read_index(url) == read_index(built["conversations"].output_uri)
    remote, local = (ShardReader(uri, "test") for uri in (url, built["conversations"].output_uri))
    assert remote.rows(range(len(remote))) == local.rows(range(len(local)))
    assert {path.suffix for path in (tmp_path / "shards").iterdir()} == {".arrow"}
