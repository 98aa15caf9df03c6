"""Runs a small pipeline under random kills, again and again, and compares every output with an undisturbed run.

    python tests/soak.py --minutes 20 --seed 0

The stages run one after the other in forks of a warm process, each in a process group of its own, which is killed at
random moments until the stage is done; in some rounds `lossatlas prefill` is killed first, alone or with its workers.
Only what this program started is killed. Every kill is a line of `kills.jsonl`. The exit code is 1 when a byte differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_cases import REPOSITORY, alive, until
from lossatlas.config import load_params, write_params
from lossatlas.files import sha256_file
from lossatlas.paths import Workspace
from lossatlas.stages.plan import make_task, stage_keys

# reads a folder, a stage and an interval for journals from each line, and runs the stage in a fork of itself
FORKER = """
import os, sys, traceback
from importlib import import_module
from pathlib import Path
import h5py, torch, torch._dynamo
torch.set_num_threads(1)
from lossatlas.config import load_params
from lossatlas.landscape import points
from lossatlas.paths import Workspace
from lossatlas.stages.plan import KINDS
from lossatlas.stages.runner import Runner
from lossatlas.stages.stopping import raise_on_signals
for kind in KINDS:
    import_module(f"lossatlas.stages.{kind}")
print("ready", flush=True)
for line in sys.stdin:
    root, kind, name, flush = line.split()
    number = os.fork()
    if number == 0:
        code = 1
        try:
            os.setsid()
            raise_on_signals()
            points.FLUSH_SECONDS = float(flush)
            place = Workspace(Path(root))
            Runner(place, load_params(place)).publish((kind, name))
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(number, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
"""
PREFILL = "from lossatlas.cli import main\nif __name__ == '__main__': main()"
STOPPED = (-signal.SIGKILL, 128 + signal.SIGTERM)
MOST_ATTEMPTS = 200  # of a stage or a prefill


class DifferentError(AssertionError):
    """Outputs of a disturbed run are not those of an undisturbed one."""


@dataclass
class Soak:
    """A soak run.

    Attributes:
        folder: where everything lies; sources are copied there, so that edits meanwhile do not matter.
        seed: of the moments of the kills.
        only: the stages to disturb, as `kind name`, with all that they need; all of them by default.
        overrides: of the settings.
        every_kind: kill each kind of stage at least once, if a stage has to be made again for it.
    """

    folder: Path
    seed: int = 0
    only: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ("preset=smoke", "tracking.live=false")
    every_kind: bool = False
    kills: Counter = field(default_factory=Counter)
    rounds: int = 0

    def __post_init__(self):
        self.draws = random.Random(self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(REPOSITORY / "src", self.folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.folder / "src")}
        self.environment.pop("LOSSATLAS_SCRATCH", None)
        self.log = (self.folder / "output.log").open("a")
        self.forker = subprocess.Popen(
            [sys.executable, "-c", FORKER],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )
        self._answer("ready")
        self.child = 0

    def close(self):
        """End what still runs."""
        for number in filter(None, (self.child, self.forker.pid)):
            _kill_group(number, signal.SIGKILL)
        self.forker.communicate()
        self.log.close()

    def run(self, *, minutes=0.0, rounds=None, prefills=0.25):
        """Disturb rounds until the time is over, or as many as named; return a line about it."""
        begin = time.monotonic()
        self.durations, calm = {}, self._place("calm")
        for key in self._keys(calm):
            start = time.monotonic()
            self._stage(calm, key, disturbed=False)
            self.durations[key] = time.monotonic() - start
        expected = hashes(calm)
        whole = sum(self.durations.values())
        while self.rounds < rounds if rounds is not None else time.monotonic() - begin < 60 * minutes:
            place = self._place(f"round{self.rounds}")
            if self.draws.random() < prefills:
                self._prefill(place, whole)
            for key in self._keys(place):
                self._stage(place, key)
            found = hashes(place)
            if differing := sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)):
                raise DifferentError(f"{place.root} differs from {calm.root} in {', '.join(differing)}")
            shutil.rmtree(place.root)
            self.rounds += 1
            print(f"round {self.rounds}: identical after {self.told()}", flush=True)
        return f"{self.rounds} rounds, {len(expected)} files each, identical; {self.told()}"

    def told(self):
        """The kills so far, in words."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        return f"{sum(self.kills.values())} kills ({kinds})"

    def _place(self, name):
        place = Workspace(self.folder / name)
        shutil.rmtree(place.root, ignore_errors=True)
        place.root.mkdir()
        (place.root / "dvc.yaml").touch()
        shutil.copytree(REPOSITORY / "conf", place.conf)
        write_params(place, list(self.overrides))
        return place

    def _keys(self, place):
        """The stages in their order."""
        params = load_params(place)
        keys = list(stage_keys(params))
        if not self.only:
            return keys
        wanted = [tuple(text.split()) for text in self.only]
        for key in wanted:
            wanted += [item.key for item in make_task(place, params, key).inputs.values() if item.key not in wanted]
        return [key for key in keys if key in wanted]

    def _stage(self, place, key, *, disturbed=True):
        """Run a stage until it is done, killing it at random moments of its duration, later and later ones."""
        for attempt in range(MOST_ATTEMPTS):
            flush = self.draws.choice((0.0, 0.05, 2.0))
            self.forker.stdin.write(f"{place.root} {key[0]} {key[1]} {flush}\n")
            self.forker.stdin.flush()
            self.child = int(self._answer())
            timer = None
            if disturbed:
                delay = self.draws.uniform(0, self.durations[key] * 1.2 * 1.15**attempt)
                number = signal.SIGTERM if self.draws.random() < 0.15 else signal.SIGKILL
                timer = threading.Timer(delay, _kill_group, (self.child, number))
                timer.start()
            code = int(self._answer())
            self.child = 0
            if timer:
                timer.cancel()
                timer.join()
            if code == 0 and disturbed and self.every_kind and not self.kills[key[0]]:
                self.durations[key] *= 0.7  # the kill came too late
                self._remove(place, key)
                continue
            if code == 0:
                return
            if code not in STOPPED or not disturbed:
                raise RuntimeError(f"stage {' '.join(key)} ended with {code}; see {self.log.name}")
            self._note(key[0], stage=" ".join(key), attempt=attempt, delay=delay, signal=number.name)
        raise RuntimeError(f"stage {' '.join(key)} was not done after {MOST_ATTEMPTS} attempts")

    def _remove(self, place, key):
        """Remove what a stage computed and published."""
        params, (kind, name) = load_params(place), key
        for found in place.scratch.glob(f"stages/{kind}/{name}-*"):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
        for target in (*make_task(place, params, key).outputs.values(), place.side(params.preset, kind, name)):
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    def _prefill(self, place, whole):
        """Kill `lossatlas prefill`, its whole group or the parent alone, until it is done."""
        for attempt in range(MOST_ATTEMPTS):
            process = subprocess.Popen(
                [sys.executable, "-c", PREFILL, "prefill"],
                cwd=place.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                start_new_session=True,
            )
            self.child = process.pid
            delay, group = self.draws.uniform(3, (15 + whole) * 1.15**attempt), self.draws.random() < 0.6
            try:
                code = process.wait(delay)
            except subprocess.TimeoutExpired:
                (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
                code = process.wait()
                until(lambda process=process: not alive(process), 120)  # workers end by themselves
                self._note("prefill", attempt=attempt, delay=delay, signal="SIGKILL", group=group)
            self.child = 0
            if code == 0:
                return
            if code not in STOPPED:
                raise RuntimeError(f"prefill ended with {code}; see {self.log.name}")
        raise RuntimeError(f"prefill was not done after {MOST_ATTEMPTS} attempts")

    def _note(self, kind, **what):
        self.kills[kind] += 1
        with (self.folder / "kills.jsonl").open("a") as stream:
            stream.write(json.dumps({"time": time.time(), "round": self.rounds, **what}) + "\n")

    def _answer(self, expected=None):
        line = self.forker.stdout.readline().strip()
        if not line or expected not in (None, line):
            raise RuntimeError(f"the forking process ended; see {self.log.name}")
        return line


def _kill_group(number, which):
    """Signal the group that a process leads, or the process itself before it leads one."""
    try:
        os.killpg(number, which)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(number, which)


def hashes(place):
    """The hashes of everything published, except for what depends on the time."""
    preset = load_params(place).preset
    folders = (place.artifacts(preset), place.reports(preset))
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(place.root).as_posix(): sha256_file(path) for path in files}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default: a temporary one, removed if all is well")
    parser.add_argument("--only", nargs="*", default=(), metavar="'KIND NAME'", help="stages, with what they need")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lossatlas-soak-")) / "soak"
    soak = Soak(folder.absolute(), seed=options.seed, only=tuple(options.only))
    print(f"working in {folder}", flush=True)
    try:
        print(soak.run(minutes=options.minutes))
    except DifferentError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        soak.close()
    if options.folder is None:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
