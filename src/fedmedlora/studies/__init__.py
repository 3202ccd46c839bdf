"""A study's configuration comes in; trained adapters, records and predictions of every arm leave. Knows no HTML."""
