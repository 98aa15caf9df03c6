from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from synthetic_claims import make_results
from synthetic_ensembles import make_curve, make_ensemble, skipped, with_connections, with_ensemble

from lossatlas.report.artefacts import Results
from lossatlas.report.catalogue import GARIPOV, HUANG
from lossatlas.report.ensembles import BUDGETS, METHODS, SNAPSHOTS, lowest, network_title, split_study, study_name
from lossatlas.report.page import Material, render_page
from lossatlas.report.tables import all_tables
from lossatlas.report.tables_budgets import budget_table
from lossatlas.report.tables_curves import curve_table
from lossatlas.report.tables_ensembles import ensemble_table, score_table
from lossatlas.report.tables_snapshots import snapshot_table
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Targets

SMALL = {"cifar10": "CIFAR-10, 2,048 images", "cifar100": "CIFAR-100"}


@pytest.fixture(scope="module")
def full() -> Results:
    """Everything of VGG-16, and of the other two networks nothing."""
    return with_connections(make_results())


def cells(table: Table, *, keys: int = 3) -> dict[tuple[str, ...], dict[str, Cell]]:
    """Return the cells of a table by its first columns and the name of their own."""
    return {tuple(cell.text for cell in row[:keys]): dict(zip(table.columns, row, strict=True)) for row in table.rows}


def texts(row: dict[str, Cell], *columns: str) -> list[str]:
    return [row[column].text for column in columns]


def paper_errors(targets: Targets, data: str, network: str, method: str) -> list[float]:
    first, *others = targets.content["garipov2018"]["table1_error"][data][network][method]
    return [first[0], *others]


def test_all_54_cells_are_there_with_the_published_numbers(full: Results, targets: Targets) -> None:
    table = ensemble_table(full, targets)
    found = cells(table)
    assert len(found) * len(BUDGETS) == 54
    titles = {"vgg16": "VGG-16", "preresnet164": "PreResNet-164", "wrn28_10": "WRN-28-10"}
    assert set(titles) == set(GARIPOV)
    for data, data_title in SMALL.items():
        for network, title in titles.items():
            for method, word in METHODS.items():
                row = found[data_title, title, word]
                published = [row[f"{k}B, published"].value for k in BUDGETS]
                assert published == paper_errors(targets, data, network, method)


def test_ours_is_mean_and_spread_of_one_budget_and_the_pooled_error_of_several(full: Results, targets: Targets) -> None:
    found = cells(ensemble_table(full, targets))
    row = found["CIFAR-10, 2,048 images", "VGG-16", "Ind"]
    assert texts(row, "1B, ours", "2B, ours", "3B, ours") == ["10.20 ± 0.28", "9.00", "8.60"]
    assert row["1B, ours"].value == pytest.approx(10.2)
    assert texts(row, "1B, published", "2B, published") == ["6.75 ± 0.16", "5.89"]
    for missing in (("CIFAR-100", "VGG-16", "FGE"), ("CIFAR-10, 2,048 images", "WRN-28-10", "Ind")):
        assert texts(found[missing], *(f"{k}B, ours" for k in BUDGETS)) == ["not run"] * 3


def test_the_lowest_of_three_methods_is_bold_in_html_and_markdown_but_not_in_csv(
    full: Results, targets: Targets
) -> None:
    table = ensemble_table(full, targets)
    found = cells(table)
    rows = [found["CIFAR-10, 2,048 images", "VGG-16", method] for method in METHODS.values()]
    for k in BUDGETS:
        assert [row[f"{k}B, ours"].strong for row in rows] == [False, False, True]
        published = [row[f"{k}B, published"] for row in rows]
        best = min(cell.value for cell in published if isinstance(cell.value, float))
        assert [cell.strong for cell in published] == [cell.value == best for cell in published]
    wide = [found["CIFAR-10, 2,048 images", "PreResNet-164", method] for method in METHODS.values()]
    assert [row["2B, published"].strong for row in wide] == [True, False, False]  # the paper's Ind is the best there
    assert "| **8.50** | **5.66** |" in table.markdown()
    assert "**" not in table.csv()
    page = render_page(Material(full, images=[], tables=[(table, ())]))
    assert '<td class="number"><strong>8.50</strong></td>' in page


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 2.0, 1.0], (False, False, True)),
        ([2.0, 2.001, 3.0], (True, True, False)),  # equal as shown
        ([None, 2.0, 3.0], (False, True, False)),
        ([None, 2.0, None], (False, False, False)),
        ([], ()),
    ],
)
def test_the_lowest_as_shown(values: list[float | None], expected: tuple[bool, ...]) -> None:
    assert lowest(values) == expected


def test_what_is_skipped_or_has_fewer_budgets_says_so(full: Results, targets: Targets) -> None:
    some = with_ensemble(full, "vgg16-cifar10-sse", **skipped())
    fewer = make_ensemble("vgg16", "cifar10", "fge", [9.2])
    some = replace(some, ensembles={**some.ensembles, "vgg16-cifar10-fge": fewer})
    found = cells(ensemble_table(some, targets))
    row = found["CIFAR-10, 2,048 images", "VGG-16", "SSE"]
    assert texts(row, "1B, ours", "2B, ours") == ["skipped", "skipped"]
    row = found["CIFAR-10, 2,048 images", "VGG-16", "FGE"]
    assert texts(row, "1B, ours", "2B, ours", "3B, ours") == ["9.20", "not run", "not run"]
    accounts = cells(budget_table(some, targets))
    assert accounts["CIFAR-10, 2,048 images", "VGG-16", "SSE"]["status"].text == "skipped: run vgg16 diverged"
    scores = cells(score_table(some), keys=4)
    assert scores["CIFAR-10, 2,048 images", "VGG-16", "SSE", "skipped"]["error"].text == "–"


def test_other_data_and_smaller_networks_are_named_and_stand_for_cifar_10(targets: Targets) -> None:
    results = with_connections(make_results(regime="embedded"), *GARIPOV, data="digits")
    thin = {"family": "preresnet", "options": {"depth": 20, "base_width": 8}}
    for method in METHODS:
        results = with_ensemble(results, f"preresnet164-digits-{method}", **thin)
    table = ensemble_table(replace(results, data={"digits": {"train": 1024}}), targets)
    found = cells(table)
    assert len(found) == 18
    row = found["digits, 1,024 images", "PreResNet-164 (depth 20, 1/2 of the filters)", "FGE"]
    assert row["1B, ours"].text == "9.30 ± 0.14"
    assert row["2B, published"].value == paper_errors(targets, "cifar10", "preresnet164", "fge")[1]
    assert [key[0] for key in found] == ["digits, 1,024 images"] * 9 + ["CIFAR-100"] * 9  # what was run comes first
    assert "Beside digits, 1,024 images stand the published errors on CIFAR-10" in table.caption


def test_a_network_of_no_paper_has_rows_without_published_numbers(full: Results, targets: Targets) -> None:
    found = cells(ensemble_table(with_connections(full, "vgg9"), targets))
    assert len(found) == 18 + 3
    row = found["CIFAR-10, 2,048 images", "VGG-9", "SSE"]
    assert texts(row, "2B, ours", "2B, published") == ["9.20", "–"]


@pytest.mark.parametrize(
    ("network", "family", "options", "title"),
    [
        ("vgg16", "vgg", {"depth": 16, "variant": "garipov", "batch_norm": False, "base_width": 64}, "VGG-16"),
        (
            "vgg16",
            "vgg",
            {"depth": 16, "variant": "garipov", "batch_norm": True, "base_width": 16},
            "VGG-16 (batch norm, 1/4 of the filters)",
        ),
        (
            "wrn28_10",
            "wide_resnet",
            {"depth": 10, "widen": 4, "base_width": 4},
            "WRN-28-10 (depth 10, widen 4, 1/4 of the filters)",
        ),
        ("vgg9", "vgg", {"depth": 9, "batch_norm": False}, "VGG-9 (no batch norm)"),
        ("mine", "vgg", {}, "mine"),
    ],
)
def test_titles_say_what_makes_a_network_another(
    network: str, family: str, options: dict[str, Any], title: str
) -> None:
    assert network_title(network, {"family": family, "options": options}) == title


def test_who_trains_how_many_epochs(full: Results, targets: Targets) -> None:
    table = budget_table(full, targets)
    found = cells(table)
    ind, sse, fge = (found["CIFAR-10, 2,048 images", "VGG-16", method] for method in METHODS.values())
    columns = ("budgets", "epochs per budget", "of them shared with Ind", "members per budget", "cycles per budget")
    assert texts(ind, *columns) == ["3", "25", "0", "1", "–"]
    assert texts(sse, *columns) == ["3", "25", "0", "5", "5"]
    assert texts(fge, *columns) == ["3", "25", "20", "3", "2.5"]
    assert [texts(row, "epochs per cycle", "alpha_0", "alpha_1", "alpha_2") for row in (ind, sse, fge)] == [
        ["–", "0.05", "–", "–"],
        ["5", "0.05", "–", "–"],
        ["2", "0.05", "0.01", "0.0005"],
    ]
    protocol = targets.content["garipov2018"]["protocol"]
    for part in (protocol["schedule"], protocol["fge_start"], protocol["k_budgets"], protocol["sse"]["alpha_0"]):
        assert part in table.caption
    assert "5 cycles per budget and alpha_0 = the network's lr are our choice" in table.caption
    assert targets.content["huang2017"]["protocol"]["schedule"] in table.caption
    assert "VGG-16 200, PreResNet-164 150, WRN-28-10 200 epochs" in table.caption
    assert "Momentum starts at zero there" in table.caption and "goes on with the momentum" in table.caption
    assert "dropout, augmentation and weight decay among it, stays as in Ind" in table.caption


def test_budgets_of_unequal_members_show_their_range(full: Results, targets: Targets) -> None:
    budgets = full.ensembles["vgg16-cifar10-fge"]["budgets"]
    some = with_ensemble(full, "vgg16-cifar10-fge", budgets=[{**budgets[0], "members": 2}, *budgets[1:]])
    row = cells(budget_table(some, targets))["CIFAR-10, 2,048 images", "VGG-16", "FGE"]
    assert row["members per budget"].text == "2 to 3"


def test_scores_of_every_number_of_budgets(full: Results) -> None:
    found = cells(score_table(full), keys=4)
    assert len(found) == 9
    first = found["CIFAR-10, 2,048 images", "VGG-16", "FGE", "1B"]
    columns = ("members", "error", "negative log-likelihood", "calibration error", "disagreement", "divergence")
    assert texts(first, *columns) == ["3", "9.20", "0.4", "3.00", "5.00", "0.02"]
    alone = [found["CIFAR-10, 2,048 images", "VGG-16", "FGE", f"{k}B"] for k in BUDGETS]
    # members of budget i have an error of 9.2 + i percent
    assert [row["mean error of one member"].text for row in alone] == ["9.20", "9.70", "10.20"]
    # averaged weights have a point less than their budgets, of which there are two
    assert [row["error of averaged weights"].text for row in alone] == ["8.20", "8.30", "8.30"]
    assert [row["averaged members per budget"].text for row in alone] == ["3", "3", "3"]
    assert found["CIFAR-10, 2,048 images", "VGG-16", "Ind", "1B"]["error of averaged weights"].text == "–"
    assert found["CIFAR-10, 2,048 images", "VGG-16", "Ind", "1B"]["averaged members per budget"].text == "–"


def test_averages_of_unequal_members_show_their_range(full: Results) -> None:
    averaged = {"errors": [0.1, 0.1], "members": [3, 2]}
    found = cells(score_table(with_ensemble(full, "vgg16-cifar10-fge", averaged=averaged)), keys=4)
    rows = [found["CIFAR-10, 2,048 images", "VGG-16", "FGE", f"{k}B"] for k in BUDGETS]
    assert [row["averaged members per budget"].text for row in rows] == ["3", "2 to 3", "2 to 3"]


def test_curves_stand_beside_those_of_the_authors_program(full: Results, targets: Targets) -> None:
    table = curve_table(full, targets)
    found = cells(table, keys=4)
    name = ("CIFAR-10, 2,048 images", "VGG-16")
    segment = found[*name, "straight segment", "refreshed"]
    assert (*name, "straight segment", "interpolated") in found
    assert texts(segment, "error at the ends", "lowest error", "highest error") == ["10.00, 10.40", "9.90", "12.00"]
    assert texts(segment, "barrier", "highest training loss", "length", "distance of the ends") == [
        *("2", "2.05", "4", "4"),
    ]
    published = ("published: at the ends", "published: lowest", "published: highest")
    assert texts(segment, *published) == ["6.79, 6.94†", "–", "–"]
    assert texts(found[*name, "polygonal chain, 1 bend", "refreshed"], *published[1:]) == ["6.79†", "8.08†"]
    bezier = found[*name, "Bezier curve, 1 bend", "refreshed"]
    assert texts(bezier, *published[1:]) == ["6.79†", "7.75†"]
    assert texts(bezier, "length", "distance of the ends") == ["6", "4"]
    assert "†" in table.caption
    assert "“three bends”" in table.caption


@pytest.mark.parametrize(("points", "words"), [(1, "overflows at 1 point"), (12, "overflows at 12 points"), (0, "2")])
def test_a_curve_that_overflows_says_at_how_many_points(
    full: Results, targets: Targets, points: int, words: str
) -> None:
    made = make_curve("vgg16", "segment", barrier=2.0)
    rows = {name: {**row, "not_finite": points * (name == "refreshed")} for name, row in made.info["rows"].items()}
    changed = {**full.curves, made.name: replace(made, info={**made.info, "rows": rows})}
    found = cells(curve_table(replace(full, curves=changed), targets), keys=4)
    name = ("CIFAR-10, 2,048 images", "VGG-16", "straight segment")
    expected = [words, "–" if points else "2.05"]
    assert texts(found[*name, "refreshed"], "barrier", "highest training loss") == expected
    assert found[*name, "interpolated"]["barrier"].text == "2"


def test_curves_on_cifar_100_have_its_numbers_and_others_none(full: Results, targets: Targets) -> None:
    hundred = make_curve("vgg16", "bezier", barrier=0.1, data="cifar100")
    other = make_curve("vgg9", "chain", barrier=0.1)
    curves = {"vgg16_cifar100_bezier": replace(hundred, name="vgg16_cifar100_bezier"), "vgg9_chain": other}
    found = cells(curve_table(replace(full, curves=curves, planned={}), targets), keys=3)
    row = found["CIFAR-100", "VGG-16", "Bezier curve, 1 bend"]
    assert texts(row, "published: at the ends", "published: highest") == ["27.5, 27.5†", "30.1†"]
    row = found["CIFAR-10, 2,048 images", "VGG-9", "polygonal chain, 1 bend"]
    assert texts(row, "published: at the ends", "published: highest") == ["–", "–"]


def test_curves_that_are_not_there_say_so_beside_the_published_ones(full: Results, targets: Targets) -> None:
    broken = make_curve("vgg16", "chain", barrier=None, status="skipped", reason="run vgg16 diverged")
    curves = {"vgg16_chain": replace(broken, losses=None)}
    found = cells(curve_table(replace(full, curves=curves), targets), keys=4)
    skipped_row = found["CIFAR-10, 2,048 images", "VGG-16", "polygonal chain, 1 bend", "skipped: run vgg16 diverged"]
    assert skipped_row["published: highest"].text == "8.08†"
    absent = found["CIFAR-10, 2,048 images", "VGG-16", "Bezier curve", "not run"]
    assert texts(absent, "barrier", "published: highest") == ["–", "7.75†"]


@pytest.mark.parametrize(("network", "data"), [("vgg16", "cifar10"), ("wrn28_10", "cifar100"), ("vgg9", "digits")])
def test_names_of_curves_are_split_as_they_are_made(network: str, data: str) -> None:
    name = study_name(network, data, "bezier")
    assert split_study(name) == (network, data if data == "cifar100" else "", "bezier")


def test_snapshot_ensembles_stand_beside_the_second_table(full: Results, targets: Targets) -> None:
    assert not snapshot_table(full, targets).rows
    found = make_ensemble("resnet110", "cifar100", "sse", [30.0])
    some = replace(full, ensembles={**full.ensembles, "resnet110-cifar100-snapshot01": found})
    table = snapshot_table(some, targets)
    rows = cells(table, keys=2)
    assert len(rows) == len(HUANG) * len(SNAPSHOTS) == 20
    row = rows["ResNet-110", "snapshots, alpha_0 = 0.1"]
    columns = [f"{data}, {who}" for data in ("CIFAR-10", "CIFAR-100") for who in ("ours", "published")]
    assert texts(row, *columns) == ["not run", "5.73†", "30.00", "25.55†"]
    assert rows["DenseNet-100, growth 24", "single model"]["CIFAR-10, published"].text == "3.74†"
    assert "† known from" in table.caption
    skips = {**full.ensembles, "resnet110-cifar100-snapshot01": skipped()}
    rows = cells(snapshot_table(replace(full, ensembles=skips), targets), keys=2)
    assert rows["ResNet-110", "snapshots, alpha_0 = 0.1"]["CIFAR-100, ours"].text == "skipped"
    # other ensembles of these names do not enter the first table
    assert len(cells(ensemble_table(some, targets))) == 18


def test_a_preset_without_ensembles_has_none_of_these_tables(results: Results, targets: Targets) -> None:
    ids = {"garipov-table-1", "budgets", "ensemble-scores", "curves", "huang-table-1"}
    assert not ids & {table.id for table in all_tables(results, targets)}
    there = [table.id for table in all_tables(with_connections(results), targets)]
    assert ids - {"huang-table-1"} <= set(there)


def test_every_row_is_complete_and_survives_csv(full: Results, targets: Targets) -> None:
    planned = {
        "ensemble": {"vgg16-cifar100-fge": "vgg16_cifar100"},
        "curve": {"vgg16_cifar100_chain": "vgg16_cifar100"},
    }
    both = {kind: {**full.planned[kind], **names} for kind, names in planned.items()}
    results = replace(full, planned={**full.planned, **both})
    for table in all_tables(results, targets):
        assert all(len(row) == len(table.columns) for row in table.rows), table.id
        assert len(list(csv.reader(io.StringIO(table.csv())))) == len(table.rows) + 1
    assert cells(budget_table(results, targets))["CIFAR-100", "VGG-16", "FGE"]["status"].text == "not run"
    assert ("CIFAR-100", "VGG-16", "polygonal chain", "not run") in cells(curve_table(results, targets), keys=4)
