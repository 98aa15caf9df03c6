"""A small network, and one whose worker dies."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from lossatlas.models import build
from lossatlas.models.initialization import initialize
from lossatlas.randomness import generator


def network(seed=0):
    model = build("resnet", depth=8, base_width=2, num_classes=4, input_size=8)
    initialize(model, scheme="li", generator=generator(seed, "init"))
    return model.eval()


def examples(n=40, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 8, 8, generator=source), torch.randint(0, 4, (n,), generator=source)


class Mortal(nn.Module):
    """Kills the process that it computes in once: in a worker, after some passes."""

    def __init__(self, mark, passes):
        super().__init__()
        self.linear = nn.Linear(3 * 8 * 8, 4)
        self.mark, self.left = str(mark), passes

    def forward(self, images):
        self.left -= 1
        if self.left < 0 and multiprocessing.parent_process() is not None and not os.path.exists(self.mark):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return self.linear(images.flatten(1))


class Cluster:
    """A scheduler and workers as commands of their own, as on a cluster."""

    def __init__(self, folder, workers=1, port=0):
        self._folder, self.processes = folder, []
        file = folder / "scheduler.json"
        file.unlink(missing_ok=True)
        host = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file))
        self.scheduler = self._start("scheduler", *host, "--port", str(port))
        while not file.exists():
            assert self.scheduler.poll() is None, "the scheduler ended"
            time.sleep(0.05)
        one = ("--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", str(folder))
        self.workers = [self._start("worker", *host, *one) for _ in range(workers)]
        self.address = json.loads(file.read_text())["address"]

    def _start(self, *command):
        log = (self._folder / f"{command[0]}.log").open("a")
        module = f"distributed.cli.dask_{command[0]}"
        # as on a machine where nobody thought of threads
        env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        started = subprocess.Popen(
            [sys.executable, "-m", module, *command[1:]], cwd=self._folder, stdout=log, stderr=log, env=env
        )
        log.close()
        self.processes.append(started)
        return started

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
