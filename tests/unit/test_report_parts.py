"""The report's small parts: judging by intervals, numbers in words, escaping, charts."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from report_runs import Table, count_json, write_run

from fedmedlora.report.charts import Axis, Series, line_chart
from fedmedlora.report.elements import element, escape
from fedmedlora.report.estimates import Estimate, Versus, hold, judge
from fedmedlora.report.gains import macro_gain
from fedmedlora.report.load import load_run
from fedmedlora.report.numbers import Spread, decimal, duration, listed, saving, signed_points, size, untested
from fedmedlora.report.progress import model_label
from fedmedlora.report.records import Score


def test_judging_by_intervals() -> None:
    assert judge(Estimate(0.50, 0.45, 0.55), Estimate(0.40, 0.35, 0.44)) == "above"
    assert judge(Estimate(0.40, 0.35, 0.44), Estimate(0.50, 0.45, 0.55)) == "below"
    assert judge(Estimate(0.50, 0.45, 0.55), Estimate(0.42, 0.38, 0.46)) == "within the noise"
    assert judge(Estimate(0.50, None, None), Estimate(0.42, 0.38, 0.46)) == "not judged"


def test_too_few_documents_can_show_no_difference(tmp_path: Path) -> None:
    score = load_run(write_run(tmp_path / "run")).scores[0]

    def answered(documents: int, right: bool) -> list[Score]:
        return [replace(score, tallies={("ner", "strict"): ((2 * right, 2),) * documents})]

    # All right against all wrong on 8 documents: 2 of 256 exchanges are as far apart, 0.0078, eight times which is .06.
    held = hold({place: Versus("ner", answered(8, True), answered(8, False)) for place in range(8)})
    assert {(one.verdict, one.blind) for one in held.values()} == {("too few notes to tell", True)}
    # Of five tests the same would have been found, so that where it was not there is none.
    found = {place: Versus("ner", answered(8, True), answered(8, place < 4)) for place in range(5)}
    held = hold(found)
    assert [one.verdict for one in held.values()] == ["within the noise"] * 4 + ["above"]
    assert not any(one.blind for one in held.values())
    # Of 20 documents 4 differ: 2 of 16 exchanges, 0.125. Where none does, 20 documents tell that the two are the same.
    four = replace(score, tallies={("ner", "strict"): ((0, 2),) * 4 + ((2, 2),) * 16})
    found = {"four": Versus("ner", answered(20, True), [four]), "none": Versus("ner", [four], [four])}
    assert {key: (one.verdict, one.of.differing) for key, one in hold(found).items()} == {
        "four": ("too few notes to tell", 4),
        "none": ("within the noise", 0),
    }


def test_an_average_that_is_not_tested_is_judged_by_its_interval() -> None:
    assert untested(-0.01, 0.02) == " (within the noise: the interval holds 0)"
    assert {untested(0.01, 0.02), untested(-0.02, -0.01)} == {" (not tested: the interval leaves out 0)"}
    assert untested(None, None) == ""


def test_a_site_without_gold_is_in_no_average(tmp_path: Path) -> None:
    def emptied(records: list[Table], rounds: list[Table]) -> None:
        """South has no entity; every model marks some there, so that its F1 is 0."""
        for record in records:
            if record.get("test_site") == "south":
                record["scores"]["ner"] |= dict.fromkeys(("strict", "lenient"), count_json(0, 9, 0))  # type: ignore[index]

    whole, without = load_run(write_run(tmp_path / "a")), load_run(write_run(tmp_path / "b", edit=emptied))
    found = macro_gain(whole, "in-domain", "ner", "fedmedlora", "centralised")
    assert found is not None
    assert found.sites == 2
    assert macro_gain(without, "in-domain", "ner", "fedmedlora", "centralised") is None


def test_numbers_in_words() -> None:
    assert (decimal(0.4567), decimal(None), decimal(float("inf"))) == ("0.457", "—", "not finite")
    assert [size(n) for n in (0, 999, 1000, 9_996, 999_499, 999_600, 1_234_567)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "10.0 kB",
        "999 kB",
        "1.00 MB",
        "1.23 MB",
    ]
    assert [signed_points(value) for value in (-0.0004, 0.0004, -0.0006, 0.0)] == ["0.0", "0.0", "−0.1", "0.0"]
    assert size(5_000_000_000_000_000) == "5,000 TB"
    assert [duration(s) for s in (83.24, 754.0, 7400.0)] == ["83.2 s", "12.6 min", "2.06 h"]
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("—", "a", "a, b and c")
    assert (saving(15, 1000), saving(110, 100)) == ("98.5 % less", "10.0 % more")
    assert Spread.of([0.25, None, 0.75]) == (0.5, 0.25, 0.75, 2, 3)


def test_a_model_on_few_notes_is_named_by_what_it_began_with() -> None:
    assert model_label("single-site", "c+0") == "Bare base, 0 notes of c"
    assert model_label("fedmedlora", "a+b+10") == "Fed-MedLoRA, 10 notes of a+b"
    assert (model_label("single-site", "c"), model_label("zero-shot", "none")) == ("Single-site: c", "Zero-shot")


def test_elements_escape_once() -> None:
    assert element("td", "a<b", class_="n") == '<td class="n">a&lt;b</td>'
    assert escape(escape("&")) == "&amp;"


def test_a_chart_breaks_its_line_where_a_value_is_missing() -> None:
    chart = line_chart("c", "t", "F1", [Series("a", 0, ((1, 0.1), (2, None), (3, 0.3), (4, 0.4)))])
    path = next(one for one in ET.fromstring(chart).iter("path") if one.get("class") == "line")
    # One move for round 1, one for round 3, a line to round 4.
    assert re.sub(r"[^ML]", "", path.get("d", "")) == "MML"
    assert "a: 0.100 after round 1, 0.400 after round 4" in chart
    assert line_chart("c", "t", "F1", [Series("a", 0, ((1, None),))]) == ""
    minutes = Axis("minutes", "after {} minutes", measured=True)
    timed = line_chart("c", "t", "F1", [Series("a", 0, ((0.08055, 0.427),))], minutes)
    assert "a: 0.427 after 0.0805 minutes" in timed


def test_the_room_loads_no_heavy_library() -> None:
    code = "import sys, fedmedlora.report; print(sorted({'torch', 'flwr', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
