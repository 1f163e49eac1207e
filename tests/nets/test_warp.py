"""DeepWarp: the warp against shifts and the sampler by hand, a new net is the identity, one batch by heart."""

import numpy as np
import pytest
import torch

from course_lib.errors import CourseError
from course_lib.nets.warp import DeepWarp, DirectRegression, lighten, warp
from course_lib.scratch.transformer import BilinearSampler

EXACT = {"rtol": 0, "atol": 1e-5}


def eyes(n=4, size=12):
    """White eyes with a dark round iris each, looking straight, and the same looking by the angle (N, 2) in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    centre = (torch.rand(n, 2, generator=generator) - 0.5) * 0.3
    angle = torch.rand(n, 2, generator=generator) * 2 - 1
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, size)], indexing="ij")

    def draw(place):
        distance = ((x - place[:, 0, None, None]) ** 2 + (y - place[:, 1, None, None]) ** 2).sqrt()
        return (2 * torch.sigmoid((distance - 0.4) * 20) - 1)[:, None].repeat(1, 3, 1, 1) * 0.8

    return draw(centre), angle, draw(centre + 0.35 * angle)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 5, 9), (3, 2, 1, 4)])
def test_the_zero_field_is_the_identity(shape):
    torch.manual_seed(0)
    image = torch.rand(*shape) * 2 - 1
    torch.testing.assert_close(warp(image, torch.zeros(shape[0], 2, *shape[2:])), image, **EXACT)


def test_whole_pixels_shift_the_image_and_the_border_goes_on():
    image = torch.arange(20.0).view(1, 1, 4, 5)
    right = torch.zeros(1, 2, 4, 5)
    right[:, 0] = 1  # every pixel is fetched from its right neighbour
    torch.testing.assert_close(warp(image, right)[..., :-1], image[..., 1:], **EXACT)
    torch.testing.assert_close(warp(image, right)[..., -1], image[..., -1], **EXACT)
    torch.testing.assert_close(warp(image, right.flip(1))[..., :-1, :], image[..., 1:, :], **EXACT)


def test_warp_is_the_sampler_by_hand():
    rng = np.random.default_rng(0)
    image, field = rng.normal(size=(2, 3, 6, 8)), rng.uniform(-1, 1, (2, 2, 6, 8))
    x, y = np.arange(8) + field[:, 0], np.arange(6)[:, None] + field[:, 1]
    x, y = np.clip(x, 0, 7), np.clip(y, 0, 5)  # the border goes on
    grid = np.stack([2 * x / 7 - 1, 2 * y / 5 - 1], -1)
    by_hand = BilinearSampler(align_corners=True).forward(image, grid)
    np.testing.assert_allclose(warp(torch.tensor(image), torch.tensor(field)), by_hand, rtol=0, atol=1e-10)


def test_lightness_mixes_with_white():
    image = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3).repeat(1, 3, 1, 1)
    half = torch.full((1, 1, 1, 3), 0.5)
    assert lighten(image, half)[0, 0, 0].tolist() == [0.0, 0.5, 1.0]
    assert torch.equal(lighten(image, 0 * half), image)
    assert torch.equal(lighten(image, 2 * half), torch.ones_like(image))


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("maps", [0, 4])
@pytest.mark.parametrize("size", [(32, 32), (12, 20)])
def test_shapes_and_a_new_net_returns_its_input(levels, maps, size):
    torch.manual_seed(0)
    net = DeepWarp(levels=levels, maps=maps, angles=3)
    image = torch.rand(2, 3, *size) * 2 - 1
    more = (torch.randn(2, maps, *size),) if maps else ()
    parts = net.parts(image, torch.randn(2, 3), *more)
    assert parts.image.shape == image.shape
    assert parts.field.shape == parts.coarse.shape == (2, 2, *size)
    assert parts.lightness.shape == (2, 1, *size)
    assert not parts.field.any()
    torch.testing.assert_close(parts.image, image, rtol=0, atol=0.021 if levels == 3 else 1e-5)
    assert bool(parts.lightness.any()) == (levels == 3)


@pytest.mark.parametrize("make", [DeepWarp, DirectRegression])
def test_the_width_is_that_of_every_levels_maps(make):
    def convolutions(net):
        return [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels > 16]

    widths = [{m.out_channels for m in convolutions(make(width=w))} for w in (24, 32)]
    assert 24 in widths[0] and 32 not in widths[0]
    assert 32 in widths[1] and 24 not in widths[1]
    image = torch.rand(2, 3, 8, 8)
    assert make(width=24)(image, torch.zeros(2, 2)).shape == image.shape


def test_the_field_stays_within_reach():
    net = DeepWarp(levels=2, reach=0.25)
    for level in (net.field.coarse, net.field.fine):
        level.head[-1].bias.data = torch.tensor([1e3, -1e3])
    parts = net.parts(torch.zeros(2, 3, 12, 20), torch.zeros(2, 2))
    torch.testing.assert_close(parts.coarse[0, :, 0, 0], torch.tensor([2.5, -1.5]))  # a quarter of half the sides
    torch.testing.assert_close(parts.field, 2 * parts.coarse)


def train(net, steps=50):
    """The error on one batch, and with every eye given another's angle: shares of the error of doing nothing."""
    image, angle, target = eyes()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(steps):
        loss = (net(image, angle) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        wrong = (net(image, angle.roll(1, 0)) - target).square().mean()
    nothing = float((image - target).square().mean())
    return float(loss.detach()) / nothing, float(wrong) / nothing


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_deepwarp_learns_one_batch_by_heart_and_all_its_levels_together(levels):
    torch.manual_seed(0)
    net = DeepWarp(levels=levels, reach=0.5)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    right, wrong = train(net)
    assert right < 0.01
    assert wrong > 0.5  # the angle steers
    still = [name for name, p in net.named_parameters() if torch.equal(p, before[name])]
    assert not still


def test_direct_regression_learns_one_batch_by_heart():
    torch.manual_seed(0)
    net = DirectRegression()
    right, wrong = train(net)
    assert right < 0.15
    assert wrong > 0.5
    drawn = net(*eyes()[:2])
    assert drawn.shape == (4, 3, 12, 12)
    assert drawn.abs().max() <= 1


@pytest.mark.parametrize("net", [DirectRegression(), DeepWarp(levels=2)])
def test_bad_input_is_refused_in_a_sentence(net):
    with pytest.raises(CourseError, match="further maps"):
        net(torch.zeros(2, 3, 8, 8), torch.zeros(2, 2), torch.zeros(2, 1, 8, 8))
    with pytest.raises(CourseError, match="even"):
        net(torch.zeros(2, 3, 9, 8), torch.zeros(2, 2))
    with pytest.raises(CourseError, match="levels"):
        DeepWarp(levels=4)
    with pytest.raises(CourseError, match="field"):
        warp(torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, 2))
