"""Compare CPU seconds, memory and compression of BPE training with the trainer of `tokenizers`, on the same texts.

    .venv/bin/python -m tests.benchmarks.data.bpe_training STORE/corpus/ID

Each trainer runs in a process of its own. One text in fifty is held out for bytes per token. The compression target is
that of the reference, less half a percent.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import zlib
from statistics import median

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from tests.benchmarks.data.texts import cpu_seconds, megabytes, read
from tests.benchmarks.record import RESULTS, append, environment
from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.bpe.words import SPLIT

LANGUAGES = ("en", "pl")
LEAST_RATIO, LEAST_COMPRESSION = 4, 0.995


def train_reference(texts: list[str], vocab_size: int) -> Tokenizer:
    """Train with `tokenizers`' own trainer, with our split and control tokens."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Tokenizer(tokenizer)


def held_out(text: str) -> bool:
    return zlib.crc32(text.encode()) % 50 == 0


def measure(trainer: str, options: argparse.Namespace) -> dict:
    """Train in this process. The bytes per token of held-out texts, found with the reference encoder, are not timed."""
    texts = read(options.corpus, LANGUAGES)
    copies = {"en": 1, "pl": options.polish_copies}
    mixture = [t for name in LANGUAGES for t in texts[name] if not held_out(t) for _ in range(copies[name])]
    before, peak = cpu_seconds(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    train = Tokenizer.train if trainer == "ours" else train_reference
    tokenizer = train(mixture, options.vocab_size)
    seconds, grown = cpu_seconds() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    line = {"trainer": trainer, "mb": round(megabytes(mixture), 1), "vocab_size": tokenizer.vocab_size}
    line |= {"cpu_s": round(seconds, 2), "peak_mb": round(grown / 1e3)}
    for name in LANGUAGES:
        kept = [text for text in texts[name] if held_out(text)]
        line[f"bytes_per_token_{name}"] = round(megabytes(kept) * 1e6 / len(tokenizer.encode_flat(kept)[0]), 4)
    return line | {"digest": tokenizer.digest[:12]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+", help="Parquet files, or folders of them, with `text` and `language`")
    parser.add_argument("--vocab-size", type=int, default=65_536)
    parser.add_argument("--polish-copies", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--trainer", choices=("ours", "tokenizers"), help="train once, here, and print the line")
    options = parser.parse_args()
    if options.trainer:
        print(json.dumps(measure(options.trainer, options)))
        return
    runs: dict[str, list[dict]] = {"ours": [], "tokenizers": []}
    for _ in range(options.turns):
        for trainer, lines in runs.items():
            command = [sys.executable, *sys.orig_argv[1:], "--trainer", trainer]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            lines.append(json.loads(done.stdout.splitlines()[-1]))
    common = {"case": "bpe_training", **environment("tokenizers", "gigabpe", "numpy")}
    reference = median(line["cpu_s"] for line in runs["tokenizers"])
    for trainer, lines in runs.items():
        seconds = [line.pop("cpu_s") for line in lines]
        line = common | lines[0] | {"turns": len(lines), "same_bytes": len({one["digest"] for one in lines}) == 1}
        line |= {"median_s": median(seconds), "min_s": min(seconds), "max_s": max(seconds)}
        if trainer == "ours":
            ratio = reference / median(seconds)
            worst = min(
                lines[0][key] / runs["tokenizers"][0][key] for key in map("bytes_per_token_{}".format, LANGUAGES)
            )
            line |= {"ratio": round(ratio, 2), "target": LEAST_RATIO, "compression": round(worst, 4)}
            line |= {"target_compression": LEAST_COMPRESSION}
            line["met"] = ratio >= LEAST_RATIO and worst >= LEAST_COMPRESSION
        append(RESULTS / "bpe_training.jsonl", [line])
        print(json.dumps(line))


if __name__ == "__main__":
    main()
