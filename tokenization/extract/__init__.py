"""Documents out of the packages of `tokenization.fetch`: one parser per format, one row per package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tokenization.extract.chitchat import chitchat
from tokenization.extract.dictionary import dictionary
from tokenization.extract.fortunes import fortunes
from tokenization.extract.help_pages import help_pages
from tokenization.extract.novels import novels


@dataclass(frozen=True)
class Extractor:
    """`parse` takes the package file's bytes and yields documents, a paragraph per line; always in the same order.

    `whole` documents are kept or dropped as they are, since each of their lines has its meaning by its place.
    """

    parse: Callable[[bytes], Iterator[str]]
    whole: bool = False


EXTRACTORS = {
    "chitchat-dataset": Extractor(chitchat, whole=True),
    "r-cran-janeaustenr": Extractor(novels),
    "libreoffice-help-en-us": Extractor(help_pages),
    "libreoffice-help-pl": Extractor(help_pages),
    "fortunes-pl": Extractor(fortunes),
    "dict-freedict-pol-eng": Extractor(dictionary, whole=True),
}
