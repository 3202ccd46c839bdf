"""`python -m benchmarks`: a table on standard output, or one object with --json."""

from __future__ import annotations

import json
import sys

from benchmarks.extraction import compare_extraction
from fedmedlora.record import machine, versions


def main() -> None:
    """Run every comparison and print it."""
    results = compare_extraction()
    if "--json" in sys.argv[1:]:
        found = {"results": [result.to_json() for result in results], "machine": machine(), "versions": versions()}
        print(json.dumps(found, sort_keys=True))
        return
    for result in results:
        figures = f"{result.ours:10.0f} {result.peer:10.0f} {result.unit:16} {result.ratio:6.2f}x"
        print(f"{result.name:28} {figures}")


if __name__ == "__main__":
    main()
