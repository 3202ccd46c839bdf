"""Federated, parameter-efficient training of language models for clinical information extraction."""

__version__ = "0.1.0"
