from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lossatlas.models import FAMILIES, build, check_model, check_shape, parameter_count

# parameter_counts of the reference targets: 3x32x32 input, biases and batch norm included.
LI_2018 = {
    2789706: ("vgg", {"depth": 9}),
    6956298: ("densenet", {"depth": 121}),
    272474: ("resnet", {"depth": 20}),
    269722: ("resnet", {"depth": 20, "shortcut": False}),
    855770: ("resnet", {"depth": 56}),
    853018: ("resnet", {"depth": 56, "shortcut": False}),
    1730714: ("resnet", {"depth": 110}),
    1727962: ("resnet", {"depth": 110, "shortcut": False}),
    3412394: ("resnet", {"depth": 56, "width": 2}),
    3401770: ("resnet", {"depth": 56, "width": 2, "shortcut": False}),
    13628234: ("resnet", {"depth": 56, "width": 4}),
    13586506: ("resnet", {"depth": 56, "width": 4, "shortcut": False}),
    54470282: ("resnet", {"depth": 56, "width": 8}),
    54304906: ("resnet", {"depth": 56, "width": 8, "shortcut": False}),
}
GARIPOV_2018 = {  # 10 classes, 100 classes
    (15245130, 15291300): ("vgg", {"depth": 16, "variant": "garipov", "batch_norm": False}),
    (15253578, 15299748): ("vgg", {"depth": 16, "variant": "garipov", "batch_norm": True}),
    (1146842, 1169972): ("preresnet", {"depth": 110}),
    (1703258, 1726388): ("preresnet", {"depth": 164}),
    (36489290, 36546980): ("wide_resnet", {"depth": 28, "widen": 10}),
}
# Not among the targets. By hand for DenseNet-40: the 8,136 input maps of all layers make 9 * 12 * 8,136 weights and
# 2 * 8,136 of batch norm, the stem 432, the transitions 160^2 + 304^2 + 2 * 464, the end 2 * 448 + 4,490: 1,019,722.
# The others agree with the published 7.0 M, 27.2 M and 0.8 M.
DENSENETS = {
    1019722: {"depth": 40, "growth": 12, "bottleneck": False},
    6979642: {"depth": 100, "growth": 12, "bottleneck": False},
    27249082: {"depth": 100, "growth": 24, "bottleneck": False},
    769162: {"depth": 100, "growth": 12, "bottleneck": True},
}


@pytest.mark.parametrize("count", LI_2018)
def test_parameter_counts_of_li_2018(count):
    family, options = LI_2018[count]
    assert parameter_count(build(family, device="meta", **options)) == count


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("counts", GARIPOV_2018)
def test_parameter_counts_of_garipov_2018(counts, classes):
    family, options = GARIPOV_2018[counts]
    model = build(family, device="meta", num_classes=classes, **options)
    assert parameter_count(model) == counts[0 if classes == 10 else 1]


@pytest.mark.parametrize("count", DENSENETS)
def test_parameter_counts_of_the_snapshot_ensembles_densenets(count):
    assert parameter_count(build("densenet", device="meta", **DENSENETS[count])) == count


def test_the_registry_does_not_import_torch():
    code = "import sys; from lossatlas.models import check_model; check_model('vgg', {}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_defaults_are_allowed_and_complete(family):
    options = check_model(family, {})
    assert list(options) == list(FAMILIES[family].options)
    assert check_model(family, options) == options


def test_options_are_completed_and_whole_numbers_taken_as_floats():
    options = check_model("wide_resnet", {"dropout": 0, "depth": 16})
    assert options == {"depth": 16, "widen": 10, "dropout": 0.0, "base_width": 16}
    assert type(options["dropout"]) is float


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("alexnet", {}, r"model family = 'alexnet' is unknown; allowed: vgg, resnet, preresnet, wide_resnet, densenet"),
        ("resnet", {"widen": 2}, r"model resnet: widen = 2 is not an option; allowed: depth, shortcut, width, base_w"),
        (
            "resnet",
            {"depth": 57},
            r"model resnet: depth = 57 is impossible; allowed: 6n\+2 with .*\(8, 14, 20, \.\.\.\)",
        ),
        ("resnet", {"depth": 2}, r"depth = 2 is impossible"),
        ("resnet", {"depth": "20"}, r"model resnet: depth = '20' must be of type int; allowed: 6n\+2"),
        ("resnet", {"width": True}, r"model resnet: width = True must be of type int; allowed: an int of 1 or more"),
        ("resnet", {"width": 0}, r"model resnet: width = 0 is impossible; allowed: an int of 1 or more"),
        ("resnet", {"shortcut": 1}, r"model resnet: shortcut = 1 must be of type bool; allowed: true or false"),
        ("preresnet", {"depth": 56 + 1}, r"model preresnet: depth = 57 is impossible; allowed: 9n\+2"),
        ("wide_resnet", {"depth": 26}, r"model wide_resnet: depth = 26 is impossible; allowed: 6n\+4"),
        ("wide_resnet", {"dropout": 1.0}, r"dropout = 1\.0 is impossible; allowed: a float from 0 up to"),
        ("wide_resnet", {"dropout": float("nan")}, r"dropout = nan is impossible"),
        ("vgg", {"depth": 11}, r"model vgg: depth = 11 is impossible; allowed: 9, 16 or 19"),
        ("vgg", {"variant": "torch"}, r"variant = 'torch' is impossible; allowed: 'li' or 'garipov'"),
        ("vgg", {"batch_norm": False}, r"variant = 'li' always has batch norm, but batch_norm = False"),
        ("vgg", {"variant": "garipov"}, r"variant = 'garipov' has depth 16 or 19, but depth = 9"),
        ("densenet", {"depth": 41}, r"model densenet: depth = 41 is impossible; allowed: 3n\+4"),
        ("densenet", {"depth": 4}, r"model densenet: depth = 4 is impossible; allowed: 3n\+4"),
        ("densenet", {"depth": 43}, r"depth = 43 with bottleneck = True is impossible; allowed: 121 or 6n\+4"),
        ("densenet", {"bottleneck": False}, r"depth = 121 always has bottlenecks, but bottleneck = False"),
    ],
)
def test_errors_name_key_value_and_what_is_allowed(family, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_model(family, options)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        build(family, **options)


@pytest.mark.parametrize(
    ("classes", "size", "message"),
    [
        (0, 32, r"num_classes = 0 is impossible; allowed: an int of 1 or more"),
        (True, 32, r"num_classes = True is impossible"),
        (10, 7, r"input_size = 7 is impossible; allowed: an int of 8 or more"),
        (10, 32.0, r"input_size = 32\.0 is impossible"),
    ],
)
def test_impossible_sizes_are_refused(classes, size, message):
    with pytest.raises(ValueError, match=message):
        check_shape(classes, size)
    with pytest.raises(ValueError, match=message):
        build("vgg", num_classes=classes, input_size=size)


def test_building_leaves_the_global_random_state_alone_and_repeats_itself(small):
    family, options = small
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = build(family, **options)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    second = build(family, **options).state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.state_dict().items())


def test_a_fresh_network_trains_and_has_fresh_buffers(small):
    family, options = small
    model = build(family, **options)
    assert model.training
    for name, buffer in model.named_buffers():
        assert (buffer == (1 if name.endswith("running_var") else 0)).all(), name
    assert all(parameter.isfinite().all() and parameter.requires_grad for parameter in model.parameters())
