import pytest
import torch
from torchvision import transforms

from lossatlas.data import NORMALIZATIONS, normalize


@pytest.fixture
def images():
    """Every pixel value in every channel."""
    values = torch.arange(256).reshape(1, 1, 16, 16)
    return torch.cat([values, values.flip(3), values.flip(2)], dim=1).repeat(2, 1, 1, 1).to(torch.uint8)


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_bit_for_bit_as_torchvision(name, images):
    constants = NORMALIZATIONS[name]
    reference = transforms.Compose([transforms.ToTensor(), transforms.Normalize(constants.mean, constants.std)])
    expected = torch.stack([reference(image.permute(1, 2, 0).numpy()) for image in images])
    assert torch.equal(normalize(images, constants), expected)


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_the_formula_in_float64(name, images):
    constants = NORMALIZATIONS[name]
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (constants.mean, constants.std))
    expected = (images.double() / 255 - mean) / std
    # Three roundings of 2^-24 relative to values up to 1, enlarged by 1 / std (at most 5.1) at the subtraction.
    torch.testing.assert_close(normalize(images, constants).double(), expected, rtol=0, atol=2e-6)


def test_other_types_see_the_same_numbers(images):
    single = normalize(images, NORMALIZATIONS["li"])
    assert torch.equal(normalize(images, NORMALIZATIONS["li"], dtype=torch.float64), single.double())
    assert normalize(images, NORMALIZATIONS["li"], dtype=torch.float64).dtype == torch.float64


def test_constants():
    li = NORMALIZATIONS["li"]
    assert [value * 255 for value in li.mean] == pytest.approx([125.3, 123.0, 113.9])
    assert [value * 255 for value in li.std] == pytest.approx([63.0, 62.1, 66.7])
    assert NORMALIZATIONS["imagenet"].mean == (0.485, 0.456, 0.406)
    assert NORMALIZATIONS["imagenet"].std == (0.229, 0.224, 0.225)
    assert NORMALIZATIONS["cifar"].mean == (0.4914, 0.4822, 0.4465)
    assert NORMALIZATIONS["cifar"].std == (0.2023, 0.1994, 0.2010)
    with pytest.raises(TypeError):
        NORMALIZATIONS["li"] = NORMALIZATIONS["unit"]


def test_unit_is_plain_division(images):
    assert torch.equal(normalize(images, NORMALIZATIONS["unit"]), images.float() / 255)


def test_images_are_untouched_and_checked(images):
    before = images.clone()
    normalize(images, NORMALIZATIONS["li"])
    assert torch.equal(images, before)
    with pytest.raises(ValueError, match=r"images must be .* torch.uint8, not \(2, 3, 16, 16\) torch.float32"):
        normalize(images.float(), NORMALIZATIONS["li"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_bits_on_a_gpu(images):
    for constants in NORMALIZATIONS.values():
        assert torch.equal(normalize(images.cuda(), constants).cpu(), normalize(images, constants))
