"""WordNet's data files -> one document per set of synonyms: its words, then its gloss and examples."""

from __future__ import annotations

from collections.abc import Iterator

from tokenization.packages.formats.archive import read_members


def glosses(archive: bytes) -> Iterator[str]:
    """`data.noun` and its siblings. A line is offset, file, type, count of words in hexadecimal, each word with a
    number, pointers, and after a bar the gloss: see wndb(5WN)."""
    for data in read_members(archive, r"/wordnet/data\.(adj|adv|noun|verb)$").values():
        for line in data.decode("utf-8").splitlines():
            if line.startswith("  ") or " | " not in line:  # the licence stands before the data
                continue
            fields, _, gloss = line.partition(" | ")
            columns = fields.split()
            words = [word.partition("(")[0].replace("_", " ") for word in columns[4 : 4 + 2 * int(columns[3], 16) : 2]]
            yield f"{', '.join(words)}\n{gloss.strip()}"
