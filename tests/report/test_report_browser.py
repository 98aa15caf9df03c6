"""The report in a real Chromium, opened as a local file: on a screen, on a phone and in print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_report import make_preset
from test_page import material

from browser import Window, needs_browser, window
from lossatlas.files import write_bytes, write_json
from lossatlas.report.artefacts import read_results
from lossatlas.report.figures.gallery import draw_gallery
from lossatlas.report.figures.style import png
from lossatlas.report.images import read_images
from lossatlas.report.page import render_page
from lossatlas.report.targets import load_targets
from lossatlas.stages.figures import WORDS

pytestmark = needs_browser
SHOWN = ("figure-2", "figure-5", "figure-7")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    folder: Path = tmp_path_factory.mktemp("report")
    results, targets, index = read_results(*make_preset(folder)), load_targets(), []
    for drawing in draw_gallery(results, targets, only=SHOWN):
        write_bytes(folder / f"{drawing.id}.png", png(drawing.figure))
        words = {name: getattr(drawing, name) for name in WORDS}
        index.append(words | {"file": f"{drawing.id}.png", "vector": f"vector/{drawing.id}.svg"})
    write_json(folder / "figures.json", index)
    page = render_page(material(results, targets, images=read_images(folder)))
    (folder / "report.html").write_text(page)
    with window() as found:
        found.page.goto((folder / "report.html").as_uri())
        found.page.wait_for_load_state("load")
        yield found


@pytest.fixture
def page(opened: Window) -> Any:
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.emulate_media(media="screen")
    yield opened.page
    assert opened.errors == [] and opened.refused == []


def test_every_figure_loads_and_says_what_it_shows(page: Any) -> None:
    found = page.evaluate("[...document.images].map((i) => [i.naturalWidth, i.width, i.alt])")
    assert len(found) == len(SHOWN)
    for natural, width, alt in found:
        assert natural > 500 and width > 500
        assert len(alt) > 100 and "%" in alt


def test_nothing_is_fetched(page: Any) -> None:
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length") == 0
    )


def test_every_entry_of_the_contents_leads_to_its_place(page: Any) -> None:
    links = page.locator("nav a")
    assert links.count() > 12
    targets = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href'))")
    assert all(page.locator(target).count() == 1 for target in set(targets))
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.click("nav a[href='#figure-7']")
    assert abs(page.evaluate("document.getElementById('figure-7').getBoundingClientRect().top")) < 5


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_page_scrolls_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:  # tables scroll within their frames instead
        wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"
        assert page.evaluate(wide) > 0
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = false; })")


def test_verdict_and_reason_of_a_number_are_on_a_phones_screen(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    cells = "(name) => [...document.querySelectorAll(`.stacked td[data-label='${name}']`)]"
    for name in ("verdict", "what differs", "stage"):
        found = page.evaluate(f"(name) => ({cells})(name).map((e) => e.getBoundingClientRect().right)", name)
        assert len(found) > 3 and max(found) <= 390
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = false; })")


def test_tables_of_published_numbers_fit_a_desktop(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    frames = "[...document.querySelectorAll('.scroll:has(.stacked)')]"
    assert page.locator(".stacked").count() > 2
    assert page.evaluate(f"{frames}.filter((e) => e.scrollWidth > e.clientWidth + 1).length") == 0
    page.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = false; })")


def test_frames_that_scroll_are_reached_by_key_and_have_names(page: Any) -> None:
    unnamed = "[...document.querySelectorAll('.scroll')].filter((e) => e.tabIndex || !e.getAttribute('aria-label'))"
    assert page.evaluate(f"{unnamed}.length") == 0


def test_a_tap_enlarges_a_picture_and_another_takes_it_back(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    image = page.locator("#figure-5 img")
    before = image.bounding_box()["width"]
    image.click()
    assert image.bounding_box()["width"] > 2.5 * before
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#figure-5-enlarge").press("Space")
    assert image.bounding_box()["width"] == before


def test_settings_and_numbers_open_by_key(page: Any) -> None:
    summary = page.locator("#figure-5 summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#figure-5 details[open] table").first.is_visible()
    page.keyboard.press("Enter")


def test_print_opens_what_is_folded_and_fits_the_paper(page: Any) -> None:
    folded = "[...document.querySelectorAll('details table')].filter((table) => !table.checkVisibility()).length"
    assert page.evaluate(folded) > 10
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 1000})
    assert page.evaluate(folded) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.pdf(format="A4")[:5] == b"%PDF-"


def test_dark_screens_are_readable(page: Any) -> None:
    page.emulate_media(media="screen", color_scheme="dark")
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    ink, paper = ([int(part) for part in colour[4:-1].split(",")] for colour in colours)
    assert sum(ink) > sum(paper) + 400
    page.emulate_media(color_scheme="light")
