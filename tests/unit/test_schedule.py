"""In which order cells are run, and what becomes of those that start from one that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedmedlora.errors import ConfigError
from fedmedlora.studies.cells import ALL, Cell
from fedmedlora.studies.estimate import CellEstimate, wall_seconds
from fedmedlora.studies.schedule import Schedule

FIRST = Cell("fedmedlora", 0, ALL, ())
SECOND = Cell("fedmedlora", 0, "ward+10", (), start=FIRST)
THIRD = Cell("fedmedlora", 0, "ward+20", (), start=SECOND)
OTHER = Cell("centralised", 0, ALL, ())


def test_a_cell_waits_for_the_one_that_it_starts_from() -> None:
    schedule = Schedule([SECOND, FIRST, OTHER])
    assert (schedule.waiting, schedule.ready) == (3, 2)
    assert [schedule.take(), schedule.take(), schedule.take()] == [FIRST, OTHER, None]
    schedule.finish(OTHER.key)
    assert schedule.take() is None
    schedule.finish(FIRST.key)
    assert schedule.take() == SECOND
    assert (schedule.waiting, schedule.failed) == (0, {})


def test_what_starts_from_a_failed_cell_fails_with_it_and_nothing_else_does() -> None:
    schedule = Schedule([FIRST, SECOND, THIRD, OTHER])
    assert schedule.take() == FIRST
    schedule.fail(FIRST.key, "the loss is not finite.")
    assert schedule.take() == OTHER
    assert list(schedule.failed) == [FIRST.key, SECOND.key, THIRD.key]
    assert schedule.failed[THIRD.key] == (
        "it starts from the model of fedmedlora, seed 0, trained on ward+10, which failed."
    )


def test_a_cell_that_is_recorded_is_skipped() -> None:
    schedule = Schedule([FIRST, SECOND])
    schedule.skip(FIRST.key)
    assert schedule.take() == SECOND


def test_needs_that_nobody_meets_are_named() -> None:
    with pytest.raises(ConfigError, match=r"ward\+10 starts from .* trained on all, which is not part of the study"):
        Schedule([SECOND])
    with pytest.raises(ConfigError, match="would start from its own model"):
        Schedule([replace(FIRST, start=SECOND), SECOND])


def test_wall_time_is_that_of_the_process_that_ends_last() -> None:
    cells = [CellEstimate(cell, seconds, 0.0, 0) for cell, seconds in ((FIRST, 4.0), (OTHER, 1.0), (SECOND, 2.0))]
    assert wall_seconds(cells, 1) == 4 + 1 + 2
    # The second process is free after one second, and waits for the first cell's adapter.
    assert wall_seconds(cells, 2) == 4 + 2
    assert wall_seconds([CellEstimate(OTHER, None, None, 7)], 2) == 0
