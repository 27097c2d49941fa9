"""The tokenizer is trained on the requested mixture: shares of languages, weights of sources, caps."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.configs.execution import Execution
from jobs.configs.tokenizer import TokenizerConfig
from jobs.stage.context import Look, StageContext, StageError
from jobs.tokenizer import _documents, _passes, _texts, train_tokenizer
from tests.support.recorded import recorded
from tests.support.training_data import Memory
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.documents import Corpus

# source and language, the word it repeats, and the number of its documents of 100 bytes
SOURCES = {
    ("books", "en"): ("lighthouse", 400),
    ("manuals", "en"): ("zxqvzxqvk", 800),
    ("ksiazki", "pl"): ("latarnikiem", 200),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    for number, ((source, language), (word, count)) in enumerate(SOURCES.items()):
        rows = [
            {
                "id": f"{source}-{n}",
                "text": f"{n:05d} {word} ".ljust(100, "."),
                "language": language,
                "source": source,
                "licence": "CC0",
                "split": split,
            }
            for split, some in (("train", count), ("validation", 20))
            for n in range(some)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"documents-{number:05d}.parquet", row_group_size=300)
    return str(folder)


def bytes_read(uri: str, **mixture) -> Counter[str]:
    """Return the bytes that training reads of each source."""
    config = TokenizerConfig(vocab_size=300, dialogues=1, **mixture)
    corpus = Corpus(uri)
    catalogue = corpus.catalogue()
    found: Counter[str] = Counter()
    for text in _texts(corpus, catalogue, _passes(catalogue, config), config):
        for (source, _), (word, _) in SOURCES.items():
            found[source] += len(text) if word in text else 0
    return found


def test_by_default_both_languages_have_half_and_sources_what_they_hold(corpus):
    read = bytes_read(corpus, document_bytes=30_000)
    assert read["ksiazki"] == read["books"] + read["manuals"] == 15_000
    assert read["manuals"] == pytest.approx(2 * read["books"], rel=0.5)  # chosen by hash


def test_weights_shares_and_caps_are_kept(corpus):
    read = bytes_read(corpus, document_bytes=30_000, weights={"books": 8}, polish_share=0.2)
    assert (read["books"], read["manuals"], read["ksiazki"]) == (19_200, 4_800, 6_000)  # 8 * 400 to 1 * 800
    read = bytes_read(corpus, document_bytes=10**6, most_passes={"en": 0.5, "pl": 2.5}, polish_share=0.5)
    assert (read["books"] + read["manuals"], read["ksiazki"]) == (60_000, 50_000)
    assert bytes_read(corpus, document_bytes=30_000, polish_share=0)["ksiazki"] == 0


def stage(uri: str, folder, **mixture) -> Tokenizer:
    config = TokenizerConfig(vocab_size=330, document_bytes=60_000, dialogues=1, **mixture)
    inputs = {"corpus": recorded("corpus", "c-1", uri)}
    train_tokenizer(StageContext("tokenizer", "t-1", str(folder), inputs, Execution(), Memory()), config)
    return Tokenizer.load(f"{folder}/tokenizer.json")


def test_a_source_without_weight_gives_no_merges(corpus, tmp_path):
    word = SOURCES["manuals", "en"][0]
    assert len(stage(corpus, tmp_path / "with").encode(word)) < 5
    assert len(stage(corpus, tmp_path / "without", weights={"manuals": 0}).encode(word)) == len(word)


def test_a_weight_of_an_unknown_source_is_named_with_those_there_are(corpus, tmp_path):
    told = "tokenizer: weights name 'poems'; the corpus has books, ksiazki, manuals"
    with pytest.raises(StageError, match=told) as caught:
        stage(corpus, tmp_path, weights={"poems": 1})
    assert caught.value.remedy == Look("tokenizer")


def test_a_fraction_of_a_pass_beyond_the_first_is_drawn_from_all_files(corpus):
    catalogue = Corpus(corpus).catalogue()
    rows = np.flatnonzero(catalogue.languages == 0)
    rows = rows[np.argsort(catalogue.hashes[rows])]
    words = Counter(text.split()[1] for text in _documents(Corpus(corpus), catalogue, rows, 1.5))
    held = [len(catalogue.rows_of([name])) for name in ("books", "manuals")]
    found = words["lighthouse"] / held[0], words["zxqvzxqvk"] / held[1]
    assert found == pytest.approx((1.5, 1.5), abs=0.1)
