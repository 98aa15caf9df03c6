"""The example for Slurm, with a stand-in for `srun` that runs its command here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.test_commands import COMPUTING, FEW
from fault_cases import REPOSITORY, Place, alive, end_session, until

SRUN = '#!/bin/bash\nexec "$@"\n'
PROGRAM = '#!/bin/bash\nexec {python} {command} "$@"\n'


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "examples" / "slurm").glob("*.sbatch")), ids=lambda path: path.name
)
def test_the_scripts_are_bash(path):
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True).stderr == ""
    assert path.read_text().splitlines()[0] == "#!/bin/bash" and "#SBATCH --time=" in path.read_text()


CLIENT = """#!/bin/bash
put_away() { sleep 0.5; kill -0 $(cat scheduler worker) && echo "both are there" > told; exit 143; }
trap put_away TERM
touch ready
while true; do sleep 0.05; done
"""
SERVICE = """#!/bin/bash
echo $$ > "$1"
[ "$1" = worker ] || echo '{"address": "tcp://127.0.0.1:9"}' > "$3"
exec sleep 60
"""


def commands(folder, **programs):
    """Return an environment in which programs are scripts."""
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7"}


def test_a_job_at_its_end_waits_for_the_client_before_it_ends_the_workers(tmp_path):
    python = PROGRAM.format(python=sys.executable, command="")
    env = commands(tmp_path / "bin", lossatlas=CLIENT, dask=SERVICE, srun=SRUN, python=python)
    script = ["bash", str(REPOSITORY / "examples" / "slurm" / "prefill.sbatch")]
    job = subprocess.Popen(script, cwd=tmp_path, env=env, start_new_session=True)
    try:
        until((tmp_path / "ready").exists)
        until((tmp_path / "worker").exists)
        job.terminate()
        assert job.wait(60) == 143
        assert (tmp_path / "told").read_text() == "both are there\n"
        until(lambda: not alive(job))
    finally:
        end_session(job)


def test_a_job_has_the_exit_code_of_its_client(tmp_path):
    python = PROGRAM.format(python=sys.executable, command="")
    env = commands(tmp_path / "bin", lossatlas="#!/bin/bash\nexit 3\n", dask=SERVICE, srun=SRUN, python=python)
    script = ["bash", str(REPOSITORY / "examples" / "slurm" / "prefill.sbatch")]
    assert subprocess.run(script, cwd=tmp_path, env=env, timeout=60, start_new_session=True).returncode == 3


def test_one_job_fills_scratch_with_a_worker_that_offers_a_gpu(tmp_path):
    place = Place(tmp_path / "place", *FEW)
    root = place.workspace.root
    (root / "command.py").write_text(f"{COMPUTING}\nfrom lossatlas.cli import main\nif __name__ == '__main__': main()")
    programs = {
        name: PROGRAM.format(python=sys.executable, command=command)
        for name, command in {"lossatlas": root / "command.py", "python": "", "dask": "-m dask"}.items()
    }
    done = subprocess.run(
        ["bash", str(REPOSITORY / "examples" / "slurm" / "prefill.sbatch")],
        cwd=root,
        env=commands(tmp_path / "bin", srun=SRUN, **programs)
        | {"DASK_HOST": "127.0.0.1", "PYTHONPATH": str(REPOSITORY / "src"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout and "train resnet20: computed" in done.stdout
    assert not Path(root, ".lossatlas", "scheduler-7.json").exists()
    assert list((place.workspace.scratch / "stages" / "plane").glob("resnet20-*/done.json"))
    assert json.loads(next((place.workspace.scratch / "stages" / "train").glob("*/done.json")).read_text())
