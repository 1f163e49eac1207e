"""The up-convolutional net: shapes, its unpooling, what depends on what, and one batch learned by heart."""

import pytest
import torch

from course_lib.data import render_chairs
from course_lib.errors import CourseError
from course_lib.losses.drawing import image_and_mask
from course_lib.nets.upconv import UpConvNet, UpConvolution, Upsample, on_background, viewpoint

SMALL = {"own": 32, "shared": 64, "channels": 1}


def small(size=32, **options):
    torch.manual_seed(0)
    maps = (32, 16, 16, 8, 8)[: size.bit_length() - 2]
    return UpConvNet(types=3, size=size, maps=maps, **{**SMALL, **options})


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("transforms", [0, 5])
@pytest.mark.parametrize(("channels", "upsampling"), [(1, "zeros"), (3, "nearest")])
def test_shapes_and_ranges(size, transforms, channels, upsampling):
    net = small(size, transforms=transforms, channels=channels, upsampling=upsampling)
    more = (torch.randn(2, transforms),) if transforms else ()
    image, mask = net(torch.randn(2, 3), torch.randn(2, 4), *more)
    assert image.shape == (2, channels, size, size)
    assert mask.shape == (2, 1, size, size)
    assert image.abs().mean() < 0.2  # grey, and nowhere
    assert mask.abs().mean() < 0.2
    for stream in (net.image, net.mask):
        stream[-1].weight.data *= 1e4
    drawn = on_background(*net(torch.randn(2, 3), torch.randn(2, 4), *more), 0.5)
    assert (drawn.min(), drawn.max()) == (-1, 1)  # cut off


def test_on_background_by_hand():
    image, mask = torch.tensor([0.5, -3.0, 0.125, 0.5]), torch.tensor([1.0, 1.0, 0.25, -2.0])
    expected = torch.tensor([0.5, -1.0, 0.875, 1.0])
    torch.testing.assert_close(on_background(image.view(1, 1, 1, 4), mask.view(1, 1, 1, 4)).flatten(), expected)


@pytest.mark.parametrize("other", [-0.7, 0.0, 0.4])
def test_what_the_loss_asks_for_is_the_renderers_image_before_any_background(other):
    """Catches: the object taken by its share of an edge's pixel twice, in the loss or when it is pasted."""
    white, mask = render_chairs(["kitchen", "shell"], 40.0, 20.0, background=1.0)
    assert ((mask > 0.05) & (mask < 0.95)).float().mean() > 0.05  # smooth edges
    alone = white - (1 - mask)
    assert image_and_mask(alone, mask, white, mask, background=1.0) < 1e-10
    truth = render_chairs(["kitchen", "shell"], 40.0, 20.0, background=other)[0]
    torch.testing.assert_close(on_background(alone, mask, other), truth, rtol=0, atol=1e-5)
    assert (on_background(alone * mask, mask, other) - truth).abs().max() > 0.1
    assert image_and_mask(alone, mask, white, mask) > 1e-3


def test_the_defaults_are_the_papers_sizes():
    net = UpConvNet(types=10, size=32, transforms=7)
    assert [net.own[k][0].in_features for k in range(3)] == [10, 4, 7]
    assert net.own[0][2].out_features == 512
    assert net.shared[2].out_features == 1024
    assert sum(isinstance(layer, UpConvolution) for layer in net.image) == 3


def test_unpooling():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert Upsample("zeros")(x).tolist() == [[[[1, 0, 2, 0], [0, 0, 0, 0]]]]
    assert Upsample("nearest")(x).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


@pytest.mark.parametrize("how", ["zeros", "nearest"])
def test_an_up_convolution_is_upsampling_and_a_convolution(how):
    torch.manual_seed(0)
    layer, x = UpConvolution(3, 4, how).double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(Upsample(how)(x), layer.weight, layer.bias, padding=2)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-10)


def test_every_input_matters_and_the_streams_share_only_the_code():
    net = small(transforms=2)
    given = [torch.randn(2, k) for k in (3, 4, 2)]
    image, mask = net(*given)
    for k in range(3):
        other = [x + (i == k) for i, x in enumerate(given)]
        assert not torch.allclose(net(*other)[0], image, atol=1e-6)
        assert not torch.allclose(net(*other)[1], mask, atol=1e-6)
    image.sum().backward()
    assert all(p.grad is None for p in net.mask.parameters())
    assert all(p.grad is not None for p in [*net.shared.parameters(), *net.own.parameters(), *net.image.parameters()])


def test_code_then_draw_is_forward_and_one_neuron_changes_the_picture():
    net = small()
    given = torch.eye(3), viewpoint(torch.zeros(3), torch.zeros(3))
    h = net.code(*given)
    torch.testing.assert_close(net.draw(h), net(*given))
    with torch.no_grad():
        edited = h.clone()
        edited[:, h[0].argmax()] += 10
        assert not torch.allclose(net.draw(edited)[0], net.draw(h)[0], atol=1e-3)


def batch(size):
    """Discs of three shades at four places: by type and azimuth."""
    type, azimuth = torch.arange(12) % 3, torch.arange(12) // 3 * 90.0
    angle = azimuth.deg2rad()
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, size)], indexing="ij")
    distance = ((x - angle.cos().view(-1, 1, 1) / 2) ** 2 + (y - angle.sin().view(-1, 1, 1) / 2) ** 2).sqrt()
    mask = (distance < 0.35).float()[:, None]
    shade = torch.tensor([-0.8, 0.2, 0.9])[type].view(-1, 1, 1, 1)
    return torch.eye(3)[type], viewpoint(azimuth, 0 * azimuth), shade * mask + (1 - mask), mask


def test_it_learns_one_batch_by_heart():
    torch.manual_seed(0)
    net = UpConvNet(types=3, size=16, maps=(16, 8, 8), channels=1, own=32, shared=32)
    type, angle, true_image, true_mask = batch(16)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(150):
        loss = image_and_mask(*net(type, angle), true_image, true_mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        image, mask = net(type, angle)
    assert (on_background(image, mask) - true_image).square().mean() < 0.02 * true_image.var()
    assert (mask - true_mask).square().mean() < 0.05 * true_mask.var()


def test_the_viewpoint_comes_back_after_a_full_turn():
    turn = torch.tensor([20.0, 200.0])
    torch.testing.assert_close(viewpoint(turn), viewpoint(turn + 360), rtol=0, atol=1e-6)
    both = viewpoint(torch.tensor([90.0]), torch.tensor([30.0]))
    torch.testing.assert_close(both, torch.tensor([[1.0, 0.0, 0.5, 0.75**0.5]]), rtol=0, atol=1e-6)


def test_wrong_options_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match="8, 16, 32, 64"):
        UpConvNet(types=2, size=48)
    with pytest.raises(CourseError, match="8, 16, 32, 64"):
        UpConvNet(types=2, size=128)
    with pytest.raises(CourseError, match="numbers of maps"):
        UpConvNet(types=2, size=32, maps=(8, 8))
    with pytest.raises(CourseError, match="zeros"):
        UpConvNet(types=2, size=32, upsampling="bicubic")
    with pytest.raises(CourseError, match="vectors"):
        small()(torch.eye(3), torch.zeros(3, 4), torch.zeros(3, 2))
