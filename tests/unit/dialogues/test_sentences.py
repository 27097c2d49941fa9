"""Sentences are cut where they end, and not at abbreviations."""

import pytest

from tokenization.conversations.documents import interactions_of
from tokenization.conversations.sentences import sentences
from tokenization.records import Document

PARAGRAPHS = {
    "en": [
        ["It was a happy day for Mr. Woodhouse.", "He had never liked to travel."],
        ["Dr. Smith went to Washington, D.C. on Monday.", "He met Prof. Brown at 5 p.m. in St. James's Street."],
        ["See e.g. Fig. 3 for details.", "It cost $3.50 vs. $4.00 at Smith & Co. Ltd.", "That was all."],
        ["J. R. R. Tolkien wrote it.", "No. 5 was the best!", "Was it?", '"Oh! dear, no."'],
        ["I left in Jan. 1999.", "Capt. Wentworth, Lt. Col. Jones and Sgt. Pepper stayed."],
        ["Adm. Nelson lived at 12 Sunset Blvd. Apartment 5.", "Élan was all he had.", "Örebro is a town.", "'Yes.'"],
        ["Cpl. Jones and Pvt. Ryan met Mme. Bovary and Mlle. Rouge.", "Pres. Lincoln came, cf. Art. 5 and Sec. 7."],
        ["She studied art.", "He did not."],
        ["1. The first point is here.", "2. The second one follows.", "A. It is the last."],
        ["The field Book.Table.Field is set.", "Press Ctrl+S."],
    ],
    "pl": [
        ["Prof. dr hab. Jan Kowalski mieszka przy ul. Długiej 5.", "Urodził się w 1950 r. w Krakowie."],
        ["Zob. rys. 3 oraz tab. 4 na str. 12.", "Por. też art. 5 ust. 2 pkt 1 ustawy."],
        ["Pan inż. Nowak i płk. Zawada wyszli.", "Czy wrócą?", "Nie wiadomo..."],
        ["Adam M. został zatrzymany o godz. 15.30.", "Ks. Józef i św. Jan byli tam wcześniej."],
        ["Kupił m.in. chleb, mleko itp.", "Stało się to dn. 3 maja br. w Warszawie, tj. na wiosnę."],
        ["Abp. Gądecki mieszka na os. Słonecznym.", "Zob. rozdz. III książki, Wyd. Literackie.", "Élan wygrał."],
        ["Mjr. Hubal i sierż. Nowak byli tam w maju br.", "Zlał go pot.", "Wyszli."],
        ["Łac. Homo sapiens to człowiek.", "Godz. 15 to nie pora dla pp. Kowalskich."],
        ["1. Pierwszy punkt jest tutaj.", "2. Drugi jest dalej.", "Tel. 123 nie działa, ani prez. Duda."],
        ["„Idź!” powiedział.", "— Dokąd? — zapytała.", "Nie odpowiedział."],
    ],
}


@pytest.mark.parametrize("with_choppa", [True, False])
@pytest.mark.parametrize("language", PARAGRAPHS)
def test_abbreviations_do_not_end_sentences(language, with_choppa):
    for expected in PARAGRAPHS[language]:
        assert list(sentences(" ".join(expected), language, with_choppa)) == expected
    assert list(sentences("", language, with_choppa)) == []


def test_neighbouring_sentences_of_a_paragraph_are_pairs():
    text = "It was a happy day for Mr. Woodhouse. He had never liked to travel.\nA line of its own. And one. And more."
    pairs = interactions_of(Document("1", text, "en", "book", "CC0-1.0", "train"))
    assert [(pair.query, pair.answer) for pair in pairs] == [
        ("It was a happy day for Mr. Woodhouse.", "He had never liked to travel."),
        ("A line of its own.", "And one."),
    ]
