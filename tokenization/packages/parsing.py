"""Make documents of the file of a package, with the parser that its row names.

The rows name their parsers instead of holding them, so looking up a package loads no format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tokenization.packages.formats import books, catalogues, dictionaries, mallard, manuals, markup, structured
from tokenization.packages.table import Package

_FORMATS = {module.__name__.rpartition(".")[2]: module
            for module in (books, catalogues, dictionaries, mallard, manuals, markup, structured)}  # fmt: skip


def parser_of(package: Package) -> Callable[[bytes], Iterator[str]]:
    """Return a function from the bytes of the package's file to documents, a paragraph per line, in a fixed order."""
    module, _, name = package.parser.partition(".")
    parse = getattr(_FORMATS[module], name)
    return partial(parse, pattern=package.pattern) if package.pattern else parse
