"""The explorer in a real Chromium, opened as a local file: it draws, turns, and obeys every control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from explorer_cases import EPOCHS, explorer_results

from browser import Window, needs_browser, window
from lossatlas.report.explorer.page import render_explorer

pytestmark = needs_browser
LEFT = "document.getElementById('left-plot')"
RIGHT = "document.getElementById('right-plot')"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(render_explorer(explorer_results()))
    return path


@pytest.fixture(scope="module")
def opened(file: Path) -> Iterator[Window]:
    with window(width=1000, height=700) as found:
        found.page.goto(file.as_uri())
        found.page.wait_for_selector("#right-plot canvas")
        yield found


@pytest.fixture
def page(opened: Window) -> Any:
    """The page as it is when it opens, but for its cameras."""
    opened.page.evaluate(
        """() => {
          const set = (id, value) => { document.getElementById(id).value = value; };
          set('quantity', 'train_loss'); set('colour', 'height'); set('view', 'surface'); set('cap', '100');
          for (const id of ['log', 'shared', 'together']) document.getElementById(id).checked = true;
          set('left', 'plane/resnet56'); set('right', 'plane/resnet20');
          for (const side of ['left', 'right']) document.getElementById(side).dispatchEvent(new Event('change'));
        }"""
    )
    yield opened.page
    assert opened.errors == [] and opened.refused == []


COLOURS = """async (plot) => {
  const url = await Plotly.toImage(plot, {format: 'png', width: 300, height: 200});
  return new Promise((done) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [300, 200];
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      done(new Set(new Uint32Array(context.getImageData(0, 0, 300, 200).data.buffer)).size);
    };
    image.src = url;
  });
}"""


def drawn_colours(page: Any, plot: str) -> int:
    """How many colours the picture of a plot has: a blank one has one."""
    return int(page.evaluate(COLOURS, plot))


def test_both_surfaces_are_drawn(page: Any) -> None:
    assert page.evaluate(f"{LEFT}.data[0].type") == "surface"
    assert drawn_colours(page, "left-plot") > 200
    assert drawn_colours(page, "right-plot") > 200


def test_dragging_turns_both(page: Any) -> None:
    before = page.evaluate(f"[{LEFT}, {RIGHT}].map((e) => e._fullLayout.scene.camera.eye.x)")
    box = page.locator("#left-plot").bounding_box()
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10, steps=4)
    page.mouse.up()
    page.wait_for_function(f"Math.abs({RIGHT}._fullLayout.scene.camera.eye.x - {before[1]}) > 0.05")
    after = page.evaluate(f"[{LEFT}, {RIGHT}].map((e) => e._fullLayout.scene.camera.eye.x)")
    assert after[0] == pytest.approx(after[1]) and abs(after[0] - before[0]) > 0.05
    page.click("#reset")
    page.wait_for_function(f"{RIGHT}._fullLayout.scene.camera.eye.x === 1.6")


def test_another_network_is_drawn_and_described(page: Any) -> None:
    before = page.evaluate(f"Array.from({LEFT}.data[0].z[0])")
    page.select_option("#left", "plane/vgg9")
    assert page.evaluate(f"Array.from({LEFT}.data[0].z[0])") != before
    words = page.inner_text("#left-about")
    assert "VGG-9" in words and "9 × 7 points" in words and "2 points have no finite value and are holes" in words
    assert "left=plane%2Fvgg9" in page.evaluate("location.hash")


def test_holes_stay_holes(page: Any) -> None:
    page.select_option("#left", "plane/vgg9")
    assert page.evaluate(f"[{LEFT}.data[0].z[1][0], {LEFT}.data[0].z[0][2]].map(Number.isNaN)") == [True, True]


def test_the_logarithm_is_of_the_axis_and_the_colours(page: Any) -> None:
    assert page.evaluate(f"{LEFT}._fullLayout.scene.zaxis.type") == "log"
    logarithmic = page.evaluate(f"{LEFT}.data[0].cmax")
    page.uncheck("#log")
    assert page.evaluate(f"{LEFT}._fullLayout.scene.zaxis.type") == "linear"
    assert page.evaluate(f"{LEFT}.data[0].cmax") == pytest.approx(10**logarithmic)


def test_one_scale_for_both_or_one_each(page: Any) -> None:
    page.select_option("#left", "trajectory/vgg9")
    ends = f"[{LEFT}, {RIGHT}].map((e) => [e.data[0].cmin, e.data[0].cmax])"
    left, right = page.evaluate(ends)
    assert left == right
    page.uncheck("#shared")
    left, right = page.evaluate(ends)
    assert left != right


def test_values_above_the_limit_are_cut_off_and_said(page: Any) -> None:
    page.select_option("#cap", "10")
    page.check("#log")
    assert page.evaluate(f"Math.max(...{RIGHT}.data[0].z.flatMap((row) => Array.from(row)))") <= 10


def test_the_slider_goes_through_epochs(page: Any) -> None:
    assert page.is_hidden("#left-epochs") and page.is_visible("#right-epochs")
    last = page.evaluate(f"{RIGHT}.data[0].z[3][3]")
    slider = page.locator("#right-frame")
    assert page.evaluate("document.getElementById('right-frame').max") == "2"
    slider.focus()
    slider.press("Home")
    assert page.inner_text("#right-epoch").startswith(f"{EPOCHS[0]} of ")
    assert page.evaluate(f"{RIGHT}.data[0].z[3][3]") != last
    slider.press("ArrowRight")
    assert page.inner_text("#right-epoch").startswith(f"{EPOCHS[1]} of ")


def test_hovered_words_have_errors(page: Any) -> None:
    sampled, exact = page.evaluate(f"[{LEFT}, {RIGHT}].map((e) => e.data[0].text[2][2])")
    assert "± 0.02" in sampled and "from 96 of 256 images" in sampled
    assert "exact, over 256 images" in exact


def test_the_ratio_of_eigenvalues_is_a_colour_with_residuals(page: Any) -> None:
    page.select_option("#colour", "ratio")
    found = page.evaluate(
        f"({{...{RIGHT}.data[0].colorbar.title, low: {RIGHT}.data[0].cmin, high: {RIGHT}.data[0].cmax}})"
    )
    assert found["text"] == "|λmin / λmax|" and (found["low"], found["high"]) == (-3, 0)
    points = page.evaluate(f"{RIGHT}.data.at(-1).text[0]")
    assert "λmax" in points and "residual" in points and "converged" in points
    assert "No eigenvalues were computed here" in page.inner_text("#left-about")


@pytest.mark.parametrize(("entry", "words"), [("trajectory/vgg9", "epoch 0"), ("plane3/vgg16_bezier", "t = 0")])
def test_paths_lie_on_the_surface(page: Any, entry: str, words: str) -> None:
    page.select_option("#left", entry)
    path = page.evaluate(
        f"{LEFT}.data.filter((t) => t.mode === 'markers').map((t) => ({{text: t.text[0], z: t.z[0]}}))[0]"
    )
    assert words in path["text"]
    low, high = page.evaluate(
        f"[{LEFT}.data[0].z.flatMap((r) => Array.from(r))].map((v) => [Math.min(...v), Math.max(...v)])[0]"
    )
    assert low * 0.9 <= path["z"] <= high * 1.1


def test_contours_and_other_quantities(page: Any) -> None:
    page.select_option("#view", "contour")
    page.select_option("#quantity", "test_error")
    assert page.evaluate(f"{LEFT}.data[0].type") == "contour"
    assert "test error, %" in page.evaluate(f"{LEFT}.data[0].colorbar.title.text")


def test_stretched_axes_are_said_and_contours_of_others_have_one_scale(page: Any) -> None:
    page.select_option("#left", "trajectory/vgg9")
    x, y = page.evaluate(f"['x', 'y'].map((a) => {LEFT}.data[0][a]).map((v) => v[v.length - 1] - v[0])")
    assert x != pytest.approx(y, rel=0.03) and 1 / 4 < x / y < 4
    assert "times longer than the other one" in page.inner_text("#left-about")
    assert "times longer" not in page.inner_text("#right-about")
    page.select_option("#view", "contour")
    assert "times longer" not in page.inner_text("#left-about")
    scales = page.evaluate(f"['xaxis', 'yaxis'].map((a) => {LEFT}._fullLayout[a]._m)")
    assert abs(scales[0]) == pytest.approx(abs(scales[1]), rel=0.01)


def test_two_surfaces_of_one_network_have_different_titles(page: Any) -> None:
    titles = page.evaluate("[...document.querySelectorAll('#left option')].map((e) => e.textContent)")
    assert {"VGG-9, random directions", "VGG-9, path of training"} <= set(titles)
    assert len(set(titles)) == len(titles)


def test_another_address_chooses_other_surfaces(page: Any) -> None:
    page.evaluate("location.hash = 'left=plane%2Fvgg9&right=nothing'")
    page.wait_for_function("document.getElementById('left').value === 'plane/vgg9'")
    page.wait_for_function("document.getElementById('left-about').textContent.includes('VGG-9')")
    assert page.evaluate("document.getElementById('right').value") == "plane/resnet20"


def test_a_dark_screen_has_dark_plots(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{LEFT}.layout.paper_bgcolor === '#15181c'")
    assert page.evaluate(f"{LEFT}.layout.font.color") == "#e6e6e3"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{LEFT}.layout.paper_bgcolor === '#fff'")


def test_controls_are_reached_by_key_and_have_names(page: Any) -> None:
    page.focus("#quantity")
    seen = [page.evaluate("document.activeElement.id")]
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id"))
    assert seen == ["quantity", "colour", "view", "cap", "log", "shared", "together", "reset", "left"]
    unnamed = "[...document.querySelectorAll('select, input')].filter((e) => !e.labels.length).length"
    assert page.evaluate(unnamed) == 0
    page.focus("#left")
    before = page.evaluate("document.activeElement.value")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.getElementById('left').value") != before


def test_a_phone_needs_no_sideways_scrolling_and_a_link_chooses(opened: Window, file: Path) -> None:
    page = opened.page
    page.goto("about:blank")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{file.as_uri()}#left=trajectory%2Fvgg9&right=plane%2Fvgg9")
    page.wait_for_selector("#right-plot canvas")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("['left', 'right'].map((id) => document.getElementById(id).value)") == [
        "trajectory/vgg9",
        "plane/vgg9",
    ]
    assert opened.errors == [] and opened.refused == []
