"""Descriptors: the pyramid loses nothing, filters are what they say, VGG-19 is torchvision's with mean pooling."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from course_lib.errors import CourseError
from course_lib.nets.descriptors import RandomFilters, VGG19Maps, bands


def images(n=2, height=24, width=32, seed=0):
    return 2 * torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_the_bands_add_up_to_the_image(levels):
    x = images(height=25)
    parts = bands(x, levels)
    assert [tuple(p.shape[-2:]) for p in parts] == [(25 >> k, 32 >> k) for k in range(levels)]
    again = parts[-1]
    for band in parts[-2::-1]:
        again = band + interpolate(again, size=band.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(again, x)


def test_a_flat_image_is_in_the_last_band_alone():
    *fine, rest = bands(torch.full((1, 3, 16, 16), 0.7), 3)
    assert max(float(band.abs().max()) for band in fine) < 1e-6
    torch.testing.assert_close(rest, torch.full((1, 3, 4, 4), 0.7))


def test_random_filters_by_hand():
    net = RandomFilters(filters=5, size=3, levels=2, generator=torch.Generator().manual_seed(1))
    x = images()
    fine, coarse = net(x)
    assert fine.shape == (2, 5, 24, 32) and coarse.shape == (2, 5, 12, 16)
    smaller = avg_pool2d(x, 2)
    torch.testing.assert_close(
        coarse, conv2d(pad(smaller, (1, 1, 1, 1), mode="reflect"), net.weights[1], net.bias[1]).relu()
    )
    torch.testing.assert_close(net.weights.flatten(2).norm(dim=2), torch.ones(2, 5))
    plain = RandomFilters(filters=5, size=3, levels=2, thresholds=(0, 0))
    torch.testing.assert_close(plain(2 * x)[0], 2 * plain(x)[0])  # without thresholds, nothing but contrast
    assert not list(net.parameters())


def test_hue_counts_for_more():
    """Brightness and hue that vary alike: the filters' answers are `hue` times as strong to the latter."""
    x = images(4)[:, :1]
    bright, hue = (x * torch.tensor(axis).view(3, 1, 1) for axis in ([1.0, 1.0, 1.0], [1.5**0.5, 0.0, -(1.5**0.5)]))
    for ratio in (1.0, 3.0):
        net = RandomFilters(filters=400, size=3, levels=1, hue=ratio, thresholds=(0, 0), generator=torch.Generator())
        found = (net(hue)[0].square().mean() / net(bright)[0].square().mean()).sqrt()
        assert abs(float(found) / ratio - 1) < 0.15


def test_random_filters_depend_on_their_generator_alone():
    a, b, c = (RandomFilters(filters=4, generator=torch.Generator().manual_seed(k)) for k in (3, 3, 4))
    assert torch.equal(a.weights, b.weights) and not torch.equal(a.weights, c.weights)


def test_what_random_filters_refuse():
    with pytest.raises(CourseError, match="odd, not 4"):
        RandomFilters(size=4)
    net = RandomFilters(filters=2, size=5, levels=3)
    assert net.smallest == 12
    net(images(height=12, width=12))
    with pytest.raises(CourseError, match="12 is the least"):
        net(images(height=11))
    with pytest.raises(CourseError, match="cannot be halved 4 times"):
        bands(images(height=8), 5)


def test_vgg_is_torchvisions_with_mean_pooling_and_normalised_input():
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    theirs = make_layers(cfgs["E"][:6])  # as far as the second pooling
    ours = VGG19Maps(pools=2)
    ours.load({f"features.{key}": value for key, value in theirs.state_dict().items()})
    mean = nn.Sequential(*(nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in theirs))
    x = images(1)
    z = ((x + 1) / 2 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    with torch.no_grad():
        expected = [mean[:2](z.clone()), mean[:5](z.clone()), mean(z.clone())]
    maps = ours(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 24, 32), (64, 12, 16), (128, 6, 8)]
    for got, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, want)
    assert not any(p.requires_grad for p in ours.parameters())


def test_vgg_takes_no_other_weights():
    with pytest.raises(CourseError, match="vgg19"):
        VGG19Maps(pools=1).load({"features.0.weight": torch.zeros(64, 3, 7, 7)})
    with pytest.raises(CourseError, match="from 1 to that, not 6"):
        VGG19Maps(pools=6)
