"""Whatever form dialogue comes in -> interactions and conversations: rows of data sets, documents of the corpus."""
