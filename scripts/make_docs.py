"""Write what of the documentation is generated; with --check, say whether it is current.

docs/cli.md and docs/study-keys.md come from the program. In the pages on results the tables and the sentences between
marks come from the records under results/ (see `results_tables`); what stands around them is written by hand.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from cli_reference import reference
from results_tables import filled
from study_keys import study_keys

ROOT = Path(__file__).resolve().parent.parent
RESULTS = (
    "docs/results.md",
    "results/open-benchmark/README.md",
    "results/open-benchmark-rounds/README.md",
    "results/open-benchmark-settings/README.md",
    "results/open-benchmark-ten-sites/README.md",
)


def main() -> int:
    """Write the pages, or compare them: 0 when all are current, 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is not current")
    check = parser.parse_args().check
    pages = {"docs/cli.md": reference(), "docs/study-keys.md": study_keys()}
    if (ROOT / "results").is_dir():  # a source distribution leaves the records out
        pages |= {name: filled((ROOT / name).read_text(encoding="utf-8"), ROOT) for name in RESULTS}
    if check:
        return max(_compare(name, wanted) for name, wanted in pages.items())
    for name, wanted in pages.items():
        (ROOT / name).write_text(wanted, encoding="utf-8")
    return 0


def _compare(name: str, wanted: str) -> int:
    path = ROOT / name
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == wanted:
        return 0
    sys.stderr.writelines(difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), name, "generated"))
    print(f"{name} is not what the program and the results say. Run `make docs`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
