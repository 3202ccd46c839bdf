"""Run directories enter, one offline HTML file leaves. Knows no model and no federation, only what a run wrote down."""

from __future__ import annotations

from fedmedlora.report.page import write_report

__all__ = ["write_report"]
