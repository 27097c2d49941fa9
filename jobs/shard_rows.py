"""What stands in a shard of text: from its line in the manifest to its rows.

The object travels to the workers; each row is a pure function of it and of the shard, so that the number of workers
changes no byte. The tokenizer survives pickling (its content twin is rebuilt from its JSON).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jobs.shard_manifest import TextShard
from tokenization.dialogues.values import stable_hash
from tokenization.documents import Corpus
from tokenization.packing import pack
from tokenization.records import LANGUAGES, Document
from tokenization.tokenizer import Tokenizer

Row = dict[str, Any]


@dataclass(frozen=True)
class TextRows:
    """Documents, packed per language."""

    corpus_uri: str
    tokenizer: Tokenizer
    length: int

    def __call__(self, shard: TextShard) -> Iterator[Row]:
        documents = [d for d in Corpus(self.corpus_uri).read(range(shard.start, shard.stop)) if d.split == shard.split]
        for number, language in enumerate(LANGUAGES):
            mine = [document for document in documents if document.language == language]
            encoded = self.tokenizer.encode_batch([document.text for document in mine])
            for row in pack(_repeat(mine, encoded, shard.passes[language]), self.length):
                yield {"input_ids": row.input_ids, "document_starts": row.document_starts, "language": number}


def _repeat(documents: list[Document], encoded: list[list[int]], passes: float) -> Iterator[list[int]]:
    """All documents once per whole pass, then those whose hash falls below the fraction that is left."""
    while passes > 0:
        for document, ids in zip(documents, encoded, strict=True):
            if stable_hash(document.id) < passes * 2**64:
                yield ids
        passes -= 1
