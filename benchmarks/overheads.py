"""What is waited for besides computing: imports, the command line, a pipeline with nothing to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cases
from options import Options
from pairing import spread

# what the pipeline and the stages that show results import; none of it needs torch
LIGHT = ("plan", "sharpness", "figures", "check", "report")
_COMMANDS = (
    "cli",
    "stages.planned",
    "stages.runner",
    "stages.prefill",
    "stages.prune",
    "stages.tracked",
    "stages.times",
)

_IMPORT = "import time; begin = time.perf_counter(); import lossatlas; print(time.perf_counter() - begin)"
_LOADED = "import sys, lossatlas.{module}; print(int('torch' in sys.modules))"
_RUN = """
import json, sys
from pathlib import Path
from lossatlas.config import load_params
from lossatlas.paths import find_workspace
from lossatlas.stages.job import Job
from lossatlas.stages.plan import make_task, published
from importlib import import_module
kind, name, out = sys.argv[1:]
workspace = find_workspace()
params = load_params(workspace)
task = make_task(workspace, params, (kind, name))
locate = published(workspace, params.preset)
inputs = {role: locate(item.key) for role, item in task.inputs.items()}
if not all(path.exists() for path in inputs.values()):
    sys.exit(3)
job = Job(name=name, settings=task.settings, inputs=inputs, places=task.places, out=Path(out), work=Path(out))
import_module(f"lossatlas.stages.{kind}").compute(job)
print(int("torch" in sys.modules))
"""
_PRESET = """
import json
from lossatlas.config import load_params
from lossatlas.paths import find_workspace
params = load_params(find_workspace())
print(json.dumps({"preset": params.preset, "datasets": list(params.datasets)}))
"""


def measure(options: Options) -> dict[str, Any]:
    """Return seconds, and which stages load torch."""
    rounds, loaded = options.rounds, _torch(options)
    return {
        "seconds": {
            "import lossatlas": spread([float(_python(_IMPORT)) for _ in range(rounds)]),
            "lossatlas --help": spread([_seconds(_command("lossatlas"), "--help") for _ in range(rounds)]),
            "python, nothing imported": spread([_seconds(sys.executable, "-c", "pass") for _ in range(rounds)]),
        },
        "dvc_repro": _pipeline(options),
        "torch_imported": loaded,
        "light_stages_with_torch": sum(bool(found) for name, found in loaded.items() if not name.endswith("data")),
    }


def _command(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def _environment() -> dict[str, str]:
    return {**os.environ, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}


def _python(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        check=True,
        capture_output=True,
        text=True,
        cwd=cases.ROOT,
        env=_environment(),
    )
    return done.stdout.splitlines()[-1]


def _seconds(*command: str) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=cases.ROOT, env=_environment())
    return time.perf_counter() - begin


def _torch(options: Options) -> dict[str, Any]:
    """Return, per module and per stage that was run on published inputs, whether torch was loaded."""
    found: dict[str, Any] = {}
    for module in (*_COMMANDS, *(f"stages.{kind}" for kind in (*LIGHT, "data"))):
        found[f"import lossatlas.{module}"] = bool(int(_python(_LOADED.format(module=module))))
    kinds = [kind for kind in LIGHT if kind != "plan"]
    datasets = json.loads(_python(_PRESET))["datasets"] if options.sizes["run_stages"] else []
    runs = [*((kind, "all") for kind in kinds), *(("data", name) for name in datasets[:1])] if datasets else []
    for kind, name in runs:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[f"run stage {kind}"] = bool(int(_python(_RUN, kind, name, folder)))
            except subprocess.CalledProcessError as error:
                if error.returncode != 3:
                    raise RuntimeError(error.stderr) from error
                found[f"run stage {kind}"] = None
        options.say(f"stage {kind}")
    return found


def _pipeline(options: Options) -> dict[str, Any]:
    """Time `dvc repro` where there is nothing for it to do."""
    if not options.sizes["dvc"]:
        return {"measured": False, "reason": "not asked for"}
    preset = json.loads(_python(_PRESET))["preset"]
    if preset != "default":
        return {"measured": False, "reason": f"params.yaml has preset {preset}"}
    dvc = _command("dvc")
    status = subprocess.run([dvc, "status", "--quiet"], capture_output=True, cwd=cases.ROOT, env=_environment())
    if status.returncode:
        return {"measured": False, "reason": "the default preset is not published here, or not up to date"}
    return {"measured": True, "seconds": spread([_seconds(dvc, "repro") for _ in range(options.rounds)])}
