"""Which output shards there are and what goes into each: a deterministic list, made before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from jobs.configs import ConversationShardsConfig, InteractionShardsConfig, TextShardsConfig
from tokenization.documents import Catalogue
from tokenization.records import LANGUAGES, SPLITS, Language, Split

MOST_PASSES = 4  # over Polish, the scarce language
HELD_OUT = 20  # validation and test each get a 20th of the interactions of train
SURPLUS = 3  # documents looked at per interaction wanted, since many hold none of fitting length


@dataclass(frozen=True)
class TextShard:
    """Documents of `split` in the corpus rows [start, stop), each language read so many times. A fraction of a pass
    is a choice of documents by hash."""

    file: str
    split: Split
    start: int
    stop: int
    passes: Mapping[Language, float]


@dataclass(frozen=True)
class InteractionShare:
    """One language in one shard: `generated` interactions from the dialogues that begin with number `dialogue`, and
    `real` ones from the documents at these corpus `rows`."""

    language: Language
    dialogue: int
    generated: int
    rows: tuple[int, ...]
    real: int


@dataclass(frozen=True)
class InteractionShard:
    file: str
    split: Split
    shares: tuple[InteractionShare, ...]


@dataclass(frozen=True)
class ConversationShard:
    """Dialogues [start, stop) of the split, in each language."""

    file: str
    split: Split
    start: int
    stop: int


Shard = TextShard | InteractionShard | ConversationShard


def text_shards(
    catalogue: Catalogue, config: TextShardsConfig, bytes_per_token: Mapping[Language, float]
) -> list[TextShard]:
    """Train documents in `config.shards` equal ranges of rows, the other splits whole and once."""
    available = {
        language: int(catalogue.bytes[catalogue.select("train", language)].sum()) / bytes_per_token[language]
        for language in LANGUAGES
    }
    passes = mixture(available, config.polish_share, config.max_tokens)
    once = dict.fromkeys(LANGUAGES, 1.0)
    rows = len(catalogue.bytes)
    return [
        TextShard(file, split, start, stop, passes if split == "train" else once)
        for file, split, start, stop in _cut({"train": rows, "validation": rows, "test": rows}, config.shards)
    ]


def mixture(
    available: Mapping[Language, float], polish_share: float, max_tokens: int | None = None
) -> dict[Language, float]:
    """How often each language is read so that Polish has its share of the tokens: English at most once, Polish at
    most four times. Where that is too little Polish, its share stays below what was asked for."""
    english, polish = available["en"], available["pl"] * MOST_PASSES
    if max_tokens:
        english, polish = min(english, max_tokens * (1 - polish_share)), min(polish, max_tokens * polish_share)
    if english and polish_share < 1:
        polish = min(polish, english * polish_share / (1 - polish_share))
    elif polish_share == 1:
        english = 0.0
    wanted = {"en": english, "pl": polish}
    return {language: wanted[language] / available[language] if available[language] else 0.0 for language in LANGUAGES}


def interaction_shards(catalogue: Catalogue, config: InteractionShardsConfig) -> list[InteractionShard]:
    """Both languages in equal numbers. Real interactions come from documents chosen by hash, dealt out in turn."""
    shards = []
    for split in SPLITS:
        count = config.shards if split == "train" else 1
        scale = Fraction(1, 1 if split == "train" else HELD_OUT)
        dealt: list[list[InteractionShare]] = [[] for _ in range(count)]
        for language, half in zip(LANGUAGES, (0, 1), strict=True):
            generated = _portion(int(config.generated * scale), half, len(LANGUAGES))
            real = _portion(int(config.documents * scale), half, len(LANGUAGES))
            rows = catalogue.select(split, language)[: real * SURPLUS]
            for i in range(count):
                share = InteractionShare(
                    language=language,
                    dialogue=generated * i // count,
                    generated=_portion(generated, i, count),
                    rows=tuple(sorted(int(row) for row in rows[i::count])),
                    real=_portion(real, i, count),
                )
                dealt[i].append(share)
        shards += [InteractionShard(_name(split, i), split, tuple(shares)) for i, shares in enumerate(dealt)]
    return shards


def conversation_shards(config: ConversationShardsConfig) -> list[ConversationShard]:
    """Train dialogues in `config.shards` ranges of equal size."""
    counts = {"train": config.train, "validation": config.validation, "test": config.test}
    return [ConversationShard(*cut) for cut in _cut(counts, config.shards)]


def _cut(sizes: Mapping[Split, int], train_shards: int) -> list[tuple[str, Split, int, int]]:
    cuts = []
    for split, size in sizes.items():
        count = train_shards if split == "train" else 1
        cuts += [(_name(split, i), split, size * i // count, size * (i + 1) // count) for i in range(count)]
    return cuts


def _name(split: Split, number: int) -> str:
    return f"{split}-{number:05d}.arrow"


def _portion(total: int, i: int, parts: int) -> int:
    """Size of part `i` when `total` is cut in `parts` as equally as it goes."""
    return total * (i + 1) // parts - total * i // parts
