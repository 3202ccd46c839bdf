"""What a run's records say once they are compared: computed once, shown by the page and written by the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedmedlora.report.estimates import Held
from fedmedlora.report.gains import Gain, gains
from fedmedlora.report.left_out import LeftOut, left_out
from fedmedlora.report.low_resource import FewNotes, few_notes
from fedmedlora.report.paired import Pair, paired_tests
from fedmedlora.report.progress import table_settings
from fedmedlora.report.records import Run
from fedmedlora.report.scaling import Scaled, scaled
from fedmedlora.report.uneven import Changed, uneven


@dataclass(frozen=True, slots=True)
class Findings:
    """tests, gains: by setting, of the settings in which an arm has one model. The others: rows of their settings."""

    tests: Mapping[str, Mapping[Pair, Held]]
    gains: Mapping[str, list[Gain]]
    left_out: list[LeftOut]
    few_notes: list[FewNotes]
    uneven: list[Changed]
    scaled: list[Scaled]


def find(run: Run) -> Findings:
    """Compare everything that a run's records allow."""
    settings = table_settings(run)
    tests = {setting: paired_tests(run, setting) for setting in settings}
    return Findings(
        tests=tests,
        gains={setting: gains(run, setting, tests[setting]) for setting in settings},
        left_out=left_out(run),
        few_notes=few_notes(run),
        uneven=uneven(run),
        scaled=scaled(run),
    )
