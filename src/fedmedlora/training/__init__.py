"""Examples and an adapter come in, a trained adapter leaves. Knows no Flower, no site's files, no study."""
