"""Base models and their LoRA adapters.

A base model enters by path or name; adapters leave as `AdapterState` values (named float32 arrays, spec, digest) or as
folders that any PEFT program loads. This room knows no note, no label, no site and no round. `adapters.state` loads
without torch.
"""
