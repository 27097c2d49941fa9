"""Documents out of the file of a package, by the parser that its row names.

The rows name parsers and do not hold them, so that whoever only looks up a package loads no format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tokenization.packages.formats import books, catalogues, dictionaries, manuals, markup, structured
from tokenization.packages.table import Package

_FORMATS = {module.__name__.rpartition(".")[2]: module
            for module in (books, catalogues, dictionaries, manuals, markup, structured)}  # fmt: skip


def parser_of(package: Package) -> Callable[[bytes], Iterator[str]]:
    """Takes the bytes of the package's file and yields documents, a paragraph per line; always in the same order."""
    module, _, name = package.parser.partition(".")
    parse = getattr(_FORMATS[module], name)
    return partial(parse, pattern=package.pattern) if package.pattern else parse
