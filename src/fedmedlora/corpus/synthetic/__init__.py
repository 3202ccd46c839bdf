"""A site profile, a seed and a part enter; synthetic notes with gold annotation leave. Knows no file and no model."""

from __future__ import annotations

from fedmedlora.corpus.synthetic.generate import generate_notes
from fedmedlora.corpus.synthetic.shares import Part, World
from fedmedlora.corpus.synthetic.sites import PROFILES, SiteProfile, profile

__all__ = ["PROFILES", "Part", "SiteProfile", "World", "generate_notes", "profile"]
