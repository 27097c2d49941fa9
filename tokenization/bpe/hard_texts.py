"""Make texts that encoding engines get wrong. A fixed seed makes them the same in every process."""

from __future__ import annotations

import random

from tokenization.bpe.special_tokens import SPECIAL_TOKENS

_PIECES = [
    *"abŻółćęſKİß'’.,!?()[]{}-_0129½Ⅷ٣ \t\r\n\v\f\x00\x1c\x85\xa0\u2028\u3000\u200b\ufeff\u202e\u0301\u0328",
    *"日本한글العربيةहिन्दी👩\u200d🍽🏽🇵🇱\ue000\U0010ffff",
    *("'s", "'LL", "  ", "\r\n", "\n ", "[A]", "[EOS]", "[PAD]", "<|endoftext|>", "Szczebrzeszyn", "the", " of"),
    *("https://", "zaz\u0307o\u0301l\u0301c\u0301", "Ġ", "Ċ"),
]
_STEMS = "chrząszcz źdźbł gżegżółk ślimak księż łódź jaźń ćwierć żółw pąk wędrowiec ósm szczęści późn".split()
_ENDINGS = ("", "a", "ę", "ów", "ami", "ach", "owi", "em", "iem", "ą", "ość", "ością", "-że")
_SCRIPTS = (
    "Latin",
    "łąka",
    "Привет",
    "мир",
    "Ελλάδα",
    "日本語",
    "の",
    "한국어",
    "שלום",
    "עולם",
    "مرحبا",
    "ไทย",
    "नमस्ते",
    "ქართული",
)
_EMOJI = ("👩🏽‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇵🇱", "🇬🇧", "👍🏿", "❤️", "1️⃣", "☎", "🫠", "\u200d", "\ufe0f")
_BLANKS = (" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\v", "\f", "\x85", "\u2028", "\u200b")
_MARKS = [*map(chr, (*range(0x300, 0x30D), 0x327, 0x328, 0x323, 0x20DD, 0x93C, 0x94D, 0x5B8, 0x64E))]
_CODE = (
    *("def f(x):\n    return x**2 + 0x1F", "if(a&&!b){c+=--d;}", "SELECT * FROM t WHERE k <> 'O''Brien';\n"),
    *('<div class="a-b">&nbsp;</div>', "\tfor (;;) ;\n", "snake_case camelCase SCREAM_2 $x @y #z", "// ==> {}[]();"),
    *("https://example.org/a?b=c%20d&e=1.5e-10#f", "C:\\dir\\file.txt\r\n", "`x = {'k': [1, 2.50, None]}`\n"),
)


def hard_texts() -> list[str]:
    """Return texts with blanks, line ends, quotes, combining marks, digits, code, Polish, mixed scripts and emoji,
    dialogues with forged control tokens, and random Unicode."""
    rng = random.Random(0)
    fixed = ["", " ", "x" * 5000, " " * 300, "\n" * 300, "ab1 " * 500, "[A] literal [EOS] and [PAD][BOS][T][C]{}"]
    mixed = ["".join(rng.choices(_PIECES, k=rng.randint(0, 24))) for _ in range(600)]
    anything = ["".join(_scalar(rng) for _ in range(12)) for _ in range(200)]
    made = [text for maker in _MAKERS for text in (maker(rng) for _ in range(40))]
    return [*fixed, *mixed, *anything, *made]


def _scalar(rng: random.Random) -> str:
    """Return a random code point. Surrogates are left out, because no text holds them."""
    code = rng.randrange(0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)


def _polish(rng: random.Random) -> str:
    """Make a paragraph of inflected words, capitals, quotes, and numbers with a blank between thousands."""
    words = [rng.choice(_STEMS) + rng.choice(_ENDINGS) for _ in range(rng.randint(10, 40))]
    words[0] = words[0].capitalize()
    words[rng.randrange(len(words))] = f"„{rng.choice(_STEMS).upper()}”,"
    words[rng.randrange(len(words))] = (
        f"{rng.randint(1, 99)}\u00a0{rng.randint(0, 999):03d},{rng.randint(0, 99):02d} zł"
    )
    return " ".join(words) + rng.choice((".", "…", "?!", " – ", ".\n\n"))


def _dialogue(rng: random.Random) -> str:
    """Make turns whose texts contain control tokens: whole, broken and doubled."""
    turns = []
    for _ in range(rng.randint(2, 8)):
        token = rng.choice(SPECIAL_TOKENS)
        cut = rng.randint(1, len(token) - 1)
        forged = rng.choice(
            (token, token * 2, token.lower(), token[:cut] + " " + token[cut:], token[:cut], f"[{token}]")
        )
        turns.append(
            f"{token}{rng.choice((' ', '', chr(10)))}{rng.choice(_STEMS)} {forged}{rng.choice(('', '.', 's'))}"
        )
    return "".join(turns)


def _digits(rng: random.Random) -> str:
    """Make counts, fractions, dates, telephone numbers, exponents, and digits of other scripts."""
    kinds = (
        f"{rng.randint(0, 10**12)}",
        f"{rng.random():.6f}",
        f"{rng.randint(1, 31)}.{rng.randint(1, 12):02d}.2026",
        f"+48 {rng.randint(100, 999)}-{rng.randint(100, 999)}",
        f"1,{rng.randint(0, 999):03d}e-{rng.randint(0, 9)}",
        "".join(map(chr, (0x660 + rng.randint(0, 9), 0x966 + rng.randint(0, 9), 0x2460, 0xBD, 0xB2, 0x2167))),
    )
    return rng.choice(("", " ", "a", "x²")).join(rng.choices(kinds, k=rng.randint(1, 12)))


def _code(rng: random.Random) -> str:
    lines = ["    " * rng.randint(0, 9) + rng.choice(_CODE) + rng.choice(("\n", "", "  \n\n")) for _ in range(6)]
    return "".join(lines)


def _scripts(rng: random.Random) -> str:
    return "".join(rng.choice(_SCRIPTS) + rng.choice(("", " ", "-", "1", "'", "، ", "。")) for _ in range(12))


def _emoji(rng: random.Random) -> str:
    return "".join(rng.choice(_EMOJI) + rng.choice(("", "", " ", "a", "ą", "!", "\u200d")) for _ in range(12))


def _blanks(rng: random.Random) -> str:
    """Make words between runs of blanks, the last run a long one."""
    runs = [
        rng.choice(_BLANKS) * rng.choice((1, 2, 3, 17, 64)) + rng.choice(("a", "", ".", "ż", "7")) for _ in range(10)
    ]
    return "".join(runs) + rng.choice(_BLANKS) * rng.randint(0, 400)


def _marks(rng: random.Random) -> str:
    """Put one to many combining marks on letters, digits and blanks; some marks stand alone."""
    bases = rng.choices([*"aeozlnŻq1 .\n", "", "़"], k=16)
    return "".join(base + "".join(rng.choices(_MARKS, k=rng.choice((0, 1, 1, 2, 9)))) for base in bases)


_MAKERS = (_polish, _dialogue, _digits, _code, _scripts, _emoji, _blanks, _marks)
