"""The benchmark programs at tiny size: they run, and what they write is whole. Times are never asserted."""

import json
import math

import numpy as np
import pytest


def numbers(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


@pytest.fixture(scope="module")
def bench(scripts):
    import bench

    return bench


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def run(bench, folder):
    """Run a part; ask again, and the entry of the first time is returned."""

    def run(part, *, again=False):
        if again or part not in done:
            fixed = [
                "--tiny",
                "--rounds",
                "1",
                "--workers",
                "1",
                "--out",
                str(folder),
                "--scratch",
                str(folder / "work"),
            ]
            bench.main([part, *fixed])
            done.add(part)
        return json.loads((folder / "bench.json").read_text()), (folder / "bench.md").read_text()

    done = set()
    return run


@pytest.mark.parametrize("part", ["limit", "plane", "hessian", "training", "memory", "scaling", "overhead"])
def test_each_part_writes_its_entry(run, part):
    results, page = run(part)
    entry = results[part]
    assert {"cpu", "cores", "torch", "threads_per_process", "load_at_start"} <= entry["host"].keys()
    assert all(math.isfinite(number) for number in numbers(entry))
    assert f"## {part}" in page
    assert "| what | target | measured | verdict |" in page


def test_workers_give_the_same_bytes_and_a_page_for_the_documentation(run, folder):
    results, _ = run("scaling")
    assert results["scaling"]["same_bytes"] is True
    assert "| 2 workers |" in (folder / "scaling.md").read_text()


def test_the_exact_plane_is_exact(run):
    results, _ = run("plane")
    for network in results["plane"]["networks"].values():
        assert network["largest_relative_difference"] < 1e-5
        assert network["points_of_unequal_accuracy"] == 0
        assert network["points_compared"] == 1


def test_no_stage_that_only_shows_results_loads_torch(run):
    results, _ = run("overhead")
    assert results["overhead"]["light_stages_with_torch"] == 0, results["overhead"]["torch_imported"]


def test_a_plane_stores_its_directions_once(run):
    results, _ = run("memory")
    assert results["memory"]["copies_of_a_direction"] == 1


def test_a_part_leaves_the_entries_of_others(run):
    before, _ = run("hessian")
    after, page = run("limit", again=True)
    assert after["hessian"] == before["hessian"]
    assert page.index("## limit") < page.index("## hessian")


def test_sampled_planes_are_counted_checked_and_resumed(run, monkeypatch):
    import sampled_counts
    from lossatlas.engine.evaluator import Evaluator

    counted = 0
    original = Evaluator.example_values

    def counting(self, name, start=0, stop=None):
        nonlocal counted
        losses, right = original(self, name, start, stop)
        counted += len(losses)
        return losses, right

    monkeypatch.setattr(Evaluator, "example_values", counting)
    results, page = run("sampled")
    case = results["sampled"]["cases"]["tiny"]
    # every image that went through the network is in the account
    assert case["image_evaluations"] == counted
    assert case["checked_points"] == 8
    assert 0 <= case["within_tolerance"] <= 1
    assert case["ratio_of_evaluations"] == case["image_evaluations_of_the_exact_plane"] / counted

    def refuse(*_, **__):
        raise AssertionError("nothing is left to compute")

    monkeypatch.setattr(sampled_counts, "Crew", refuse)
    monkeypatch.setattr(sampled_counts, "plane", refuse)
    again, _ = run("sampled", again=True)
    assert again["sampled"]["cases"] == results["sampled"]["cases"]
    assert "sampled" in page


def test_cases_that_are_not_run_again_stay(bench):
    before = {"rtol": 0.02, "cases": {"small": 1, "large": 2}}
    assert bench.merged(before, {"rtol": 0.02, "cases": {"small": 3}}) == {
        "rtol": 0.02,
        "cases": {"small": 3, "large": 2},
    }


def test_sizes_can_be_changed_one_by_one(bench):
    assert bench.sizes_of("plane", tiny=False, changes={"plane.images": 7})["images"] == 7
    with pytest.raises(ValueError, match=r"--set plane.colour names no size; known: .*plane.images"):
        bench.sizes_of("plane", tiny=False, changes={"plane.colour": 1})


def test_an_unknown_part_is_refused(bench, capsys):
    with pytest.raises(SystemExit):
        bench.main(["plan"])
    assert "plan is no part; parts: limit, plane" in capsys.readouterr().err


def test_verdicts_come_from_the_values(scripts):
    from tables import markdown
    from targets import TARGETS

    spread = {"median": 2.0, "lowest": 1.9, "highest": 2.1, "rounds": 5}
    results = {"plane": {"networks": {"resnet20": {"ratio": spread, "largest_relative_difference": 1e-4}}}}
    lines = markdown(results).splitlines()
    ratio, exact, training = (
        next(line for line in lines if line.startswith(f"| {start}"))
        for start in ("exact plane, ResNet-20: points", "exactness, ResNet-20: largest", "training")
    )
    assert ratio.endswith("| 2 (1.9 to 2.1) x | met |")
    assert exact.endswith("| 0.0001 | not met |")
    assert training.endswith("| not measured | not measured |")
    assert len({target.path for target in TARGETS}) == len(TARGETS)


def test_values_are_paired_by_round(scripts):
    from pairing import in_turn, quotients, spread

    order = []
    results, seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b", "a", "b"]
    assert [len(values) for values in (*results.values(), *seconds.values())] == [2, 2, 2, 2]
    assert quotients([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == {"median": 3.0, "lowest": 2.0, "highest": 4.0, "rounds": 3}
    assert spread([1.0])["median"] == 1.0


def test_a_worker_that_fails_says_why(scripts):
    from crew import Crew
    from limit import Bench

    with Crew(1, Bench) as crew, pytest.raises(RuntimeError, match="has no attribute 'nothing'"):
        crew.run("nothing")


def test_images_repeat_only_with_shifts(scripts):
    import cases

    few, many = cases.images(None, 5), cases.images(None, 3000)
    assert "copies" not in few.source
    assert "copies shifted" in many.source
    assert many.pixels.shape == (3000, 3, 32, 32)
    assert len(many.pixels.flatten(1).unique(dim=0)) > 2900


def test_images_of_an_npz_file(scripts, tmp_path):
    import cases

    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 3
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:4], "test_labels": labels[:4]}
    np.savez(tmp_path / "some.npz", **arrays)
    found = cases.images(str(tmp_path / "some.npz"), 9)
    assert found.source == "images of some.npz"
    np.testing.assert_array_equal(found.pixels.numpy(), pixels[:9].transpose(0, 3, 1, 2))
    assert found.labels.tolist() == labels[:9].tolist()
    assert len(cases.images(str(tmp_path / "some.npz"), 4, split="test")) == 4
    del arrays["test_labels"]
    np.savez(tmp_path / "less.npz", **arrays)
    with pytest.raises(ValueError, match="has no array 'test_labels'; it must hold train_images, train_labels"):
        cases.data_set(str(tmp_path / "less.npz"))


def test_the_gpu_program_runs_without_one_and_goes_on_where_it_was(scripts, tmp_path, capsys):
    import gpu

    file = tmp_path / "gpu.jsonl"
    fixed = ["--device", "cpu", "--tiny", "--rounds", "1", "--out", str(file)]
    gpu.main(["limit", "plane", "products", "training", "synchronizations", "studies", *fixed])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["part"] for line in lines] == ["limit", "plane", "products", "training", "synchronizations", "studies"]
    assert all(math.isfinite(number) for line in lines for number in numbers(line))
    assert lines[1]["relative_difference_of_loss_to_plain"] < 1e-5
    assert list(lines[1]["tried"]) == [f"{p}, batches of 16" for p in ("float32", "tf32", "bfloat16")]
    assert lines[2]["relative_difference"] < 1e-4
    gpu.main(["limit", "members", "agreement", *fixed])
    assert [json.loads(line)["part"] for line in file.read_text().splitlines()][6:] == ["members", "agreement"]
    assert json.loads(file.read_text().splitlines()[-1])["largest_relative_difference_of_eigenvalues"] == 0
    gpu.main(["curves", "--budget", "-1", *fixed])
    assert "no time for curves" in capsys.readouterr().err


def test_what_a_gpu_measured_is_in_the_report(bench, tmp_path):
    line = {"part": "products", "ratio": {"median": 3.5, "lowest": 3.4, "highest": 3.6, "rounds": 5}}
    (tmp_path / "gpu.jsonl").write_text(json.dumps(line) + "\n")
    bench.write(tmp_path, {})
    page = (tmp_path / "bench.md").read_text()
    assert "at least 3 x | 3.5 (3.4 to 3.6) x | met |" in page
    assert json.loads((tmp_path / "bench.json").read_text()) == {}
