import pytest
import torch

from lossatlas.data import augment, draw_moves, moved
from lossatlas.randomness import generator


def batch(count=6, height=7, width=5, channels=3):
    return torch.randint(1, 256, (count, channels, height, width), generator=generator(0, "pixels")).to(torch.uint8)


def one_by_one(images, generator, *, padding, flip):
    """The same draws, pixel by pixel."""
    count, channels, height, width = images.shape
    corners = torch.randint(2 * padding + 1, (count, 2), generator=generator).tolist()
    mirrored = torch.randint(2, (count,), generator=generator).tolist() if flip else [0] * count
    result = torch.zeros_like(images)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                source_y = y + corners[n][0] - padding
                source_x = (width - 1 - x if mirrored[n] else x) + corners[n][1] - padding
                if 0 <= source_y < height and 0 <= source_x < width:
                    result[n, :, y, x] = images[n, :, source_y, source_x]
    return result


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("height", "width", "padding"), [(7, 5, 4), (8, 8, 1), (8, 8, 7), (6, 6, 0), (5, 9, 3)])
def test_equals_the_slow_loop(height, width, padding, flip):
    images = batch(count=20, height=height, width=width)
    found = augment(images, generator(1, "augment"), padding=padding, flip=flip)
    assert torch.equal(found, one_by_one(images, generator(1, "augment"), padding=padding, flip=flip))
    assert found.is_contiguous()


def test_same_state_same_result_and_the_state_moves_on():
    images, stream = batch(count=30), generator(2, "augment")
    first, second = augment(images, stream), augment(images, stream)
    assert torch.equal(first, augment(images, generator(2, "augment")))
    assert not torch.equal(first, second)


def test_images_are_untouched():
    images = batch()
    before = images.clone()
    result = augment(images, generator(0, "augment"), padding=0, flip=False)
    assert torch.equal(result, images)
    result.zero_()
    assert torch.equal(images, before)


def test_offsets_and_flips_are_uniform():
    count, padding = 8100, 4
    image = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    image[0, :, 4, 4], image[0, :, 4, 3] = 255, 100  # the centre, and its left neighbour
    found = augment(image.expand(count, 3, 9, 9), generator(3, "augment"), padding=padding)[:, 0]
    centre = (found == 255).flatten(1).int().argmax(1)
    counts = centre.bincount(minlength=81)
    # 100 expected in each of the 81 places; the seed is fixed. Chi-squared with 80 degrees: mean 80, deviation 12.6.
    assert (counts > 0).all()
    assert ((counts - 100.0) ** 2 / 100).sum() < 80 + 4 * 12.6
    inner = (centre % 9 >= 1) & (centre % 9 <= 7)  # the neighbour is visible on either side
    rows = found[inner].flatten(1)
    mirrored = (rows.gather(1, centre[inner, None] + 1) == 100).float().mean()
    assert abs(mirrored - 0.5) < 4 * 0.5 / inner.sum().sqrt()


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="padding = 5 must lie in 0 to 4 for 5 x 7 pixels"):
        augment(batch(), generator(0, "augment"), padding=5)
    with pytest.raises(ValueError, match="padding = -1 must lie in"):
        augment(batch(), generator(0, "augment"), padding=-1)
    with pytest.raises(ValueError, match="augment raw pixels, normalize afterwards"):
        augment(batch().float(), generator(0, "augment"))


@pytest.mark.parametrize("flip", [True, False])
def test_moves_of_an_epoch_are_those_of_its_batches_one_after_the_other(flip):
    images, sizes = batch(count=17), [7, 7, 3]
    stream = generator(4, "augment")
    expected = [augment(part, stream, padding=2, flip=flip) for part in images.split(sizes)]
    whole = draw_moves(sizes, generator(4, "augment"), padding=2, flip=flip)
    found = [moved(part, moves) for part, moves in zip(images.split(sizes), whole.split(sizes), strict=True)]
    assert torch.equal(torch.cat(found), torch.cat(expected))
    assert torch.equal(moved(images, whole), torch.cat(expected))


def test_impossible_moves_are_refused():
    with pytest.raises(ValueError, match="padding = -1 must be at least 0"):
        draw_moves([2], generator(0, "augment"), padding=-1)
    with pytest.raises(ValueError, match="padding = 5 must lie in 0 to 4 for 5 x 7 pixels"):
        moved(batch(), draw_moves([6], generator(0, "augment"), padding=5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_images_on_a_gpu():
    images = batch(count=50)
    found = augment(images.cuda(), generator(1, "augment"))
    assert torch.equal(found.cpu(), augment(images, generator(1, "augment")))
