"""The pages in docs/: they build without a warning, name every public name, and say what is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import lossatlas
from repository_copy import copy_repository

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"```\{code-block\} \w+\n:caption: ([^\n]+)\n\n(.*?)```", re.DOTALL)
PLACE = re.compile(r'(?P<file>[^,]+)(?:, (?P<how>after|before) "(?P<line>.+)"|, (?P<end>at the end))?')


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("sphinx", reason="no Sphinx here (pip install lossatlas[docs])")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_pages_build_without_a_warning_and_fetch_nothing(built):
    pages = {page.stem for page in DOCS.glob("*.md")}
    assert pages <= {page.stem for page in built.glob("*.html")}
    # what a browser loads by itself comes with the page
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:[^\"]+)", (built / "index.html").read_text())
    assert loaded == []


def test_every_public_name_is_in_the_reference(built):
    page = (built / "api.html").read_text()
    assert [
        name for name in lossatlas.__all__ if f'class="sig-name descname"><span class="pre">{name}<' not in page
    ] == []


def test_links_between_the_files_of_the_repository_exist():
    for page in [*DOCS.glob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"


def test_commands_in_the_pages_are_commands():
    from lossatlas.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    text = "\n".join(page.read_text() for page in [*DOCS.glob("*.md"), ROOT / "README.md"])
    named = set(re.findall(r"^(?:\$ )?lossatlas ([a-z]+)", text, re.MULTILINE)) | set(
        re.findall(r"`lossatlas ([a-z]+)", text)
    )
    assert named <= known and {"compose", "prefill", "check", "doctor"} <= named


def put(root, caption, code):
    """Do to a copy of the repository what a block's caption says."""
    place = PLACE.fullmatch(caption)
    file = root / place["file"]
    if place["end"]:
        file.write_text(file.read_text() + "\n" + code)
    elif place["how"]:
        lines = file.read_text().splitlines(keepends=True)
        [at] = [i for i, line in enumerate(lines) if line.startswith(place["line"])]
        lines.insert(at + (place["how"] == "after"), code)
        file.write_text("".join(lines))
    else:
        assert not file.exists()
        file.write_text(code)


@pytest.mark.pipeline
def test_the_study_of_the_page_computes_and_is_drawn(tmp_path):
    run = copy_repository(tmp_path)
    page = (DOCS / "adding-a-study.md").read_text()
    for caption, code in BLOCK.findall(page):
        put(tmp_path, caption, code)
    commands = re.findall(r"^\$ (lossatlas .*)$", page, re.MULTILINE)
    assert len(commands) == 5
    small = [
        "sizes.epochs=1",
        "datasets.digits.train=96",
        "runs.resnet20.train.checkpoints=[]",
        "sizes.train_examples=64",
    ]
    for command in commands:
        run(*command.split(), *(small if " compose " in command else []))
    run("dvc", "stage", "list")  # dvc.yaml is well-formed
    done = run(
        sys.executable,
        "-W",
        "error",
        "-c",
        """
import json, math
from lossatlas.config import load_params
from lossatlas.paths import find_workspace
from lossatlas.report.artefacts import read_results
from lossatlas.report.figures.gallery import draw_gallery
from lossatlas.report.targets import load_targets
from lossatlas.stages.plan import make_task
place = find_workspace(); params = load_params(place)
settings = make_task(place, params, ("figures", "all")).settings
folder = place.artifacts(params.preset)
results = read_results(settings, {name: folder / name for name in ("noise/resnet20", "train/resnet20")})
[drawing] = draw_gallery(results, load_targets(), only=["noise"])
found = results.noises["resnet20"]
centre = found["center_train_loss"]
assert math.isclose(found["losses"][0], centre, rel_tol=1e-4), found
drawing.figure.savefig("noise.png")
print(len(drawing.figure.axes[0].lines), len(found["losses"]))
""",
    )
    assert done.stdout.split() == ["1", "4"]
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")
