"""The report's numbers for other programs: CSV and JSON, Markdown, and LaTeX for the package booktabs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from fedmedlora.record import write_atomic
from fedmedlora.report.findings import find
from fedmedlora.report.latex import latex_tables
from fedmedlora.report.load import load_run
from fedmedlora.report.markdown import markdown_page
from fedmedlora.report.table_rows import TABLES, Row

FILES = (*(f"{name}.csv" for name in TABLES), "tables.json", "tables.md", "tables.tex")


def write_tables(run_dirs: Sequence[Path], folder: Path) -> list[Path]:
    """Write a CSV file for every table, `tables.json` with all, `tables.md` and `tables.tex`; returns the files.

    Nothing in CSV and JSON is rounded, and what is not defined is empty. A table to which no run has a row has its
    heads alone. The same run directories give the same bytes. Raises InputError as `load_run` does.
    """
    runs = [load_run(path) for path in run_dirs]
    found = [(run, find(run)) for run in runs]
    rows = {
        name: [row for run, findings in found for row in table.rows(run, findings)] for name, table in TABLES.items()
    }
    texts = (
        *(_csv(table.columns, rows[name]) for name, table in TABLES.items()),
        json.dumps(rows, ensure_ascii=False, indent=1) + "\n",
        "\n".join(markdown_page(run, findings) for run, findings in found),
        "\n".join(text for run, findings in found for text in latex_tables(run, findings)),
    )
    for name, text in zip(FILES, texts, strict=True):
        write_atomic(folder / name, text)
    return [folder / name for name in FILES]


def _csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
