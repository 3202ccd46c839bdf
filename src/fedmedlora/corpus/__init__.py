"""Notes as documents: readers, writers, mapping, splits, windows, synthetic notes. Knows no tokenizer and no model."""
