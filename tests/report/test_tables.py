from __future__ import annotations

import csv
import io
from typing import Any

from synthetic_report import ERRORS, changed

from lossatlas.report.artefacts import Results
from lossatlas.report.networks import NETWORKS
from lossatlas.report.tables import error_table, runs_table, table2
from lossatlas.report.tabular import Cell, Table
from lossatlas.report.targets import Targets


def records(table: Table) -> dict[str, dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    return {row[table.columns[0]]: row for row in rows}


def test_table_2_shows_ours_beside_published(results: Results, targets: Targets) -> None:
    rows = records(table2(results, targets))
    published = {(row["model"], row["lr"]): row for row in targets.content["li2018"]["table2_architectures"]}
    first = rows["ResNet-20"]
    assert float(first["test error, ours"]) == 100 * ERRORS["resnet20"]
    assert float(first["test error, published"]) == published["resnet20", 0.1]["test_error"]
    assert float(first["training loss, ours"]) == results.runs["resnet20"].final("train_loss")
    assert float(first["training loss, published"]) == published["resnet20", 0.1]["train_loss"]
    low = rows["ResNet-56-noshort, low rate"]
    assert low["test error, ours"] == "not run"
    assert float(low["test error, published"]) == published["resnet56_noshort", 0.01]["test_error"]
    assert rows["ResNet-110-noshort"]["test error, ours"] == "diverged"
    assert rows["ResNet-110"]["test error, ours"] == "not run"
    assert len(rows) == len(published)


def test_markdown_is_what_is_shown(results: Results, targets: Targets) -> None:
    text = table2(results, targets).markdown()
    assert "| ResNet-20 | 0.1 | 0.1 | 0.02 | 0.017 | 4.00 % | 0.29 % | 8.00 % | 7.37 % |" in text


def test_errors_carry_their_source_and_mark(results: Results, targets: Targets) -> None:
    rows = records(error_table(results, targets))
    assert rows["WRN-56, k = 2"]["source"] == "Li et al. 2018, Figure 6, CIFAR-10†"
    assert rows["WRN-56, k = 8"]["source"] == "Li et al. 2018, Figure 6, CIFAR-10"
    assert rows["VGG-16"]["source"] == "Garipov et al. 2018, Table 1, CIFAR-10"
    assert rows["VGG-9"]["published"] == "6.0"
    assert "†" in error_table(results, targets).caption


def test_another_network_under_a_papers_name_has_its_own_title_and_no_published_number(
    results: Results, targets: Targets
) -> None:
    other = changed(results, "resnet20", title="ResNet-56", options=NETWORKS["resnet56"][1])
    rows = records(table2(other, targets))
    assert "ResNet-20" not in rows
    first = table2(other, targets).rows[0]
    assert [cell.text for cell in first] == ["ResNet-56", "0.1", "–", "0.02", "–", "4.00 %", "–", "8.00 %", "–"]
    titles = [row[0].text for row in error_table(other, targets).rows]
    assert "ResNet-20" not in titles
    assert titles.count("ResNet-56") == 1


def test_the_dagger_is_explained_where_it_is_shown(results: Results, targets: Targets) -> None:
    def documented(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: True if key == "seed" else documented(item) for key, item in node.items()}
        return [documented(item) for item in node] if isinstance(node, list) else node

    assert "†" in error_table(results, targets).caption
    assert "†" not in error_table(results, Targets(documented(targets.content))).caption


def test_all_runs(results: Results, targets: Targets) -> None:
    table = runs_table(results, targets)
    rows = records(table)
    assert list(rows) == list(results.planned_runs)
    row = rows["resnet20"]
    assert row["network"] == "resnet20 (resnet, depth 20, shortcut True, width 1)"
    assert (row["parameters"], row["epochs"], row["updates"], row["batch"]) == ("1000", "12", "48", "128")
    assert (row["stage"], row["status"], float(row["initial loss"])) == ("abcdef01", "finished", 2.3)
    assert rows["resnet110"]["status"] == "not run"
    assert rows["resnet110_noshort"]["status"] == "diverged: loss not finite in epoch 4"
    assert rows["resnet110_noshort"]["test error"] == "diverged"
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_a_bar_in_a_cell_does_not_break_markdown() -> None:
    table = Table("t", "T", "c", ("a",), ((Cell("x|y"),),))
    assert "| x\\|y |" in table.markdown()


def test_a_cell_that_stands_out_is_bold_in_markdown_alone() -> None:
    table = Table("t", "T", "c", ("a",), ((Cell("1|2", 1.5, strong=True),), (Cell("2.0", 2.0),)))
    assert "| **1\\|2** |" in table.markdown()
    assert table.csv() == "a\n1.5\n2.0\n"
