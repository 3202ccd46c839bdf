"""The report as a browser shows it: light, dark, on a phone, on paper, and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from note_runs import HOSTILE, noted_run
from report_runs import write_run

from browser import Browser, open_browser
from fedmedlora.report import write_report

Colour: TypeAlias = tuple[int, int, int]
STATUS = "document.querySelector('[role=status]').textContent"
FOCUSED = "document.activeElement.textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a made-up run with notes. Tests only read it."""
    folder = tmp_path_factory.mktemp("report")
    return write_report([noted_run(folder / "toy")], folder / "report.html")


def colour(browser: Browser, selector: str, name: str) -> Colour:
    written = browser.value(f"getComputedStyle(document.querySelector({selector!r}))[{name!r}]")
    red, green, blue = (int(part) for part in re.findall(r"\d+", written)[:3])
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, "contrast ratio": 1 for equal colours, 21 for black on white."""
    lights = sorted(_light(pixel) for pixel in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _light(pixel: Colour) -> float:
    parts = [part / 255 for part in pixel]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    # #767676 is known as the lightest grey with 4.5 on white.
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_and_charts_can_be_seen_in_light_and_dark(browser: Browser, page: Path, dark: bool) -> None:
    browser.show(page, width=640, height=300, dark=dark)
    assert browser.complaints == []
    paper = colour(browser, "body", "backgroundColor")
    assert (_light(paper) < 0.1) == dark
    for selector in ("body", "caption", "a", "th small", ".view .of", ".tag.k-ok", ".tag.k-m", ".tag.k-w", "select"):
        # WCAG 2.2, 1.4.3: 4.5 for text.
        assert contrast(colour(browser, selector, "color"), paper) >= 4.5, selector
    seen = browser.picture()
    assert (seen.width, seen.height, seen.first) == (640, 300, paper)
    # Paper, ink and everything between them at the letters' edges.
    assert len(seen.colours) > 50
    assert seen.near(colour(browser, "body", "color")) > 500
    chart = browser.picture("figure svg")
    styles = browser.value(
        "[...new Set([...document.querySelectorAll('figure svg')][0].innerHTML.match(/class=.s\\d/g))]"
    )
    drawn = [style[-2:] for style in styles]
    assert len(drawn) >= 3
    for style in drawn:
        line = colour(browser, f"figure svg g.{style} .line", "stroke")
        # WCAG 2.2, 1.4.11: 3 for lines that mean something.
        assert contrast(line, paper) >= 3
        assert chart.near(line) > 15, style


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(browser: Browser, page: Path, width: int) -> None:
    browser.show(page, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    outside = browser.value(
        "[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll') && "
        f"one.getBoundingClientRect().right > {width}).map(one => one.tagName)"
    )
    assert outside == []


def test_on_paper_the_page_is_dark_on_white_and_notes_are_there(browser: Browser, page: Path) -> None:
    browser.show(page, dark=True, media="print")
    assert colour(browser, "body", "backgroundColor") == (255, 255, 255)
    assert colour(browser, "body", "color") == (0, 0, 0)
    assert browser.value("getComputedStyle(document.querySelector('.viewer form')).display") == "none"
    assert browser.value("document.querySelectorAll('.view[open]:not([hidden]) .text').length") == 3
    printed = browser.pdf()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 3


def test_hostile_notes_stay_text(browser: Browser, page: Path) -> None:
    browser.show(page)
    assert browser.complaints == []
    assert browser.value("document.images.length") == 0
    assert browser.value("document.scripts.length") == 1
    tail = HOSTILE.splitlines()[-1]
    assert browser.value("[...document.querySelectorAll('.text')].at(-1).textContent").endswith(tail)


def test_notes_can_be_walked_through_by_keyboard(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.value("document.querySelector('.viewer select').focus()")
    stops = []
    for _ in range(12):
        stops.append(
            browser.value(
                "document.activeElement.name || document.activeElement.value || "
                "document.activeElement.textContent.slice(0, 4)"
            )
        )
        browser.press("Tab", 9)
    # Four filters, four buttons, the legend, the keys, a note, and in it the first line below the text.
    assert stops == ["site", "model", "label", "kind", "j", "k", "n", "p", "What", "Keys", "knee", "✓1"]
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"

    browser.value("document.querySelector('.view:not([hidden]) summary').focus()")
    assert browser.value(STATUS) == "3 notes, 24 mistakes shown."
    browser.press("j")
    assert (browser.value(FOCUSED), browser.value(STATUS)) == ("W3 severity", "1 of 24: W3 severity")
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.press("j")
    assert browser.value(FOCUSED) == "B4 problem"
    # Lines, tags and words of both parts of the discontinuous annotation stand out together.
    assert browser.value("document.querySelectorAll('.tag.on').length") == 2
    assert browser.value("document.querySelectorAll('li.on').length") == 1
    browser.press("k")
    browser.press("k")
    assert browser.value(STATUS) == "24 of 24: M4 problem"
    browser.press("j")
    browser.press("n")
    assert browser.value(FOCUSED).startswith("second")
    browser.press("j")
    assert browser.value(STATUS) == "11 of 24: W3 severity"
    browser.press("p")
    assert browser.value(FOCUSED).startswith("knee")
    browser.press("?")
    assert browser.value("document.querySelector('.keys').open") is True
    assert browser.complaints == []


def test_filters_leave_what_was_asked_for(browser: Browser, page: Path) -> None:
    def choose(name: str, value: str) -> None:
        browser.value(f"document.querySelector('select[name={name}]').value = {value!r}")
        browser.value(
            f"document.querySelector('select[name={name}]').dispatchEvent(new Event('change', {{bubbles: true}}))"
        )

    shown = "[...document.querySelectorAll('.view:not([hidden]) .text [data-k]')].filter(one => one.offsetParent)"
    browser.show(page)
    choose("kind", "b")
    # "pain" for the knee and "twice" for "twice daily", in two notes; the hostile note has none.
    assert browser.value(f"{shown}.map(one => one.textContent)") == ["B4 problem", "B11 frequency"] * 2
    choose("label", "frequency")
    assert browser.value(STATUS) == "2 notes, 2 mistakes shown."
    # A line that is filtered out is not drawn.
    assert colour(browser, ".view:not([hidden]) u.k-b:not(.off)", "color")
    assert browser.value(
        "[...document.querySelectorAll('.view:not([hidden]) u.k-m')].every("
        "one => getComputedStyle(one).textDecorationLine === 'none')"
    )
    choose("site", "south")
    assert browser.value(STATUS) == "0 notes, 0 mistakes shown."
    choose("label", "")
    choose("kind", "")
    choose("model", "")
    # Five models on one note with four missed annotations.
    assert browser.value(STATUS) == "5 notes, 20 mistakes shown."
    choose("kind", "ok")
    assert browser.value(STATUS) == "0 notes, 0 correct shown."


def test_notes_can_be_read_where_no_script_runs(browser: Browser, page: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text(encoding="utf-8").replace('"use strict";', '"use strict"; '), encoding="utf-8")
    browser.show(changed)
    # The page's own policy keeps the browser from a script that is not the one it names.
    assert any("Content Security Policy" in said for said in browser.complaints)
    assert browser.value("document.querySelector('.viewer form').hidden") is True
    assert browser.value("document.querySelectorAll('.view[open] .text').length") == 3


def test_a_report_without_notes_has_no_script(browser: Browser, tmp_path: Path) -> None:
    browser.show(write_report([write_run(tmp_path / "toy")], tmp_path / "report.html"))
    assert browser.complaints == []
    assert browser.value("document.scripts.length") == 0
