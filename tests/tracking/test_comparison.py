"""The comparison of a preset's trainings, in a real browser over a real server."""

import json
import shutil
from urllib.parse import unquote

import pytest

from browser import needs_browser, window
from fault_cases import Place as Checkout
from lossatlas.cli.tracked import ui
from lossatlas.files import write_json
from lossatlas.tracking import Context, collect, common_settings, comparison, params_and_tags, track
from lossatlas.tracking.comparison import MOST_RUNS, Pages, comparison_pages, open_when_served
from lossatlas.tracking.connection import connect

from .cases import write_report, write_train
from .served import serving

NETWORKS = {"resnet20": (20, 0.1), "resnet56": (56, 0.1), "resnet56_noshort": (56, 0.01)}


def settings(depth, lr):
    train = {"epochs": 4, "lr": lr, "optimizer": "sgd", "schedule_options": {"cycles": None, "factor": 0.1}}
    model = {"family": "resnet", "options": {"depth": depth}}
    return {"run": {"data": "digits", "seed": 0, "model": model, "train": train}, "device": "cpu"}


def test_names_are_short_and_differ():
    assert params_and_tags(settings(20, 0.1), {}) == (
        {
            "data": "digits",
            "seed": "0",
            "family": "resnet",
            "depth": "20",
            "epochs": "4",
            "lr": "0.1",
            "optimizer": "sgd",
            "factor": "0.1",
            "device": "cpu",
        },
        {},
    )
    twice, _ = params_and_tags({"run": {"seed": 1, "train": {"seed": 2}}}, {})
    assert twice == {"run.seed": "1", "run.train.seed": "2"}


def test_what_all_share_is_a_tag_and_what_differs_a_param():
    all_settings = [settings(*network) for network in NETWORKS.values()]
    params, tags = params_and_tags(all_settings[1], common_settings(all_settings))
    assert params == {"depth": "56", "lr": "0.1"}
    assert tags["lossatlas.setting.epochs"] == "4" and "lossatlas.setting.lr" not in tags
    assert common_settings(all_settings[:1]) == {}  # with a single one there is nothing to compare


def publish(place, names=tuple(NETWORKS)):
    """Track trainings and a report; return the options of the experiment."""
    all_settings = {name: settings(*NETWORKS[name]) for name in names}
    common = common_settings(all_settings.values())
    context = {}
    for i, (name, each) in enumerate(all_settings.items()):
        write_train(place.workspace, name, settings=each, stage_hash=f"{i}" * 64)
        context["train", name] = Context(("Li et al. 2018, Figure 5",), (f"plane {name}", f"probe {name}"), common)
    folder = place.workspace.artifacts("default", "train", names[0])
    write_json(folder / "run.json", {"title": "<img src=x onerror=alert(1)>", "family": "resnet", "final": {}})
    write_report(place.workspace)
    options = place.options | {"experiment": "lossatlas default"}
    track(collect(place.workspace, "default", stages=list(context), context=context), **options)
    return options


def test_the_pages_name_the_trainings_of_the_preset(place):
    options = publish(place)
    pages = comparison_pages(preset="default", **options)
    head, _, tail = pages.side_by_side.partition("&experiments=")
    assert head.startswith("/#/compare-runs?runs=")
    found = set(json.loads(unquote(head.partition("runs=")[2])))
    names = "select run_uuid from tags where key = 'lossatlas.kind' and value = 'train'"
    assert found == {run for (run,) in place.rows(names)} and len(found) == 3
    ((number,),) = place.rows("select experiment_id from experiments where name = 'lossatlas default'")
    assert json.loads(unquote(tail)) == [str(number)]
    assert pages.curves == f"/#/experiments/{number}/runs?searchFilter=" + (
        "tags.%60lossatlas.kind%60%20%3D%20%27train%27&compareRunsMode=CHART"
    )
    other = comparison_pages(preset="smoke", **options)  # too few for a comparison: the list
    assert other == Pages(pages.curves.removesuffix("&compareRunsMode=CHART"), pages.curves)


def test_an_outdated_run_is_not_compared(place):
    options = publish(place)
    session = connect(**options)
    session.log(session.runs(name="resnet20")[0].info.run_id, tags={"lossatlas.superseded": "true"})
    page = comparison_pages(preset="default", **options).side_by_side
    assert len(json.loads(unquote(page.partition("runs=")[2].partition("&")[0]))) == 2


def test_too_many_runs_are_a_list(place, monkeypatch):
    options = publish(place)
    assert MOST_RUNS > 3
    monkeypatch.setattr(comparison, "MOST_RUNS", 2)
    assert "compare-runs" not in comparison_pages(preset="default", **options).side_by_side


def test_runs_say_what_shows_and_what_uses_them(place):
    publish(place)
    tags = dict(
        place.rows(
            "select key, value from tags where run_uuid = (select run_uuid from runs where name = 'train resnet56')"
        )
    )
    assert tags["lossatlas.papers"] == "Li et al. 2018, Figure 5"
    assert tags["lossatlas.serves"] == "plane resnet56, probe resnet56"
    note = tags["mlflow.note.content"].splitlines()
    assert note[2:] == [
        "- In the papers: Li et al. 2018, Figure 5",
        f"- Stage `train resnet56` of preset `default`, hash `{'1' * 16}`",
        "- Files: `artifacts/default/train/resnet56`",
        "- Again: `lossatlas stage train resnet56`",
        "- Used by: `plane resnet56`, `probe resnet56`",
    ]


@pytest.mark.parametrize(("shown", "opened"), [({}, False), ({"DISPLAY": ":0"}, True)])
def test_a_page_is_opened_where_there_is_a_screen(monkeypatch, shown, opened):
    calls = []
    monkeypatch.setattr(comparison.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in shown.items():
        monkeypatch.setenv(name, value)

    class Answer:
        def close(self):
            pass

    monkeypatch.setattr(comparison.urllib.request, "urlopen", lambda *_, **__: Answer())
    monkeypatch.setattr(comparison.webbrowser, "open", lambda url: calls.append(url) or True)
    assert open_when_served("http://127.0.0.1:5000", "/#/x") is opened
    assert calls == ["http://127.0.0.1:5000/#/x"] * opened


def test_the_command_says_where_to_look(database, tmp_path, monkeypatch, capsys):
    checkout = Checkout(tmp_path / "place")
    monkeypatch.chdir(checkout.workspace.root)
    checkout.workspace.tracking.mkdir()
    shutil.copy(database, checkout.workspace.tracking / "mlflow.db")
    started = []
    monkeypatch.setattr("os.execvpe", lambda *words: started.append(words))
    ui(port=5001, browser=False)
    lines = capsys.readouterr().out.splitlines()
    page = "http://127.0.0.1:5001/#/experiments/2/runs?searchFilter="
    assert lines[0] == "MLflow UI: http://127.0.0.1:5001"
    assert lines[1].startswith(f"trainings of preset smoke side by side: {page}")
    assert lines[2].startswith(f"their curves: {page}") and lines[2].endswith("&compareRunsMode=CHART")
    ((program, words, environment),) = started
    assert program == words[0] and words[words.index("--host") + 1] == "127.0.0.1"
    assert environment["MLFLOW_BACKEND_STORE_URI"].endswith("/tracking/mlflow.db")


@needs_browser
def test_the_comparison_shows_names_parameters_and_curves(place):
    options = publish(place)
    pages = comparison_pages(preset="default", **options)
    with serving(options["uri"], place.workspace.root / "log") as base, window(width=1400, height=1400) as seen:
        page = seen.page
        page.goto(base + pages.side_by_side)
        page.get_by_text("Comparing 3 Runs from 1 Experiment").wait_for(timeout=90_000)
        page.get_by_text("train resnet56_noshort").first.wait_for()
        page.get_by_text("lossatlas.serves").first.wait_for()
        text = page.inner_text("body")
        words = text.partition("Run details")[2]
        assert all(f"train {name}" in words for name in NETWORKS)
        params = words.partition("Parameters\n")[2].partition("Metrics\n")[0].split("Show diff only")[1]
        assert [line.split() for line in params.strip().splitlines()] == [
            ["depth", "20", "56", "56"],
            ["lr", "0.1", "0.1", "0.01"],
        ]
        assert "lossatlas.setting.epochs" in words and "result/final_test_error" in words
        page.goto("about:blank")
        page.goto(base + pages.curves)
        page.get_by_text("3 matching runs").wait_for(timeout=90_000)
        for curve in ("train_loss", "test_error", "weight_norm"):
            page.get_by_placeholder("Search metric charts").fill(f"^{curve}$")
            for name in NETWORKS:  # a line each
                page.get_by_text(f"train {name} ({curve})", exact=True).first.wait_for(state="attached", timeout=90_000)
        assert "report report" not in page.inner_text("body")  # trainings only
        page.goto(base + pages.curves.partition("?")[0] + "/" + connect(**options).runs(name="resnet20")[0].info.run_id)
        page.get_by_text("Used by:").wait_for(timeout=90_000)
        assert page.locator("img[src='x']").count() == 0 and "<img src=x" in page.inner_text("body")
        # MLflow asks its own server for something that it does not have
        # MLflow's own: a file that its server lacks, and a layout that takes two rounds to settle
        theirs = ("404 (Not Found)", "ResizeObserver loop")
        assert [text for text in seen.errors if not any(words in text for words in theirs)] == []
        assert seen.refused == []
