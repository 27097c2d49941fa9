"""The look-up: the formula of BM25 by hand, the terms of both languages, and how documents are cut."""

from __future__ import annotations

from math import log

import pytest

from jobs.stage.context import StageError
from jobs.tools.documents import read_documents
from tokenization.tools.search import LONGEST, Index, Passage, cut, terms

TEXTS = ("boiler kitchen boiler", "boiler garden shed ladder lamp", "kitchen", "garden")


def test_scores_are_those_of_the_formula():
    index = Index(Passage("a", text) for text in TEXTS)
    k, b, mean = 1.2, 0.75, (3 + 5 + 1 + 1) / 4
    boiler = kitchen = log(1 + (4 - 2 + 0.5) / (2 + 0.5))  # each in two passages of four
    norm = [k * (1 - b + b * length / mean) for length in (3, 5, 1, 1)]
    expected = [
        boiler * 2 * (k + 1) / (2 + norm[0]) + kitchen * (k + 1) / (1 + norm[0]),
        boiler * (k + 1) / (1 + norm[1]),
        kitchen * (k + 1) / (1 + norm[2]),
        0,
    ]
    assert index.scores("the Boiler in the kitchen, the boiler, and a zebra") == pytest.approx(expected, rel=1e-12)
    best = index.best("boiler")
    assert best is not None and best.text == TEXTS[0]


def test_words_match_in_other_forms_and_words_of_any_question_do_not_count():
    assert terms("Gdzie jest KONEWKĘ, Łódź?") == ["konew", "lodz"] and terms("konewka")[0] == "konew"
    index = Index([Passage("a", "What is it, and where is the thing?"), Passage("b", "Konewka stoi w szopie.")])
    found = index.best("Gdzie postawiłem konewkę?")
    assert found is not None and found.source == "b"
    assert index.best("What is that, and where?") is None and index.best("zebra") is None
    assert Index([]).best("zebra") is None


def test_long_paragraphs_are_cut_between_sentences_and_no_word_is_lost():
    sentence = "This sentence has exactly eight words in it. "
    text = f"Short  one.\n\n \n{sentence * 20}\nlast line\n\n{'x' * 500} {'word ' * 100}"
    found = [passage.text for passage in cut("a.txt", text)]
    assert found[0] == "Short one." and " ".join(found).split() == text.split()
    assert all(len(one) <= LONGEST or one == "x" * 500 for one in found)
    assert all(one.endswith("it.") for one in found[1:4])


def test_documents_are_read_from_files_and_folders_of_any_format(tmp_path):
    (tmp_path / "notes.txt").write_bytes("Konewka stoi w szopie. Żółw śpi.".encode("cp1250"))
    (tmp_path / "page.html").write_text("<html><body><p>The boiler was serviced on 12 May.</p></body></html>")
    found = {passage.source: passage.text for passage in read_documents(str(tmp_path))}
    assert found == {
        "notes.txt": "Konewka stoi w szopie. Żółw śpi.",
        "page.html": "The boiler was serviced on 12 May.",
    }
    assert [one.source for one in read_documents(str(tmp_path / "notes.txt"))] == ["notes.txt"]


def test_documents_without_text_are_named(tmp_path, monkeypatch):
    with pytest.raises(StageError, match=f"--documents {tmp_path}/none: "):
        read_documents(f"{tmp_path}/none")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(StageError, match="there is no text to look things up in: .*noise"):
        read_documents(str(tmp_path / "noise"))
    (tmp_path / "long.txt").write_text("words " * 20)
    monkeypatch.setattr("jobs.tools.documents.MOST_CHARACTERS", 100)
    with pytest.raises(StageError, match="more than 100 characters"):
        read_documents(str(tmp_path / "long.txt"))
