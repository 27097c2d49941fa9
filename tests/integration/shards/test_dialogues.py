"""Shards of interactions and conversations from data sets and real dialogues: what they hold, what was left out, and
that the bytes are the same for any number of workers and after any loss."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.configs.conversations import ConversationShardsConfig, InteractionShardsConfig
from jobs.shards.dialogue_rows import pieces
from jobs.shards.dialogue_stage import build_conversation_shards, build_interaction_shards
from jobs.stage.context import StageError
from tests.support.shard_data import digests, shard_context
from tokenization.bpe.special_tokens import ANSWER, EOS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.cleaning.benchmark import Benchmark, write_benchmark
from tokenization.conversations.data_set import ConversationSource
from tokenization.conversations.template import EncodedInteraction, decode_interaction
from tokenization.dialogues.spec import DialogueSpec
from tokenization.documents import COLUMNS
from tokenization.records import SPLITS, Conversation, Document, Interaction
from tokenization.shards.reader import ShardReader

LENGTH = 48


def documents() -> list[Document]:
    """Make dialogues of 21 turns (the last has no reply) and plain texts."""
    found = []
    for n in range(60):
        split = ("train", "train", "train", "validation", "test")[n % 5]
        turns = "\n".join(f"said {n} {turn}" + "?" * (1 - turn % 2) for turn in range(21))
        found.append(Document(f"chat-{n}", turns, "en", "chitchat-dataset", "MIT", split))
        text = f"Ala ma {n} kotów. Koty mają Alę."
        found.append(Document(f"text-{n}", text, "pl", "texts", "CC0", split))
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("dialogues")
    for name in ("corpus", "tokenizer", "talks"):
        (root / name).mkdir()
    table = pa.Table.from_pylist([dataclasses.asdict(document) for document in documents()]).select(COLUMNS)
    pq.write_table(table, root / "corpus" / "documents-00000.parquet")
    Tokenizer.train([document.text for document in documents()], 400).save(f"{root}/tokenizer/tokenizer.json")
    for number in range(3):
        rows = [
            {
                "system": "be kind",
                "interactions": [{"query": f"q {number} {n} {turn}", "answer": "yes"} for turn in range(7)],
            }
            for n in range(40)
        ]
        pq.write_table(pa.Table.from_pylist(rows), root / "talks" / f"{number}.parquet", row_group_size=10)
    lines = [json.dumps({"query": f"p {n}", "answer": "long " * 60 if n == 3 else "no"}) for n in range(50)]
    (root / "talks" / "pairs.jsonl").write_text("\n".join([*lines, "{broken", '{"query": "nothing"}']))
    return str(root / "corpus"), str(root / "tokenizer")


def sources(inputs, **more) -> tuple[ConversationSource, ...]:
    folder = Path(inputs[0]).parent / "talks"
    common = {"kind": "files", "language": "en", "licence": "CC0-1.0", "validation_fraction": 0.1, "test_fraction": 0.1}
    return (
        ConversationSource(name="talks", path=f"{folder}/*.parquet", adapter="interactions", **common | more),
        ConversationSource(name="pairs", path=f"{folder}/pairs.jsonl", adapter="query_answer", **common | more),
    )


def interactions(uri: str, inputs, split: str) -> list[Interaction]:
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    reader = ShardReader(uri, split)
    return [decode_interaction(tokenizer, row["input_ids"]) for row in reader.rows(range(len(reader)))]


def test_interactions_of_data_sets_stand_beside_the_others_once_each(ray_session, inputs, tmp_path):
    config = InteractionShardsConfig(length=LENGTH, shards=3, generated=0, documents=20, sources=sources(inputs))
    ctx = shard_context(tmp_path, *inputs)
    metrics = build_interaction_shards(ctx, config)
    found = [turn for split in SPLITS for turn in interactions(str(tmp_path), inputs, split)]
    assert not any(turn.is_system_prompt for turn in found)
    queries = Counter(turn.query for turn in found if turn.query.startswith(("q ", "p ")))
    expected = {f"q {number} {n} {turn}" for number in range(3) for n in range(40) for turn in range(7)}
    assert queries == Counter(expected | {f"p {n}" for n in range(50)})
    assert sum(turn.query.startswith("said") for turn in found) == 10  # English documents
    report = {one["name"]: one for one in json.loads((tmp_path / "sources.json").read_text())["sources"]}
    counts = Counter()
    for split in report["talks"]["splits"].values():
        counts.update(split)
    assert (counts["conversations"], counts["interactions"], counts["cut_tokens"]) == (120, 960, 0)
    assert report["pairs"]["licence"] == "CC0-1.0" and report["pairs"]["rejected"] == {"no answer": 1, "not JSON": 1}
    assert sum(split.get("cut_tokens", 0) for split in report["pairs"]["splits"].values()) > 0
    quarantine = [json.loads(line) for path in (tmp_path / "quarantine").iterdir() for line in path.open()]
    content = (Path(inputs[0]).parent / "talks" / "pairs.jsonl").read_text()
    broken, nothing = content.index("{broken"), content.index('{"query": "nothing"')
    assert [(one["source"], one["file"].rpartition("/")[2], one["place"], one["reason"]) for one in quarantine] == [
        ("pairs", "pairs.jsonl", f"byte {broken}", "not JSON"),
        ("pairs", "pairs.jsonl", f"byte {nothing}", "no answer"),
    ]
    assert metrics["sources/pairs/rejected"] == 2 and metrics["sources/talks/conversations"] == 120
    left_out, was_cut = ctx.reporter.messages
    assert left_out == "source pairs: left out 2 (no answer 1, not JSON 1): see quarantine/"
    cut, tokens = (
        sum(split.get(name, 0) for split in report["pairs"]["splits"].values()) for name in ("cut_tokens", "tokens")
    )
    assert metrics["sources/pairs/cut_share"] == round(cut / (cut + tokens), 6) > metrics["cut_share"] > 0
    assert was_cut == (
        f"source pairs: {metrics['sources/pairs/cut_share']:.1%} of its tokens ({cut:,}) did not fit length = 48 and "
        "were cut; raise `length`, or set long_answers = 'window'"
    )
    assert metrics["result"].endswith(f" interactions, {metrics['cut_share']:.1%} of tokens cut")


def test_real_conversations_whole_or_in_pieces_same_bytes_after_a_loss(ray_session, inputs, tmp_path):
    config = ConversationShardsConfig(
        length=LENGTH,
        shards=2,
        train=6,
        validation=2,
        test=2,
        documents=20,
        longest=4,
        longer=DialogueSpec(turns=(12, 12)),
        sources=sources(inputs, weight=2),
    )
    two, one = shard_context(tmp_path / "two", *inputs), shard_context(tmp_path / "one", *inputs, workers=1)
    build_conversation_shards(two, config)
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    conversations: dict[str, list[list[Interaction]]] = {}
    names: Counter[str] = Counter()
    for split in SPLITS:
        reader = ShardReader(two.output_uri, split)
        for row in reader.rows(range(len(reader))):
            turns = [decode_interaction(tokenizer, turn["input_ids"]) for turn in row["interactions"]]
            conversations.setdefault(f"{split} {row['conversation_id'].partition('-')[0]}", []).append(turns)
            assert bool(row["probes"]) <= row["conversation_id"].startswith("dialogue-")
            names[row["conversation_id"]] += 1
    assert set(names.values()) == {1}
    assert {len(conversations[f"{split} dialogue"]) for split in SPLITS} == {12, 4}
    # in both languages, and every second one is long
    assert [len(turns) == 12 for turns in conversations["train dialogue"]] == [False, False, True, True] * 3
    assert max(len(turns) for split in ("validation", "test") for turns in conversations[f"{split} dialogue"]) <= 8
    assert [len(turns) for turns in conversations["train chat"]] == [4, 4, 2] * 20  # in pieces of at most 4, in order
    second = conversations["train chat"][0][1]
    assert second.query.endswith(" 2?") and second.answer.endswith(" 3")
    assert len(conversations["validation chat"]) == len(conversations["test chat"]) == 3
    pieces = [turns for split in SPLITS for turns in conversations[f"{split} talks"]]
    assert {len(turns) for turns in pieces} == {5, 4} and all(turns[0].is_system_prompt for turns in pieces)
    starts = Counter(turns[1].query for turns in conversations["train talks"])
    assert set(starts.values()) == {2} and set(Counter(t[1].query for t in conversations["test talks"]).values()) == {1}

    build_conversation_shards(one, config)
    assert digests(one.output_uri) == digests(two.output_uri)
    lost = Path(two.output_uri, "train-00001.arrow")
    lost.unlink()
    build_conversation_shards(two, config)
    assert digests(one.output_uri) == digests(two.output_uri)


def test_repeated_conversations_and_those_of_a_benchmark_are_left_out_whoever_reads_them(ray_session, inputs, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(inputs[0], corpus)
    write_benchmark(str(corpus), Benchmark.of(["Who of the four was in the house?"], 6))
    for number in range(2):  # three quarters of the second are in the first, in other letters
        said = [f"Said {n}!" if number else f"said {n}" for n in range(30 * number, 120 + 30 * number)]
        lines = [json.dumps({"query": text, "answer": "yes"}) for text in [*said, "Well, who of the four was in..."]]
        (tmp_path / f"{number}.jsonl").write_text("\n".join(lines))
    (tmp_path / "more.jsonl").write_text('{"query": "more", "answer": "yes"}')

    def config(*names: str) -> ConversationShardsConfig:
        common = {"kind": "files", "adapter": "query_answer", "language": "en", "licence": "CC0-1.0"}
        mine = tuple(ConversationSource(name=f"s{name}", path=f"{tmp_path}/{name}.jsonl", **common) for name in names)
        return ConversationShardsConfig(length=LENGTH, shards=2, train=2, validation=2, test=2, sources=mine)

    out = {workers: shard_context(tmp_path / f"out-{workers}", str(corpus), inputs[1], workers) for workers in (1, 2)}
    for ctx in out.values():
        metrics = build_conversation_shards(ctx, config("0", "1"))
    assert digests(out[1].output_uri) == digests(out[2].output_uri)
    assert [metrics[f"sources/s{n}/{what}"] for n in (0, 1) for what in ("conversations", "removed")] == [
        120,
        1,
        30,
        91,
    ]
    assert "source s1: left out 91 (duplicate 90, benchmark 1): see sources.json" in out[2].reporter.messages
    report = {one["name"]: one for one in json.loads((tmp_path / "out-2/sources.json").read_text())["sources"]}
    example = {"bytes": 35, "documents": 1, "examples": ["Well, who of the four was in...\nyes"]}
    assert report["s0"]["removed"] == {"benchmark": example}
    assert report["s1"]["removed"]["duplicate"]["documents"] == 90

    # whoever goes on after a data set has changed decides anew, also about shards that read other parts alone
    (tmp_path / "0.jsonl").write_text((tmp_path / "more.jsonl").read_text())
    changed = shard_context(tmp_path / "out-2", str(corpus), inputs[1])
    assert build_conversation_shards(changed, config("0", "1"))["sources/s1/conversations"] == 120
    fresh = shard_context(tmp_path / "fresh", str(corpus), inputs[1])
    build_conversation_shards(fresh, config("0", "1"))
    assert digests(changed.output_uri) == digests(fresh.output_uri)


def test_pieces_keep_the_system_prompt_and_number_their_names():
    told = tuple(Interaction(f"q{n}", "a") for n in range(5))
    whole = Conversation("c", "en", "s", "train", (Interaction("", "", internal="be kind"), *told))
    prompt, *turns = (EncodedInteraction([n], [n > 0], 0) for n in range(6))
    assert [(piece.id, found) for piece, found in pieces(whole, [prompt, *turns], 2)] == [
        ("c", [prompt, *turns[:2]]), ("c.1", [prompt, *turns[2:4]]), ("c.2", [prompt, turns[4]]),
    ]  # fmt: skip
    assert list(pieces(whole, [prompt, *turns], 5)) == [(whole, [prompt, *turns])]
    bare = replace(whole, interactions=told)
    assert [found for _, found in pieces(bare, turns, 4)] == [turns[:4], turns[4:]]


def test_long_answers_in_windows_lose_nothing(ray_session, inputs, tmp_path):
    pairs = replace(sources(inputs)[1], adapter="", long_answers="window")
    config = ConversationShardsConfig(
        length=LENGTH, shards=1, train=2, validation=2, test=2, sources=(pairs,), longest=2
    )
    ctx = shard_context(tmp_path, *inputs)
    metrics = build_conversation_shards(ctx, config)
    assert metrics["sources/pairs/cut_share"] == 0
    assert ctx.reporter.messages[0] == (
        "source pairs: its first rows have the schema `query_answer`; set `adapter` to read them otherwise"
    )
    tokenizer = Tokenizer.load(f"{inputs[1]}/tokenizer.json")
    learned, longest = [], 0
    for split in SPLITS:
        reader = ShardReader(str(tmp_path), split)
        for row in reader.rows(range(len(reader))):
            if not row["probes"]:  # those with probes are generated
                longest = max(longest, len(row["interactions"]))
            for turn in row["interactions"]:
                if decode_interaction(tokenizer, turn["input_ids"]).query == "p 3":
                    learned += [token for token, on in zip(turn["input_ids"], turn["loss_mask"], strict=True) if on]
    assert learned == [ANSWER, *tokenizer.encode("long " * 59 + "long"), EOS]
    assert longest == 2


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("*.nothing", "source pairs: no file matches"),
        ("bad.jsonl", "source pairs: not JSON Expecting value.* .byte 0 of .*bad.jsonl"),
        ("other.jsonl", "source pairs: .* holds no conversation; rejected: no query 1"),
    ],
)
def test_a_source_that_gives_nothing_stops_the_stage_with_its_name(ray_session, inputs, tmp_path, path, message):
    (tmp_path / "bad.jsonl").write_text("broken")
    (tmp_path / "other.jsonl").write_text('{"text": "no talk"}')
    pairs = replace(sources(inputs)[1], path=f"{tmp_path}/{path}")
    config = InteractionShardsConfig(length=LENGTH, shards=1, generated=4, documents=4, sources=(pairs,))
    with pytest.raises(StageError, match=message):
        build_interaction_shards(shard_context(tmp_path / "out", *inputs), config)


def test_a_corpus_without_dialogues_is_named(tmp_path, inputs):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = [dataclasses.asdict(document) for document in documents() if document.source == "texts"]
    pq.write_table(pa.Table.from_pylist(rows).select(COLUMNS), corpus / "documents-00000.parquet")
    config = ConversationShardsConfig(length=LENGTH, documents=5)
    with pytest.raises(StageError, match="documents = 5: the corpus has no source with dialogues, such as chitchat"):
        build_conversation_shards(shard_context(tmp_path / "out", str(corpus), inputs[1]), config)
