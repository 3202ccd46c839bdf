"""Text in, marked text out, and back: documents and asked labels enter; prompts, targets and parsed spans leave.

It knows no model: `grammar` and `encode` take a tokenizer as a plain function, everything else is text only.
"""
