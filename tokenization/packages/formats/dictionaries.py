"""Split dictionaries into one document per entry: those in dictd format (`.dict.dz`, which is gzip, with an `.index`),
WordNet and the Jargon File."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

from tokenization.packages.formats.archives import read_members
from tokenization.packages.formats.prose import decode, paragraphs, prose

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MARKUP = re.compile(r"[{}]| ?\\[^\\]*\\(?: ?\([^)]*\))?|\[[^\]]*\]|<[^>]*>")


def entries(archive: bytes) -> Iterator[str]:
    """Yield every entry of every dictionary in the package once, in file order."""
    files = read_members(archive, r"\.(dict\.dz|index)$")
    for path, packed in files.items():
        if path.endswith(".dict.dz"):
            index = files[path.removesuffix(".dict.dz") + ".index"].decode("utf-8")
            text = gzip.decompress(packed)
            for start, length in _spans(index):
                yield text[start : start + length].decode("utf-8", errors="replace")


def explanations(archive: bytes) -> Iterator[str]:
    """Yield entries in running text: the headword's line, then a paragraph per line. Pronunciation, etymology and marks
    of cross-references are left out."""
    for entry in entries(archive):
        text = "\n".join(re.sub(r" ([,;.:)])", r"\1", line) for line in paragraphs(_MARKUP.sub("", entry)))
        if text:
            yield text


def _spans(index: str) -> list[tuple[int, int]]:
    """Return start and length of every entry once, in file order. Names with `00` describe the dictionary itself."""
    rows = (line.rsplit("\t", 2) for line in index.split("\n") if line.count("\t") >= 2 and not line.startswith("00"))
    return sorted({(_number(start), _number(length)) for _, start, length in rows})


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 64 + _DIGITS.index(digit)
    return value


_HEADWORD = re.compile(r"^(?P<word>.+?) /.*/ <|^(?P<bare>.+?) <")
_LABEL = re.compile(r"\((?!\()[^()]*\)")


def freedict(archive: bytes) -> Iterator[str]:
    """Yield the entries of a FreeDict dictionary: a headword and its definitions, each on its own line. Translations,
    pronunciation and labels are left out."""
    return filter(None, map(entry_text, entries(archive)))


def entry_text(entry: str) -> str:
    """Return headword and definitions. An entry has the headword, then translations and definition in turn."""
    head, *senses = entry.rstrip("\n").split("\n")
    match = _HEADWORD.match(head)
    definitions = list(dict.fromkeys(filter(None, map(_definition, senses[1::2]))))
    if not match or not definitions:
        return ""
    return "\n".join([match["word"] or match["bare"], *definitions])


def _definition(line: str) -> str:
    """Remove labels of subject and style, numbers such as "(1.1)", and the ellipsis of a shortened example."""
    text = re.sub(r"\s+", " ", _LABEL.sub("", line))
    return re.sub(r" ([,;.])", r"\1", text).strip(" ;,…:")


def glosses(archive: bytes) -> Iterator[str]:
    """Yield WordNet's sets of synonyms: the words on one line, then the gloss with its examples.

    A line of `data.noun` and its siblings holds an offset, a file, a type, the count of words in hexadecimal, each word
    with a number, pointers, and after a bar the gloss: see wndb(5WN).
    """
    for data in read_members(archive, r"/wordnet/data\.(adj|adv|noun|verb)$").values():
        for line in data.decode("utf-8").splitlines():
            if line.startswith("  ") or " | " not in line:  # the licence stands before the data
                continue
            fields, _, gloss = line.partition(" | ")
            columns = fields.split()
            words = [word.partition("(")[0].replace("_", " ") for word in columns[4 : 4 + 2 * int(columns[3], 16) : 2]]
            yield f"{', '.join(words)}\n{gloss.strip()}"


_ENTRY = re.compile(r"^ {3}(?=:[^\s:])", re.MULTILINE)
_REFERENCE = re.compile(r"\{([^{}]*)\}")


def jargon(archive: bytes) -> Iterator[str]:
    """Yield the entries of the Jargon File, a paragraph per line. What precedes the first entry is a document too."""
    for data in read_members(archive, r"/jargon.*\.txt\.gz$").values():
        for entry in _ENTRY.split(decode(data)):
            if text := prose(paragraphs(_REFERENCE.sub(r"\1", entry))):
                yield text
