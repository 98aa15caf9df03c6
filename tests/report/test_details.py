"""Sentences of captions about estimates."""

from __future__ import annotations

from dataclasses import replace

from synthetic_report import as_sampled

from lossatlas.report.artefacts import Results
from lossatlas.report.figures import details

EXACT = "All values are exact means over these images."


def test_exact_planes_say_so(results: Results) -> None:
    assert details.sampled(list(results.planes.values())) == [EXACT]
    assert EXACT in details.surfaces(list(results.planes.values()), cap=100.0)
    assert details.sampled([]) == []
    assert details.sampled([replace(found, plane=None) for found in results.planes.values()]) == []


def test_estimates_say_from_how_many_images_and_how_far_they_may_lie_off(results: Results) -> None:
    surface = results.planes["resnet20"]
    assert surface.plane is not None
    info = {**surface.info, "sampling": {"rtol": 0.02, "atol": 0.01}}
    estimate = replace(surface, plane=as_sampled(surface.plane, error=0.0123, n=1096), info=info)
    (sentence,) = details.sampled([estimate])
    assert sentence == (
        "99 of 99 values are estimated from samples of the images (1,096 at the median, standard error at most "
        "0.0123), within 0.01 + 2.00 % of the loss at 95 % confidence; the others are exact."
    )
    (sentence,) = details.sampled([surface, estimate])
    assert sentence.startswith("On 1 of 2 planes 99 of 99 values are estimated from samples")
    assert details.surfaces([surface, estimate], cap=100.0)[-1] == sentence


def test_planes_in_another_precision_say_so(results: Results) -> None:
    surface = results.planes["resnet20"]
    assert surface.plane is not None and details.rounded([surface]) == []
    coarse = replace(surface, plane=replace(surface.plane, provenance={"precision": "bfloat16"}))
    assert details.rounded([coarse]) == ["All planes are evaluated in bfloat16, sums in float64."]
    assert details.surfaces([surface, coarse], cap=100.0)[-1].startswith("1 of 2 planes are evaluated in bfloat16")


def test_planes_whose_points_all_became_exact_say_so(results: Results) -> None:
    surface = results.planes["resnet20"]
    assert surface.plane is not None
    info = {**surface.info, "sampling": {"rtol": 0.02, "atol": 0.01}}
    assert details.sampled([replace(surface, plane=as_sampled(surface.plane, error=0.0), info=info)]) == [EXACT]
