"""Array operations cut the same words as the regular expression, and the merges equal those of the reference
trainer."""

import random

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from tokenization.bpe.special_tokens import SPECIAL_TOKENS
from tokenization.bpe.tokenizer import Tokenizer
from tokenization.bpe.words import SPLIT, mark_words

PIECES = [
    *"abXsStTrReEvVmMlLdDſKąćł\u0301\u0327 \t\n\r\v\f\x1c\x85\xa0\u2028\u3000\u200b.,'!(_12½Ⅷ٣日👩\u200d",
    "'s",
    "'LL",
]
PIECES += [" ", "\n", "  ", "\n ", "'"]


def test_words_are_those_of_the_regular_expression():
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(10_000)]
    found = [word for word in mark_words("\0".join(texts)).split("\0") if word]
    assert found == [word for text in texts for word, _ in split.pre_tokenize_str(text)]


def test_merges_compress_as_those_of_the_reference_trainer():
    rng = random.Random(1)
    syllables = ["ka", "szcz", "rze", "ło", "the", "ing", "st", "ow", "a\u0328", "1", "'s", "-", ".\n", "(", "\n\n  "]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(400)]
    texts = [" ".join(rng.choices(words, k=200)) for _ in range(60)]
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    reference.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    reference.train_from_iterator(texts, trainer)
    ours = Tokenizer.train(texts, 450)
    assert ours.vocab_size == reference.get_vocab_size() == 450
    theirs = sum(map(len, Tokenizer(reference).encode_batch(texts)))
    assert abs(len(ours.encode_flat(texts)[0]) / theirs - 1) < 0.005
