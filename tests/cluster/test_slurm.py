"""The example for Slurm, with a stand-in for `srun` that runs its command here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.test_commands import FEW
from fault_cases import REPOSITORY, Place

SRUN = '#!/bin/bash\nexec "$@"\n'
PROGRAM = '#!/bin/bash\nexec {python} {command} "$@"\n'


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "examples" / "slurm").glob("*.sbatch")), ids=lambda path: path.name
)
def test_the_scripts_are_bash(path):
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True).stderr == ""
    assert path.read_text().splitlines()[0] == "#!/bin/bash" and "#SBATCH --time=" in path.read_text()


def test_one_job_fills_scratch_with_a_worker_that_offers_a_gpu(tmp_path):
    place = Place(tmp_path / "place", *FEW)
    root, programs = place.workspace.root, tmp_path / "bin"
    programs.mkdir()
    from cluster.test_commands import COMPUTING

    (root / "command.py").write_text(f"{COMPUTING}\nfrom lossatlas.cli import main\nif __name__ == '__main__': main()")
    known = {"lossatlas": PROGRAM.format(python=sys.executable, command=root / "command.py"), "srun": SRUN}
    known["python"] = PROGRAM.format(python=sys.executable, command="")
    known["dask"] = PROGRAM.format(python=sys.executable, command="-m dask")
    for name, text in known.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(REPOSITORY / "examples" / "slurm" / "prefill.sbatch")],
        cwd=root,
        env=os.environ
        | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DASK_HOST": "127.0.0.1", "SLURM_JOB_ID": "7",
           "PYTHONPATH": str(REPOSITORY / "src"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout and "train resnet20: computed" in done.stdout
    assert not Path(root, ".lossatlas", "scheduler-7.json").exists()
    assert list((place.workspace.scratch / "stages" / "plane").glob("resnet20-*/done.json"))
    assert json.loads(next((place.workspace.scratch / "stages" / "train").glob("*/done.json")).read_text())
