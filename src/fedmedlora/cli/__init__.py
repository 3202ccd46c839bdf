"""Arguments come in, a printed result and an exit status go out; it holds no logic and knows no heavy library."""
