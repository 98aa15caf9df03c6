import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lossatlas.data import subset
from lossatlas.data.subsets import class_quotas, stratified_indices

from .made import random_dataset

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any)


@given(COUNTS, st.data())
def test_quotas_are_proportional(counts, data):
    present = [count for count in counts if count]
    total = data.draw(st.integers(len(present), sum(counts)))
    quotas = class_quotas(counts, total=total)
    assert sum(quotas) == total
    assert all(0 <= quota <= count for quota, count in zip(quotas, counts, strict=True))
    assert all(quota > 0 for quota, count in zip(quotas, counts, strict=True) if count)
    shares = [total * count / sum(counts) for count in counts]
    assume(min(share for share in shares if share) >= 1)  # else rare classes are lifted to one image
    assert all(abs(quota - share) < 1 for quota, share in zip(quotas, shares, strict=True))


def test_quotas_by_hand():
    assert class_quotas([50, 30, 20], total=10) == [5, 3, 2]
    assert class_quotas([5, 5, 5], total=7) == [3, 2, 2]
    assert class_quotas([10, 0, 9, 6], total=6) == [2, 0, 2, 2]  # 2.4, 0, 2.16, 1.44: the remainder .44 wins
    assert class_quotas([90, 5, 5], total=3) == [1, 1, 1]  # 2.7, 0.15, 0.15: no class disappears
    for total in (2, 101):
        with pytest.raises(ValueError, match=rf"total = {total} .* 3 \(the classes with images\) to 100"):
            class_quotas([90, 5, 5], total=total)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(0, 2**31), st.data())
def test_stratified_indices(labels, seed, data):
    total = data.draw(st.integers(len(set(labels)), len(labels)))
    tensor = torch.tensor(labels)
    chosen = stratified_indices(tensor, total=total, seed=seed, stream="s")
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    counts = tensor.bincount().tolist()
    assert tensor[chosen].bincount(minlength=len(counts)).tolist() == class_quotas(counts, total=total)
    assert torch.equal(chosen, stratified_indices(tensor, total=total, seed=seed, stream="s"))


def test_choice_depends_on_seed_and_stream_and_is_pinned():
    labels = torch.arange(100) % 2
    chosen = stratified_indices(labels, total=6, seed=0, stream="subset/train").tolist()
    assert chosen == [36, 38, 76, 77, 83, 87]
    assert chosen != stratified_indices(labels, total=6, seed=1, stream="subset/train").tolist()
    assert chosen != stratified_indices(labels, total=6, seed=0, stream="subset/test").tolist()


def test_first():
    dataset = random_dataset(train=12, test=6)
    part = subset(dataset, train=5, test=1)
    assert torch.equal(part.train_images, dataset.train_images[:5])
    assert torch.equal(part.train_labels, dataset.train_labels[:5])
    assert torch.equal(part.test_images, dataset.test_images[:1])
    assert part.classes == dataset.classes


def test_none_keeps_everything():
    dataset = random_dataset()
    assert subset(dataset).fingerprint() == dataset.fingerprint()
    assert subset(dataset, how="stratified", train=12, test=6).fingerprint() == dataset.fingerprint()


def test_stratified_keeps_images_with_their_labels_in_order():
    dataset = random_dataset(train=30, test=9, classes=3)
    part = subset(dataset, train=6, how="stratified", seed=4)
    assert part.train_labels.bincount().tolist() == [2, 2, 2]
    places = [
        next(i for i, other in enumerate(dataset.train_images) if torch.equal(image, other))
        for image in part.train_images
    ]
    assert places == sorted(places)
    assert torch.equal(part.train_labels, dataset.train_labels[places])
    assert len(part.test_images) == 9
    assert subset(dataset, train=6, how="stratified", seed=5).fingerprint() != part.fingerprint()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 13}, "train = 13 of made is impossible: choose 1 to 12$"),
        ({"test": 0}, "test = 0 of made is impossible: choose 1 to 6$"),
        ({"test": 2, "how": "stratified"}, "choose 3 to 6; stratified needs one image of each of the 3 classes"),
        ({"train": 13, "how": "stratified"}, "choose 3 to 12"),
        ({"train": 5, "how": "random"}, "how = 'random' .* use 'first' or 'stratified'"),
    ],
)
def test_impossible_subsets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        subset(random_dataset(), **arguments)
