"""Documents and an adapted model come in, documents with entities and relations leave. Knows no training."""
