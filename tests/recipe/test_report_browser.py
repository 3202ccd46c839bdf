"""The report as a browser shows it: light, dark, on a phone, on paper, and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_pictures import charts, unseen
from note_pictures import stretches
from note_runs import HOSTILE, noted_run
from page_pixels import LINE_CONTRAST, TEXT_CONTRAST, Colour, contrast, faint_text, light, rgb, styled
from report_pages import charted_run
from report_runs import write_run

from browser import Browser, open_browser
from fedmedlora.report import write_report

STATUS = "document.querySelector('[role=status]').textContent"
FOCUSED = "document.activeElement.textContent"
FILTERS = ["site", "model", "label", "kind"]
TALL = 1600
"""Height of a window that holds every group of charts."""
KINDS = (
    *("by notes of", "by number of sites", "on the dev notes of", "training loss by site", ": weight by site"),
    *(": validation loss by site", "weight against validation loss", "precision and recall", "reliability"),
)
"""Of charts: what their titles say."""
both_schemes = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a made-up run with notes. Tests only read it."""
    folder = tmp_path_factory.mktemp("report")
    return write_report([noted_run(folder / "toy")], folder / "report.html")


@pytest.fixture(scope="module")
def charted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a made-up run that has every chart. Tests change it in the browser only."""
    folder = tmp_path_factory.mktemp("charted")
    return write_report([charted_run(folder / "toy")], folder / "report.html")


def colour(browser: Browser, selector: str, name: str) -> Colour:
    return rgb(browser.value(f"getComputedStyle(document.querySelector({selector!r}))[{name!r}]"))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    # #767676 is known as the lightest grey with 4.5 on white.
    assert contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@both_schemes
def test_text_can_be_seen_in_light_and_dark(browser: Browser, page: Path, dark: bool) -> None:
    browser.show(page, width=640, height=300, dark=dark)
    assert browser.complaints == []
    paper = colour(browser, "body", "backgroundColor")
    assert (light(paper) < 0.1) == dark
    for selector in ("body", "caption", "a", "th small", ".view .of", ".tag.k-ok", ".tag.k-m", ".tag.k-w", "select"):
        assert contrast(colour(browser, selector, "color"), paper) >= TEXT_CONTRAST, selector
    seen = browser.picture()
    assert (seen.width, seen.height, seen.first) == (640, 300, paper)
    # Paper, ink and everything between them at the letters' edges.
    assert len(seen.colours) > 50
    assert seen.near(colour(browser, "body", "color")) > 500


@both_schemes
def test_every_line_of_every_chart_is_painted_in_its_plot(browser: Browser, charted: Path, dark: bool) -> None:
    browser.show(charted, height=TALL, dark=dark)
    assert browser.complaints == []
    found, paper = charts(browser), colour(browser, "body", "backgroundColor")
    for kind in KINDS:
        assert any(kind in chart.title for chart in found), kind
    assert len(found) == browser.value("document.querySelectorAll('.panels figure').length")
    assert len(found) == browser.value("document.querySelectorAll('figure').length")
    # The legend, by which lines are looked for, names them all.
    drawn = browser.value("document.querySelectorAll('figure svg > g[class]').length")
    assert sum(len(chart.lines) for chart in found) == drawn
    for chart in found:
        assert len({line.look for line in chart.lines}) == len(chart.lines), chart.title
        assert all(contrast(line.colour, paper) >= LINE_CONTRAST for line in chart.lines), chart.title
    assert unseen(browser) == []


# What is done to a chart's first line, `one`, and what is not seen then of the lines of north and south.
BROKEN = {
    "one.querySelector('.line').remove()": ["the line of north"],
    "one.querySelector('.line').setAttribute('transform', 'translate(0 240)')": ["the line of north"],
    "one.querySelector('.line').style.stroke = 'var(--paper)'": ["the line of north"],
    "one.querySelector('.mark').setAttribute('visibility', 'hidden')": ["the marks of north"],
    "one.setAttribute('transform', 'translate(0 240)')": [
        f"{what} of north{where}" for what, where in (("all", " in the plot"), ("the marks", ""), ("the line", ""))
    ],
    "one.remove()": ["anything of north"],
    "one.parentNode.innerHTML += '<rect width=380 height=210 fill=white />'": [
        f"the {part} of {site}" for site in ("north", "south") for part in ("marks", "line")
    ],
}


def test_what_is_broken_in_a_chart_is_found(browser: Browser, charted: Path) -> None:
    browser.show(charted, height=TALL)
    losses, confidence = ".panels:has([id^=run1-rounds-loss])", ".panels:has([id*=-rel-])"

    def harm(group: str, place: int, how: str) -> None:
        figure = f"document.querySelectorAll('{group} figure')[{place}]"
        browser.value(f"{{ const one = {figure}.querySelector('svg > g'); {how} }}")

    titles = [chart.title for chart in charts(browser) if "training loss" in chart.title]
    # Charts of one line are left as they are.
    of_two = [(place, title) for place, title in enumerate(titles) if "entralised" not in title]
    expected = []
    for (place, title), (how, then) in zip(of_two[: len(BROKEN)], BROKEN.items(), strict=True):
        harm(losses, place, how)
        expected += [f"{title}: {what}" for what in then]
    assert unseen(browser, losses) == expected

    # Its line has the colour of the diagonal, which stays.
    harm(confidence, 1, "one.querySelector('.line').remove()")
    assert unseen(browser, confidence) == ["NER on north: reliability: the line of Zero-shot"]


@both_schemes
def test_text_in_charts_and_heat_cells_stands_out(browser: Browser, charted: Path, dark: bool) -> None:
    browser.show(charted, height=TALL, dark=dark)
    heat = "table:has(.h0)"
    shades = browser.value(
        "new Set([...document.querySelectorAll('td[class*=\" h\"]')].map(cell => cell.className)).size"
    )
    assert shades == 5
    assert faint_text(browser, ".panels", "figcaption, svg text") == []
    assert faint_text(browser, heat, "td") == []
    # Numbers beside marks keep a rim of paper where they stand on a line, and no line is drawn above them.
    with styled(browser, "svg .note { stroke: none; }"):
        assert faint_text(browser, ".panels:has(.note)", ".note") != []
    assert browser.value("document.querySelectorAll('.note ~ g[class]').length") == 0
    worse = "svg text { fill: var(--rule); } td.h4 { color: var(--soft); } td.h3 { color: transparent; }"
    with styled(browser, worse):
        assert len(faint_text(browser, ".panels:has(.note)", "svg text")) > 20
        # 0.9 and 0.7, in both tables.
        faint = faint_text(browser, heat, "td")
    assert [text.split()[0] for text in faint] == ["'0.700'", "'0.900'"] * 2


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


def test_on_paper_nothing_is_hidden_but_what_only_a_screen_can_use(browser: Browser, page: Path) -> None:
    lost = """[...document.querySelectorAll('body *')].filter((one) =>
      !one.checkVisibility({contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true}) &&
      !one.closest('nav, script, .viewer form, .keys, .view[hidden], svg > title, svg > desc')
    ).map((one) => one.tagName)"""
    browser.show(page, media="print")
    assert browser.value(lost) == []
    # Tables by type lie in parts that are closed on a screen.
    browser.show(page)
    assert browser.value(lost).count("TABLE") >= 2


@both_schemes
def test_lines_under_a_note_have_lanes_and_gaps_only_join(browser: Browser, page: Path, dark: bool) -> None:
    browser.show(page, width=2000, dark=dark)
    with styled(browser, "body, .view .text { max-width: none; }"):
        found = stretches(browser)
        for one in found.values():
            assert tuple(line.side for line in one.seen) == one.asked, one.text
        # Gold "pain in left … knee" and "pain in left and right knee", and "pain" that the model found.
        upper, lower, lowest = found["pain"].seen
        assert (upper.side, lower.side, lowest.side) == ("g", "g", "p")
        assert min(lower.top - upper.top, lowest.top - lower.top) >= 4
        # Between its parts the first is dotted, at the same height; the second goes on.
        assert [line.side for line in found[" and right "].seen] == ["gap", "g"]
        for text in (" in left", " and right ", "knee"):
            assert [line.top for line in found[text].seen] == [upper.top, lower.top]

        with styled(browser, ".view u.gap { text-decoration-style: solid; text-decoration-thickness: 2px; }"):
            assert [line.side for line in stretches(browser)[" and right "].seen] == ["g", "g"]
        with styled(browser, ".view u.l1 { text-underline-offset: 3px; }"):
            assert len(stretches(browser)["pain"].seen) == 2


def test_hostile_notes_stay_text(browser: Browser, page: Path) -> None:
    browser.show(page)
    assert browser.complaints == []
    assert browser.value("document.images.length") == 0
    assert browser.value("document.scripts.length") == 1
    tail = HOSTILE.splitlines()[-1]
    assert browser.value("[...document.querySelectorAll('.text')].at(-1).textContent").endswith(tail)


def tab(browser: Browser, back: bool = False) -> None:
    about = {"key": "Tab", "windowsVirtualKeyCode": 9, "modifiers": 8 if back else 0}
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, **about)


def go_to(browser: Browser, name: str) -> None:
    """By keys alone, to a filter by its name or a button by its letter."""
    for _ in range(100):
        here = browser.value("document.activeElement.name || document.activeElement.value")
        if here == name:
            return
        tab(browser, back=name in FILTERS and here in FILTERS and FILTERS.index(here) > FILTERS.index(name))
    raise AssertionError(f"no key leads to '{name}'")


def choose(browser: Browser, name: str, value: str) -> None:
    """A filter's value, by keys alone."""
    go_to(browser, name)
    browser.press("Home", 36)
    for _ in range(30):
        if browser.value("document.activeElement.value") == value:
            return
        browser.press("ArrowDown", 40)
    raise AssertionError(f"'{name}' has no '{value}'")


def test_notes_can_be_walked_through_by_keyboard(browser: Browser, page: Path) -> None:
    browser.show(page)
    go_to(browser, "site")
    stops = []
    for _ in range(12):
        stops.append(
            browser.value(
                "document.activeElement.name || document.activeElement.value || "
                "document.activeElement.textContent.slice(0, 4)"
            )
        )
        tab(browser)
    # Four filters, four buttons, the legend, the keys, a note, and in it the first line below the text.
    assert stops == [*FILTERS, "j", "k", "n", "p", "What", "Keys", "knee", "✓1"]
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"

    for _ in range(2):
        tab(browser, back=True)
    assert browser.value(FOCUSED).startswith("knee")
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


def test_enter_presses_buttons_follows_mistakes_and_opens_notes(browser: Browser, page: Path) -> None:
    pressed = {"j": "1 of 24: W3 severity", "k": "24 of 24: M4 problem", "n": "note 1 of 3", "p": "note 3 of 3"}
    for button, then in pressed.items():
        browser.show(page)
        go_to(browser, button)
        browser.press("Enter")
        assert browser.value(STATUS) == then, button

    browser.press("n")
    browser.press("j")
    browser.press("j")
    assert browser.value(FOCUSED) == "B4 problem"
    browser.press("Enter")
    # On the words below the note, which stand out, and in the window.
    words = "B4 boundary: gold problem pain in left … knee, found problem pain (0.61)"
    assert browser.value(FOCUSED) == words
    assert browser.value("document.querySelector(':target').textContent") == words
    assert browser.value(
        "(box => box.top >= 0 && box.bottom <= innerHeight)(document.activeElement.getBoundingClientRect())"
    )
    browser.press("j")
    assert browser.value(FOCUSED) == "M5 problem"
    browser.press("Enter")
    tab(browser)
    browser.press("Enter")
    # And back to the text.
    assert browser.value(FOCUSED) == "M5 problem"

    browser.press("n")
    opened = "document.activeElement.parentNode.open"
    assert browser.value(FOCUSED).startswith("second")
    assert browser.value(opened) is True
    browser.press("Enter")
    assert browser.value(opened) is False
    browser.press("Enter")
    assert browser.value(opened) is True
    browser.press("Enter")
    # The next mistake is in it: it opens again.
    browser.press("j")
    assert browser.value(STATUS) == "11 of 24: W3 severity"
    assert browser.value("document.activeElement.closest('.view').open") is True
    assert browser.complaints == []


def test_filters_leave_what_was_asked_for(browser: Browser, page: Path) -> None:
    shown = "[...document.querySelectorAll('.view:not([hidden]) .text [data-k]')].filter(one => one.offsetParent)"
    browser.show(page)
    choose(browser, "kind", "b")
    # "pain" for the knee and "twice" for "twice daily", in two notes; the hostile note has none.
    assert browser.value(f"{shown}.map(one => one.textContent)") == ["B4 problem", "B11 frequency"] * 2
    choose(browser, "label", "frequency")
    assert browser.value(STATUS) == "2 notes, 2 mistakes shown."
    # A line that is filtered out is not drawn.
    assert colour(browser, ".view:not([hidden]) u.k-b:not(.off)", "color")
    assert browser.value(
        "[...document.querySelectorAll('.view:not([hidden]) u.k-m')].every("
        "one => getComputedStyle(one).textDecorationLine === 'none')"
    )
    go_to(browser, "j")
    browser.press("Enter")
    assert browser.value(STATUS) == "1 of 2: B11 frequency"
    browser.press("j")
    browser.press("j")
    assert browser.value(STATUS) == "1 of 2: B11 frequency"
    browser.show(page)
    choose(browser, "kind", "b")
    choose(browser, "label", "frequency")
    choose(browser, "site", "south")
    assert browser.value(STATUS) == "0 notes, 0 mistakes shown."
    choose(browser, "label", "")
    choose(browser, "kind", "")
    choose(browser, "model", "")
    # Five models on one note with four missed annotations.
    assert browser.value(STATUS) == "5 notes, 20 mistakes shown."
    choose(browser, "kind", "ok")
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
