"""Settings of curves, planes through three points, cycles and ensembles: what is refused, and what presets give."""

import copy
from functools import cache
from pathlib import Path

import pytest
import yaml

from lossatlas.config import ConfigError, compose, validate

CONF = Path(__file__).parents[1] / "conf"
SEEDS = ("", "_seed1", "_seed2")


@cache
def composed(preset):
    return compose(CONF, [f"preset={preset}"])


@cache
def smoke():
    return yaml.safe_load(composed("smoke")[1])


def changed(path, value):
    """The preset `smoke` with one value changed: a path of keys and list positions."""
    values = copy.deepcopy(smoke())
    node = values
    *keys, last = path.split("/")
    for key in keys:
        node = node[int(key) if isinstance(node, list) else key]
    node[int(last) if isinstance(node, list) else last] = value
    return values


def refusal(values):
    with pytest.raises(ConfigError) as caught:
        validate(values, source="here")
    text = str(caught.value)
    assert "\n" not in text
    return text


def renamed(values, old, new):
    """The same settings with an ensemble under another name."""
    values["ensembles"][new] = values["ensembles"].pop(old)
    return values


def test_what_is_changed_below_is_valid_before():
    params = validate(smoke(), source="here")
    assert set(params.curves) == {"vgg9_segment", "vgg9_bezier"} and set(params.fges) == {"vgg9"}


BEZIER, SEGMENT, PLANE, CYCLES = "curves/vgg9_bezier", "curves/vgg9_segment", "planes3/vgg9_bezier", "fges/vgg9"
IND, SSE, FGE = (f"ensembles/vgg9-digits-{method}" for method in ("ind", "sse", "fge"))
# per change: the key, the value, what is allowed or what to do
REFUSED = {
    # curves
    f"{BEZIER}/start": ("nobody", ["curves.vgg9_bezier.start = 'nobody'", "known: resnet20, "]),
    f"{BEZIER}/end": ("vgg9", ["start and end are both 'vgg9'", "name another end"]),
    f"{BEZIER}/bends": (0, ["bends = 0 of a bezier", "at least 1"]),
    f"{SEGMENT}/bends": (2, ["bends = 2 of a segment", "has none"]),
    f"{BEZIER}/train": (None, ["train is null for a bezier", "a chain or bezier has one"]),
    f"{SEGMENT}/free_ends": (True, ["free_ends = True of a segment", "take false"]),
    f"{BEZIER}/kind": ("spline", ["curves.vgg9_bezier.kind", "'segment', 'chain' or 'bezier'", "spline"]),
    f"{BEZIER}/points": (1, ["curves.vgg9_bezier.points", "greater than or equal to 2", "1"]),
    f"{BEZIER}/refresh_batch_size": (1, ["curves.vgg9_bezier.refresh_batch_size", "greater than or equal to 2", "1"]),
    f"{BEZIER}/statistics": ([], ["curves.vgg9_bezier.statistics", "at least 1 item"]),
    f"{SEGMENT}/statistics": (["frozen", "frozen"], ["statistics = ['frozen', 'frozen']", "name each once"]),
    f"{SEGMENT}/end": (
        "resnet20",
        ["curves.vgg9_segment: vgg9 and resnet20 differ in family ('vgg', 'resnet')", "take runs of one network"],
    ),
    f"{BEZIER}/train/normalization": (
        "cifar",
        ["curves.vgg9_bezier.train.normalization = 'cifar'", "its ends have 'li': take that"],
    ),
    # points and planes
    f"{PLANE}/through/0/run": ("nobody", ["planes3.vgg9_bezier.through[0].run = 'nobody'", "known: "]),
    f"{PLANE}/through/0": ({"run": "vgg9", "curve": "vgg9_bezier"}, ["run = 'vgg9' and curve = 'vgg9_bezier'", "name"]),
    f"{PLANE}/through/1": ({}, ["run = None and curve = None", "name one"]),
    f"{PLANE}/through/2": ({"curve": "vgg9_bezier", "bend": 2}, ["through[2].bend = 2", "has 1: name one of 1 to 1"]),
    f"{PLANE}/through/2/curve": ("vgg9_segment", ["through[2].bend = 1", "is a segment", "name a chain or bezier"]),
    f"{PLANE}/through/2/epoch": (1, ["epoch = 1 of curve 'vgg9_bezier'", "name bend, or a run"]),
    f"{PLANE}/through/0/bend": (2, ["bend = 2 of run 'vgg9'", "name epoch, or a curve"]),
    f"{PLANE}/through/1/run": ("vgg9", ["through[0] and through[1] are one point", "three different"]),
    f"{PLANE}/through/1/epoch": (
        1,
        ["through[1].run = 'vgg9_large' at epoch 1", "add it to runs.vgg9_large.train.checkpoints (epochs 0 to 3)"],
    ),
    f"{PLANE}/through/0/epoch": (4, ["through[0].run = 'vgg9' at epoch 4", "epochs 0 to 3"]),
    f"{PLANE}/through": ([{"run": "vgg9"}], ["planes3.vgg9_bezier.through", "at least 3 items"]),
    f"{PLANE}/path": ({"curve": "nothing"}, ["planes3.vgg9_bezier.path.curve = 'nothing'", "known: vgg9_bezier"]),
    f"{PLANE}/margin": (0.0, ["planes3.vgg9_bezier.margin", "greater than 0"]),
    f"{PLANE}/statistics": ("interpolated", ["planes3.vgg9_bezier.statistics", "'frozen' or 'refreshed'"]),
    "planes/resnet20_epoch1/epoch": (2, ["planes.resnet20_epoch1.run = 'resnet20' at epoch 2", "(epochs 0 to 3)"]),
    # cycles
    f"{CYCLES}/run": ("nobody", ["fges.vgg9.run = 'nobody'", "known: "]),
    f"{CYCLES}/start": (4, ["fges.vgg9.run = 'vgg9' at epoch 4", "(epochs 0 to 3)"]),
    f"{CYCLES}/cycle_epochs": (3, ["fges.vgg9.cycle_epochs", "multiple of 2", "3"]),
    f"{CYCLES}/low": (0.5, ["low = 0.5", "below high = 0.02"]),
    # ensembles
    f"{IND}/data": ("mnist", ["ensembles.vgg9-digits-ind.data = 'mnist'", "known: digits"]),
    f"{IND}/budgets": ([["vgg9"], ["nobody"]], ["budgets[1] = 'nobody'", "known: "]),
    f"{IND}/method": ("bagging", ["ensembles.vgg9-digits-ind.method", "'sse'", "bagging"]),
    f"{IND}/budget_epochs": (7, ["vgg9-digits-ind.budgets[0] trains 3 epochs", "a budget has 7", "change one"]),
    f"{SSE}/snapshots": (2, ["vgg9_sse has 3 epochs", "2 snapshots do not divide", "multiple of 2"]),
    f"{SSE}/budgets": (
        [["vgg9"]],
        ["vgg9 has schedule = 'step_drops' with cycles = None", "sse needs 'cosine_cycles' with cycles = 3"],
    ),
    f"{FGE}/budgets": ([["vgg9_sse"]], ["vgg9-digits-fge.budgets[0] = 'vgg9_sse'", "known: vgg9"]),
}


@pytest.mark.parametrize("path", REFUSED)
def test_impossible_settings_are_refused_by_key_value_bound_and_remedy(path):
    value, words = REFUSED[path]
    text = refusal(changed(path, value))
    assert all(word in text for word in words), text
    # the way to what is wrong
    assert path.split("/")[0] in text and path.split("/")[1] in text, text


def test_a_run_counts_once_in_an_ensemble():
    text = refusal(changed(f"{IND}/budgets", [["vgg9"], ["vgg9"]]))
    assert "ensembles.vgg9-digits-ind.budgets has 'vgg9' twice" in text and "name another run" in text
    # not even within one budget
    values = changed(f"{IND}/budgets", [["vgg9", "vgg9"]])
    values["ensembles"]["vgg9-digits-ind"]["budget_epochs"] = 6
    assert "has 'vgg9' twice" in refusal(values)


def test_a_budget_may_be_of_several_runs():
    values = changed(f"{IND}/budgets", [["vgg9", "vgg9_large"]])
    values["ensembles"]["vgg9-digits-ind"]["budget_epochs"] = 6
    assert validate(values, source="here").ensembles["vgg9-digits-ind"].budgets == [["vgg9", "vgg9_large"]]


def test_cycles_without_a_member_are_refused():
    values = changed(f"{CYCLES}/cycle_epochs", 8)
    assert "take at least 4" in refusal(values)
    values["fges"]["vgg9"]["epochs"] = 4
    values["ensembles"]["vgg9-digits-fge"]["budget_epochs"] = 5
    validate(values, source="here")


def test_all_points_of_an_ensemble_or_plane_are_of_one_network():
    values = changed("runs/vgg9_large/model/options/base_width", 16)
    values["curves"] = {}
    values["planes3"] = {}
    text = refusal(values)
    assert "ensembles.vgg9-digits-ind: vgg9 and vgg9_large differ in options" in text
    values = changed(f"{PLANE}/through/1", {"run": "resnet20"})
    text = refusal(values)
    assert "planes3.vgg9_bezier: vgg9 and resnet20 differ in family ('vgg', 'resnet')" in text
    # a path too
    values = changed(f"{PLANE}/path", {"run": "resnet20"})
    assert "planes3.vgg9_bezier: vgg9 and resnet20 differ in family" in refusal(values)


def test_options_that_are_left_out_are_their_defaults():
    values = changed("runs/vgg9_large/model/options", {"depth": 9, "variant": "li", "base_width": 8})
    assert values["runs"]["vgg9"]["model"]["options"] != values["runs"]["vgg9_large"]["model"]["options"]
    validate(values, source="here")


def test_an_ensemble_has_the_data_of_its_runs():
    values = changed("datasets/more", dict(smoke()["datasets"]["digits"]))
    values["ensembles"]["vgg9-digits-ind"]["data"] = "more"
    text = refusal(renamed(values, "vgg9-digits-ind", "vgg9-more-ind"))
    assert "budgets[0]: vgg9 is of digits, the ensemble of more; name a run of more" in text


def test_snapshots_that_are_not_kept_are_refused():
    text = refusal(changed("runs/vgg9_sse/train/checkpoint_every", 2))
    assert "budgets[0] = 'vgg9_sse' at epoch 1, which that run does not keep" in text
    assert "add it to runs.vgg9_sse.train.checkpoints (epochs 0 to 3)" in text


def test_one_cycle_is_what_single_cycle_wants():
    values = renamed(changed(f"{SSE}/method", "single_cycle"), "vgg9-digits-sse", "vgg9-digits-single_cycle")
    words = "has schedule = 'cosine_cycles' with cycles = 3; single_cycle needs 'cosine_cycles' with cycles = 1"
    assert words in refusal(values)
    values["runs"]["vgg9_sse"]["train"]["schedule_options"]["cycles"] = 1
    validate(values, source="here")


def test_snapshots_without_cycles_are_of_a_training_without_cycles():
    values = renamed(changed(f"{SSE}/method", "nocycle"), "vgg9-digits-sse", "vgg9-digits-nocycle")
    text = refusal(values)
    assert "budgets[0]: vgg9_sse has schedule = 'cosine_cycles'; nocycle takes" in text
    assert "name a run with another schedule, or take method sse" in text
    # at equal distances of any other training
    values["ensembles"]["vgg9-digits-nocycle"]["budgets"] = [["vgg9"]]
    validate(values, source="here")


def twins(**train):
    """The preset with `vgg9_large` trained as `vgg9` is, with its seed, but for these settings."""
    values = copy.deepcopy(smoke())
    values["runs"]["vgg9_large"] = copy.deepcopy(values["runs"]["vgg9"])
    values["runs"]["vgg9_large"]["train"] |= train
    return values


def without(values, *groups):
    return values | {group: {} for group in groups}


def test_two_members_are_not_two_names_of_one_training():
    # which weights are kept, and the words of a model, say nothing of how it is trained
    values = without(twins(checkpoint_every=None, checkpoints=[2]), "curves", "planes3")
    values["runs"]["vgg9_large"]["model"]["title"] = "another title"
    values["runs"]["vgg9_large"]["model"]["options"] = {"depth": 9, "variant": "li", "base_width": 8}
    for budgets, epochs in ([["vgg9"], ["vgg9_large"]], 3), ([["vgg9", "vgg9_large"]], 6):
        values["ensembles"]["vgg9-digits-ind"] |= {"budgets": budgets, "budget_epochs": epochs}
        text = refusal(values)
        assert "ensembles.vgg9-digits-ind: vgg9 and vgg9_large are two names of one training" in text
        assert "seed = 0 are equal" in text and "give runs.vgg9_large.seed another value" in text
    values["runs"]["vgg9_large"]["seed"] = 1
    validate(values, source="here")


def test_a_common_seed_is_refused_before_it_makes_every_repeat_the_same():
    with pytest.raises(ConfigError) as caught:
        compose(CONF, ["preset=default", "seed=1"])
    assert "vgg16 and vgg16_seed1 are two names of one training" in str(caught.value)
    assert "give runs.vgg16_seed1.seed another value" in str(caught.value)


def test_two_budgets_of_cycles_do_not_branch_from_one_training():
    values = without(twins(), "curves", "planes3")
    values["ensembles"]["vgg9-digits-ind"]["budgets"] = [["vgg9"]]
    values["fges"]["vgg9_b"] = {**values["fges"]["vgg9"], "run": "vgg9_large", "seed": 1}
    values["ensembles"]["vgg9-digits-fge"]["budgets"] = [["vgg9"], ["vgg9_b"]]
    text = refusal(values)
    assert "ensembles.vgg9-digits-fge: vgg9 and vgg9_large are two names of one training" in text
    # nor from one run
    values["fges"]["vgg9_b"]["run"] = "vgg9"
    text = refusal(values)
    assert "ensembles.vgg9-digits-fge: vgg9 and vgg9_b branch from one training, vgg9" in text
    assert "give fges.vgg9_b.run another run" in text
    values["fges"]["vgg9_b"]["run"] = "vgg9_large"
    values["runs"]["vgg9_large"]["seed"] = 1
    validate(values, source="here")


def test_the_ends_of_a_curve_are_two_trainings():
    text = refusal(without(twins(), "ensembles"))
    assert "curves.vgg9_segment: vgg9 and vgg9_large are two names of one training" in text
    assert "give runs.vgg9_large.seed another value" in text


def test_points_of_a_plane_are_not_one_training_at_one_epoch():
    values = without(twins(), "ensembles", "curves")
    values["planes3"]["vgg9_bezier"] |= {"path": None, "through": [{"run": "vgg9_sse"}, {"run": "vgg9"}]}
    through = values["planes3"]["vgg9_bezier"]["through"]
    through.append({"run": "vgg9_large"})
    text = refusal(values)
    assert "planes3.vgg9_bezier.through: vgg9 and vgg9_large are two names of one training" in text
    through[2] = {"run": "vgg9_large", "epoch": 1}
    validate(values, source="here")
    # the last epoch is also the one that no epoch means
    through[2] = {"run": "vgg9", "epoch": 3}
    text = refusal(values)
    assert "through[2] is vgg9 at epoch 3 once more" in text and "name another epoch or run" in text


@pytest.mark.parametrize("bend", [1, 2])
def test_a_path_is_a_whole_curve_without_a_bend(bend):
    text = refusal(changed(f"{PLANE}/path", {"curve": "vgg9_bezier", "bend": bend}))
    assert f"planes3.vgg9_bezier: path.bend = {bend}; a path is the whole curve: leave bend out" in text


NAMES = {  # what an ensemble is called: what it is to be called
    "vgg9-digits": "vgg9-digits-ind or vgg9-digits-single",
    "vgg9-digits-sse2": "vgg9-digits-ind or vgg9-digits-single",
    "vgg9-digits-nocycle": "vgg9-digits-ind or vgg9-digits-single",
    "vgg9-cifar10-ind": "vgg9-digits-ind or vgg9-digits-single",
    "vgg16-digits-ind": "vgg9-digits-ind or vgg9-digits-single",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_ensemble_bears_the_name_that_tables_look_for(name):
    text = refusal(renamed(copy.deepcopy(smoke()), "vgg9-digits-ind", name))
    assert f"ensembles.{name} has network = 'vgg9', data = 'digits' and method = 'ind'" in text
    assert f"call it {NAMES[name]}" in text


@pytest.mark.parametrize("name", ["single", "snapshot01", "snapshot02"])
def test_an_ensemble_may_bear_the_names_of_the_other_table(name):
    old = "vgg9-digits-ind" if name == "single" else "vgg9-digits-sse"
    params = validate(renamed(copy.deepcopy(smoke()), old, f"vgg9-digits-{name}"), source="here")
    assert f"vgg9-digits-{name}" in params.ensembles and old not in params.ensembles


def test_members_are_of_the_network_by_their_names():
    values = copy.deepcopy(smoke())
    for name in ("other", "vgg91"):
        values["runs"][name] = {**values["runs"]["vgg9_large"], "seed": 5}
        values["ensembles"]["vgg9-digits-ind"]["budgets"] = [["vgg9"], [name]]
        text = refusal(values)
        assert f"vgg9-digits-ind.budgets[1] = '{name}' is not of network = 'vgg9' by its name" in text
        assert "name members vgg9, vgg9_... or huang_vgg9..., or change network" in text
    values["runs"]["huang_vgg9_other"] = values["runs"]["other"]
    values["ensembles"]["vgg9-digits-ind"]["budgets"] = [["vgg9"], ["huang_vgg9_other"]]
    validate(values, source="here")


@pytest.mark.parametrize("preset", ["cifar-mini/modes", "a", "a/b-1", "A1_/2"])
def test_a_preset_may_lie_below_another(preset):
    assert validate(smoke() | {"preset": preset}, source="here").preset == preset


@pytest.mark.parametrize(
    "preset", ["../x", "a/../b", "/a", "a//b", "a/", "..", "a/..", "a/b/c", "a\\b", "", "a/b\n", "."]
)
def test_a_preset_is_no_path_to_elsewhere(preset):
    with pytest.raises(ConfigError, match="preset: .*pattern"):
        validate(smoke() | {"preset": preset}, source="here")


@pytest.mark.parametrize("preset", ["cifar-mini/modes", "paper"])
def test_a_seed_has_the_network_and_rates_of_its_base_run(preset):
    params = composed(preset)[0]
    seeds = [name for name in params.runs if name.rpartition("_")[2] in ("seed1", "seed2") and "_" in name]
    pairs = [(name, name.rpartition("_")[0]) for name in seeds if name.rpartition("_")[0] in params.runs]
    budgets = {name for ensemble in params.ensembles.values() for budget in ensemble.budgets for name in budget}
    assert {name for name, _ in pairs} >= {name for name in budgets & set(params.runs) if "_seed" in name}
    for name, base in pairs:
        one, other = (params.runs[run] for run in (name, base))
        # which weights are kept may differ: a path is drawn of the base run alone
        aside = {"seed": True, "train": {"checkpoints", "checkpoint_every"}}
        assert one.model_dump(exclude=aside) == other.model_dump(exclude=aside), name
        assert one.seed == int(name[-1]) and other.seed == 0, name
    for name, cycles in params.fges.items():
        if not name.endswith(("_seed1", "_seed2")):
            continue
        base = params.fges[name.rpartition("_")[0]]
        assert cycles.model_dump(exclude={"run", "seed"}) == base.model_dump(exclude={"run", "seed"}), name
        assert cycles.run == name and cycles.seed == int(name[-1])


@pytest.mark.parametrize("preset", ["cifar-mini/modes", "paper"])
def test_a_network_has_one_budget_whatever_the_method(preset):
    ensembles = composed(preset)[0].ensembles
    networks = {(ensemble.network, ensemble.data) for ensemble in ensembles.values()}
    for network, data in networks:
        of_one = [ensembles[f"{network}-{data}-{method}"] for method in ("ind", "sse", "fge")]
        assert len({ensemble.budget_epochs for ensemble in of_one}) == 1
        assert [ensemble.method for ensemble in of_one] == ["ind", "sse", "fge"]
        assert all(len(ensemble.budgets) >= 2 for ensemble in of_one), "a spread needs two"


def test_the_preset_of_modes_on_real_images_has_all_that_its_figures_need():
    params = composed("cifar-mini/modes")[0]
    networks = {ensemble.network for ensemble in params.ensembles.values()}
    assert networks and all(run.data == "cifar10" for run in params.runs.values())
    for network in networks:
        kinds = [params.curves[f"{network}_{kind}"].kind for kind in ("segment", "chain", "bezier")]
        assert kinds == ["segment", "chain", "bezier"]
        assert {f"{network}_{plane}" for plane in ("optima", "chain", "bezier", "sse")} <= set(params.planes3)
        # the straight segment is shown both ways
        assert params.curves[f"{network}_segment"].statistics == ["interpolated", "refreshed"]
        assert params.curves[f"{network}_bezier"].points == 61
