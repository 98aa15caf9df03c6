import pytest
import torch

from lossatlas.engine.foreach import foreach

CALLS = [
    ("norm", (), {}),
    ("zero_", (), {}),
    ("add", ("others",), {"alpha": 0.3}),
    ("add_", ("others",), {"alpha": 0.3}),
    ("copy_", ("others",), {}),
    ("mul", (0.7,), {}),
]


def tensors(seed):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws) for shape in ((5,), (2, 3), ())]


@pytest.mark.parametrize(("name", "given", "options"), CALLS)
def test_a_loop_where_the_private_name_is_missing(monkeypatch, name, given, options):
    found = []
    for missing in (False, True):
        if missing:
            monkeypatch.delattr(torch, f"_foreach_{name}")
        changed, others = tensors(0), tensors(1)
        results = foreach(name)(changed, *[others if g == "others" else g for g in given], **options)
        found.append((changed, changed if name.endswith("_") else list(results)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_lists_of_different_lengths_are_refused(monkeypatch):
    monkeypatch.delattr(torch, "_foreach_add")
    with pytest.raises(ValueError, match="shorter"):
        foreach("add")(tensors(0), tensors(1)[:2])


def test_a_name_that_tensors_do_not_have():
    with pytest.raises(AttributeError, match="nonsense"):
        foreach("nonsense")
