from __future__ import annotations

import json
import re
from dataclasses import replace

from explorer_cases import explorer_results

from lossatlas.report.explorer.page import render_explorer, script_json

LIBRARY = "/* plotly */"


def content(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)
    assert found
    return dict(json.loads(found[1]))


def test_the_page_holds_all_it_needs() -> None:
    text = render_explorer(explorer_results(), library=LIBRARY)
    assert LIBRARY in text and '"use strict"' in text
    assert not re.search(r'(src|href)="(?!data:|report\.html)', text)
    assert "default-src 'none'" in text


def test_plotly_comes_from_the_installed_package() -> None:
    text = render_explorer(explorer_results())
    assert "plotly.js v" in text and len(text) > 3_000_000


def test_the_networks_of_figure_1_come_first_where_they_are_there() -> None:
    results = explorer_results()
    assert content(render_explorer(results, library=LIBRARY))["first"] == ["plane/resnet56", "plane/resnet20"]
    only = replace(results, planes={"vgg9": results.planes["vgg9"]}, trajectories={}, planes3={})
    assert content(render_explorer(only, library=LIBRARY))["first"] == ["plane/vgg9"]


def test_text_of_results_ends_no_script_and_is_escaped() -> None:
    results = replace(explorer_results(), title="</script><script>alert(1)</script>")
    text = render_explorer(results, library=LIBRARY)
    assert "<script>alert" not in text
    assert script_json({"name": "</script>"}) == '{"name":"\\u003c/script>"}'


def test_two_renderings_are_equal() -> None:
    results = explorer_results()
    assert render_explorer(results, library=LIBRARY) == render_explorer(results, library=LIBRARY)


def test_an_empty_preset_has_a_page() -> None:
    empty = replace(explorer_results(), planes={}, moments={}, trajectories={}, planes3={})
    assert content(render_explorer(empty, library=LIBRARY)) == {"entries": [], "first": []}
