"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of open corpora; the only reason to skip is that it is absent."""
    folder = Path(os.environ.get("FEDMEDLORA_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not folder.is_dir():
        pytest.skip("the open corpora are not on this machine; set FEDMEDLORA_CORPORA to their folder")
    return folder
