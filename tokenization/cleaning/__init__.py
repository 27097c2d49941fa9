"""Cleaning in two steps: `cleaner` repairs one document and drops paragraphs, `filters` drops whole documents by their
words, many at a time. Duplicates across documents are for `tokenization.duplicates`, which sees all of them."""
