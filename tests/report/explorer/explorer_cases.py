"""Results with every kind of surface the explorer draws: epochs, eigenvalues, estimates, holes, paths and curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from synthetic_modes import modes_results
from synthetic_report import as_sampled, make_plane
from synthetic_studies import study_hessian, study_results

from lossatlas.report.artefacts import Eigenvalues, Results, Surface
from lossatlas.results import Plane

EPOCHS = (0, 4)


def holed(plane: Plane) -> Plane:
    """The same plane with a value that is not finite and one that overflows float32."""
    losses = plane.train_loss.copy()
    losses[0, 1], losses[2, 0] = np.inf, 1e60
    return replace(plane, train_loss=losses)


def explorer_results() -> Results:
    study, modes = study_results(), modes_results()
    info = {"run": "resnet20", "status": "finished", "reason": "", "samples_train": 256, "samples_test": 128}
    planes = {
        "resnet20": Surface("resnet20", info, make_plane(15, 13)),
        "resnet56": Surface("resnet56", info | {"run": "resnet56"}, as_sampled(make_plane(9, 7), error=0.02, n=96)),
        "vgg9": Surface("vgg9", info | {"run": "vgg9"}, holed(make_plane(9, 7))),
    }
    moments = {
        f"resnet20_epoch{epoch}": Surface(
            f"resnet20_epoch{epoch}",
            info | {"epoch": epoch},
            make_plane(15, 13, loss=lambda x, y, e=epoch: 2 + e + x + y),
        )
        for epoch in EPOCHS
    }
    moments["other_grid"] = Surface("other_grid", info | {"epoch": 2}, make_plane(5, 5))
    return replace(
        study,
        planned_planes={name: name for name in planes},
        planes=planes,
        moments=moments,
        hessians={"resnet20": Eigenvalues("resnet20", info, study_hessian("resnet20"))},
        trajectories={"vgg9": study.trajectories["vgg9"]},
        planes3={"vgg16_bezier": modes.planes3["vgg16_bezier"], "vgg16_sse": modes.planes3["vgg16_sse"]},
        runs={**study.runs, **modes.runs},
    )
