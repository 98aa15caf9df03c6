from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from synthetic_claims import CONTROL, DEEP, make_probe, make_results, make_run, with_sharpness
from synthetic_ensembles import with_connections

from lossatlas.report.addresses import minimizer_address
from lossatlas.report.artefacts import Results
from lossatlas.report.claims import RULES
from lossatlas.report.figures.words import FIGURES
from lossatlas.report.tables import all_tables
from lossatlas.report.tables_geometry import (
    condition_table,
    cosine_table,
    gradient_table,
    rescaling_table,
    slice_table,
)
from lossatlas.report.tables_minimizers import table1, vgg9_table
from lossatlas.report.tables_sharpness import correlation_table, sharpness_table
from lossatlas.report.tables_training import initialization_table, trainability_table
from lossatlas.report.tabular import Table
from lossatlas.report.targets import Targets
from lossatlas.report.variants import VARIANTS
from lossatlas.shape.measures import MEASURES


@pytest.fixture(scope="module")
def full() -> Results:
    return make_results()


def records(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_every_minimizer_has_its_own_published_error(targets: Targets) -> None:
    published = {run: targets.get(minimizer_address(run)).value for run in VARIANTS}
    assert len(published) == 16
    assert (published["resnet56"], published["resnet56_adam_large_nowd"], published["resnet56_adam"]) == (
        5.89,
        14.30,
        7.67,
    )
    assert (published["vgg9"], published["vgg9_large_nowd"], published["vgg9_adam_large"]) == (6.00, 11.07, 9.52)
    with pytest.raises(KeyError):
        minimizer_address("resnet20")


def test_table_1_has_our_batch_beside_the_papers(full: Results, targets: Targets) -> None:
    runs = {**full.runs, "resnet56_large": make_run("resnet56_large", error=0.105, steps=77)}
    table = table1(replace(full, runs=runs), targets)
    rows = records(table)
    assert len(rows) == len(targets.content["li2018"]["table1_resnet56"]) == 8
    assert all(len(row) == len(table.columns) for row in table.rows)
    key = {"optimizer": "SGD", "weight decay, published": "0.0005", "batch": "large"}
    row = next(row for row in rows if key.items() <= row.items())
    assert (row["batch size, ours"], row["batch size, published"], row["updates"]) == ("512", "4096", "77")
    assert float(row["of the training set"]) == 25.0
    assert float(row["test error, ours"]) == pytest.approx(10.5)
    assert row["test error, published"] == "10.59"
    absent = next(row for row in rows if row["optimizer"] == "Adam")
    assert (absent["batch size, ours"], absent["test error, ours"]) == ("not run", "not run")
    assert float(absent["test error, published"]) > 7


def test_errors_of_vgg9_over_seeds(full: Results, targets: Targets) -> None:
    repeats = {f"vgg9_seed{i}": make_run("vgg9", error=error) for i, error in ((1, 0.07), (2, 0.08))}
    table = vgg9_table(replace(full, runs={**full.runs, **repeats}), targets)
    small = next(row for row in table.rows if [cell.text for cell in row[:4]] == ["SGD", "0.0005", "0.0005", "small"])
    assert small[9].text == "7.00 ± 1.00 % (3)"
    assert "†" in table.caption  # the Adam runs are known from figure captions
    assert sum("†" in row[-1].text for row in table.rows) == 4


def test_another_network_has_no_published_error(full: Results, targets: Targets) -> None:
    other = make_run("resnet56", error=0.1, options={"depth": 20, "shortcut": True, "width": 1})
    rows = records(table1(replace(full, runs={**full.runs, "resnet56": other}), targets))
    shown = [row for row in rows if row["test error, published"] == "–"]
    assert len(shown) == 1
    assert shown[0]["batch size, published"] == "–"


def test_sharpness_numbers_and_their_correlations(full: Results) -> None:
    entry = {"spearman": 0.9, "runs": 4, "p_value": 0.05}
    nothing = {"spearman": None, "runs": 0, "p_value": None}
    groups = {"all": {"curvature": entry, "level_width": nothing}, "vgg9": {"curvature": {**entry, "runs": 8}}}
    sharp = {**full.sharpness, "correlation": groups["all"], "correlation_groups": groups}
    sharp["spread"] = {"vgg9": {"seeds": 3, "level_radius": 0.012}}
    sharp["grid"] = [51, 51]
    results = replace(full, sharpness=sharp)
    rows = {row["run"]: row for row in records(sharpness_table(results))}
    assert set(rows) == set(full.sharpness["runs"])
    assert float(rows["vgg9"]["radius, loss 0.1 higher"]) == pytest.approx(0.32)
    assert float(rows["vgg9"]["test error"]) == 6.0
    assert rows["resnet20"]["lowest loss without convexity"] == "beyond"
    assert rows["vgg9"]["area of the 0.1 level set"] == "–"
    assert {measure.title for measure in MEASURES.values()} < set(rows["vgg9"])
    assert "51 x 51 points" in sharpness_table(results).caption
    assert "0.32 ± 0.012" in sharpness_table(results).markdown()
    rows = {row["measure"]: row for row in records(correlation_table(results))}
    assert list(rows) == [measure.title for measure in MEASURES.values()]
    row = rows["curvature at the centre"]
    assert (row["VGG-9, runs"], row["all, correlation"]) == ("8", "0.9")
    assert row["ResNet-56, correlation"] == rows["width of the 0.1 level set"]["all, correlation"] == "–"


def test_initialization_beside_both_levels(full: Results, targets: Targets) -> None:
    plan = {"probe": {"resnet20": "resnet20", "resnet56": "resnet56", "densenet121": "densenet121"}}
    table = initialization_table(replace(full, planned=plan), targets)
    rows = {row["run"]: row for row in records(table)}
    assert float(rows["resnet56"]["initial loss, Li"]) == pytest.approx(2.35)
    assert float(rows["resnet56"]["with running statistics, Li"]) == pytest.approx(2.3)
    assert rows["densenet121"]["with running statistics, Glorot"] == "not run"
    assert float(rows["resnet56"]["level of the paper"]) == targets.claim_number("init_below_2_5")
    assert float(rows["resnet56"]["lowest non-convex loss"]) == 4.0
    assert rows["resnet20"]["lowest non-convex loss"] == "beyond"
    assert rows["densenet121"]["initial loss, Li"] == "not run"
    assert "2.35 ± 0.05" in table.markdown()


def test_the_deepest_networks_by_learning_rate(full: Results) -> None:
    rows = records(trainability_table(full))
    assert len(rows) == len((CONTROL, *DEEP))
    assert float(rows[0]["training error"]) == 2.0
    assert {float(row["training error"]) for row in rows[1:]} == {90.0}
    planned = {**full.planned_runs}
    gone = replace(full, runs={}, planned_runs=planned)
    assert {row["status"] for row in records(trainability_table(gone))} == {"not run"}
    assert not trainability_table(replace(gone, planned_runs={})).rows


def test_condition_numbers_side_by_side(full: Results) -> None:
    rows = {row["run"]: row for row in records(condition_table(full))}
    assert (float(rows["vgg9"]["slice"]), float(rows["vgg9"]["full Hessian, at least"])) == (2.0, 500.0)
    skipped = {**make_probe("vgg9"), "condition": None, "status": "skipped"}
    rows = {row["run"]: row for row in records(condition_table(replace(full, probes={"vgg9": skipped})))}
    assert rows["vgg9"]["slice"] == "not run"


def test_gradients_at_the_centre_and_far_away(full: Results) -> None:
    rows = [row for row in records(gradient_table(full)) if row["run"] == "resnet56_noshort"]
    assert [row["point"] for row in rows] == ["centre", "(0.75, 0)", "(-0.75, 0)", "(0, 0.75)", "(0, -0.75)"]
    assert [float(row["mean cosine"]) for row in rows] == [0.01] * 5
    assert rows[0]["mini-batches"] == "8 of 32"


def test_cosines_with_and_without_the_root(full: Results) -> None:
    row = next(row for row in records(cosine_table(full)) if row["run"] == "vgg9")
    assert float(row["sqrt(2 / (pi n))"]) ** 2 == pytest.approx(float(row["2 / (pi n)"]))
    assert float(row["mean |cos|"]) == pytest.approx(0.02523, rel=1e-3)
    normalized = ("filter-normalized mean |cos|", "its standard error", "its effective dimensions")
    assert [float(row[name]) for name in normalized] == [0.04, 0.003, 400.0]
    skipped = {**make_probe("vgg9"), "random_cosine": None}
    table = cosine_table(replace(full, probes={"vgg9": skipped}))
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_rescalings_and_slices(full: Results) -> None:
    rows = records(rescaling_table(full))
    assert [row["rescaling"] for row in rows] == ["one layer x 10, next / 10", "filters x 100"]
    assert float(rows[0]["line without normalization"]) == 300
    end, start = records(slice_table(full))
    assert (end["point"], float(end["non-convex slices"]), float(end["p value"])) == ("after training", 0.0, 0.4)
    assert (start["point"], float(start["non-convex slices"])) == ("at initialization", 60.0)
    assert (float(start["training loss"]), float(start["slices beyond the spectrum"])) == (2.3, 0.0)
    assert float(start["its standard error"]) == 0.04


def test_condition_numbers_of_a_whole_spectrum_are_lower_bounds(full: Results) -> None:
    end, start = (row[-1].text for row in slice_table(full).rows)
    assert (end, start) == ("at least 1.4e+13 (singular to rounding)", "at least 500")
    item = full.slices["small"]
    regular = replace(item, info={**item.info, "start": None, "condition": {"full": 6e12}})  # 1 / (2 n eps) is 7e12
    assert [row[-1].text for row in slice_table(replace(full, slices={"small": regular})).rows] == ["at least 6e+12"]
    unknown = replace(item, info={**item.info, "start": None, "condition": {"full": None}})
    assert [row[-1].text for row in slice_table(replace(full, slices={"small": unknown})).rows] == ["–"]


def test_tables_of_unplanned_studies_are_left_out(full: Results, results: Results, targets: Targets) -> None:
    names = [table.id for table in all_tables(full, targets)]
    assert names[:3] == ["table-1", "table-2", "vgg9-errors"]
    assert {"sharpness-numbers", "initialization", "deepest-networks", "condition-numbers"} <= set(names)
    assert len(set(names)) == len(names)
    small = [table.id for table in all_tables(results, targets)]
    assert small == ["table-1", "table-2", "vgg9-errors", "test-errors", "all-runs"]
    for table in all_tables(with_sharpness(full, "vgg9", curvature=None), targets):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_what_shows_a_claim_is_a_figure_or_a_table_and_no_two_share_an_id(full: Results, targets: Targets) -> None:
    sharp = {**full.sharpness, "correlation": {"curvature": {"spearman": 0.9, "runs": 4, "p_value": 0.05}}}
    tables = [table.id for table in all_tables(with_connections(replace(full, sharpness=sharp)), targets)]
    assert "sharpness-correlation" in tables
    assert not set(tables) & {*FIGURES, "claims", "checks", "data", "figures", "tables", "reading"}
    assert {place for rule in RULES.values() for place in rule.shown} <= {*tables, *FIGURES}
