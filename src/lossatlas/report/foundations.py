"""What a report rests on, said plainly: data, seeds, training, grids and machines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lossatlas.report.artefacts import Results
from lossatlas.report.ensembles import FULL
from lossatlas.report.made import Key, Stage
from lossatlas.report.wording import listed
from lossatlas.results import SampledPlane


def foundations(results: Results, stages: Mapping[Key, Stage]) -> list[tuple[str, str]]:
    """Return headwords and sentences about what the results were made with; what is not known is left out."""
    facts = [
        ("Data", _data(results)),
        ("Surfaces", _surfaces(results)),
        ("Seeds", _seeds(results)),
        ("Training", _training(results)),
        ("Machine", _machine(stages.values())),
    ]
    return [(word, text) for word, text in facts if text]


def _data(results: Results) -> str:
    texts = []
    for name, found in results.data.items():
        if "train" not in found:
            continue
        size = (
            f"{found['train']:,} training and {found['test']:,} test images of {' × '.join(map(str, found['shape']))}"
        )
        whole = FULL.get(name)
        part = f", of {whole:,} training images of the whole set" if whole and whole != found["train"] else ""
        texts.append(f"{name}: {size}{part}.")
    if results.regime == "embedded":
        texts.append("These small images come with a library and stand in for the papers' CIFAR images.")
    elif any(found.get("kind") == "imagefolder" for found in results.data.values()):
        texts.append(
            "They were read from a folder of image files: if those were compressed anew (JPEG), pixels differ, and "
            "error rates are not comparable with published ones for that reason too."
        )
    return " ".join(texts)


def _surfaces(results: Results) -> str:
    drawn = [surface for surface in results.planes.values() if surface.plane is not None]
    if not drawn:
        return ""
    images = sorted({int(surface.info["samples_train"]) for surface in drawn if surface.info.get("samples_train")})
    sampled = sum(isinstance(surface.plane, SampledPlane) for surface in drawn)
    exact = f"{len(drawn) - sampled} of {len(drawn)} planes about trained weights are exact over those images"
    rest = ", the others are estimates with standard errors" if sampled else ""
    used = f"Losses on planes are means over {listed(images, word='or')} training images. " if images else ""
    return f"{used}{exact}{rest}."


def _seeds(results: Results) -> str:
    seeds = sorted({int(run.info["seed"]) for run in results.runs.values() if "seed" in run.info})
    if not seeds:
        return ""
    repeated = {re.sub(r"_seed\d+$", "", name) for name in results.runs if re.search(r"_seed\d+$", name)}
    single = len([name for name in results.runs if re.sub(r"_seed\d+$", "", name) not in repeated])
    names = ", ".join(map(str, seeds[:-1])) + " and " * (len(seeds) > 1) + str(seeds[-1])
    words = f"Seed{'s' * (len(seeds) > 1)} {names} over {len(results.runs)} runs."
    if repeated:
        words += f" {len(repeated)} training{'s were' if len(repeated) > 1 else ' was'} repeated with other seeds"
        words += f"; the numbers of the other {single} rest on one." if single else "."
    else:
        words += " Every number rests on one seed."
    return words


def _training(results: Results) -> str:
    settings = [run.train for run in results.runs.values()]
    epochs = sorted({int(train["epochs"]) for train in settings if train.get("epochs")})
    if not epochs:
        return ""
    span = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
    precision = sorted({str(train["precision"]) for train in settings if train.get("precision")})
    kind = f", in {' and '.join(precision)}" if precision else ""
    return f"{span} epochs{kind}. The papers train for 150 to 300 epochs at full width."


def _machine(stages: Iterable[Stage]) -> str:
    found = list(stages)
    devices = sorted({stage.device for stage in found} - {""})
    if not devices:
        return ""
    versions: dict[str, Any] = {}
    for stage in found:
        versions |= stage.versions
    libraries = ", ".join(f"{name} {versions[name]}" for name in ("torch", "numpy") if name in versions)
    return (
        f"Computed on {' and '.join(devices)} with {libraries}. Host, cores and times differ from run to run, so they "
        "are no part of this page: they are tags of the MLflow runs, which “lossatlas track” writes."
    )
