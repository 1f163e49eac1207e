"""The generator: any size, no border, no place, and noise is all that tells one image from another."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.nets.texture_generator import TextureGenerator, instance_norm


def generator(**options):
    torch.manual_seed(0)
    return TextureGenerator(**{"scales": 3, "channels": 4} | options)


def noise(net, *size, seed=0):
    return net.draw(*size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_noise_of_any_size_makes_an_image_of_that_size(size):
    net = generator()
    z = noise(net, 2, *size)
    assert [tuple(part.shape[-2:]) for part in z] == [tuple(side >> k for side in size) for k in range(3)]
    assert min(float(part.min()) for part in z) >= 0 and max(float(part.max()) for part in z) <= 1
    x = net(z)
    assert x.shape == (2, 3, *size) and x.abs().max() <= 1


@pytest.mark.parametrize("options", [{}, {"norm": instance_norm}])
def test_it_has_no_border_and_no_middle(options):
    """Noise moved in a circle by as much as the coarsest pixel: the image moves, no more. Catches zero padding."""
    net = generator(**options).eval()
    z = noise(net, 1, 16, 24)
    moved = [part.roll((4 >> k, 8 >> k), (2, 3)) for k, part in enumerate(z)]
    torch.testing.assert_close(net(moved), net(z).roll((4, 8), (2, 3)), rtol=0, atol=1e-5)


def test_all_variety_comes_from_the_noise():
    net = generator(norm=instance_norm)
    assert (net(noise(net, 1, 16)) - net(noise(net, 1, 16, seed=1))).abs().max() > 1e-3
    flat = net([torch.full_like(part, 0.5) for part in noise(net, 2, 16)])
    torch.testing.assert_close(flat, flat[:1, :, :1, :1].expand_as(flat), rtol=0, atol=1e-5)


def test_every_scale_of_noise_matters():
    net = generator(norm=instance_norm)
    z = noise(net, 1, 16)
    for k in range(3):
        other = [*z[:k], 1 - z[k], *z[k + 1 :]]
        assert (net(other) - net(z)).abs().max() > 1e-4, k


def test_channels_grow_by_eight_to_forty_as_in_the_paper():
    net = TextureGenerator()
    assert [block[0].out_channels for block in net.joined] == [16, 24, 32, 40] and net.last.in_channels == 40


def test_content_enters_at_every_scale():
    net = generator(content=3, norm=instance_norm)
    z, c = noise(net, 2, 16), torch.rand(2, 3, 16, 16)
    assert net(z, c).shape == c.shape
    assert (net(z, c) - net(z, -c)).abs().max() > 1e-3
    assert all(own[0].in_channels == 6 for own in net.own)


def test_what_it_refuses():
    net = generator()
    with pytest.raises(CourseError, match="not multiples of 4"):
        net.draw(1, 18)
    with pytest.raises(CourseError, match="3 sizes, not 2"):
        net(noise(net, 1, 16)[:2])
    with pytest.raises(CourseError, match="without content"):
        net(noise(net, 1, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(CourseError, match="with content"):
        generator(content=3)(noise(net, 1, 16))
