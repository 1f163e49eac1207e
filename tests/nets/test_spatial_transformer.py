"""The spatial transformer as a module: identity at first, its kinds, and that it learns to turn what was turned."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import affine_grid, grid_sample

from course_lib.errors import CourseError
from course_lib.nets.spatial_transformer import SpatialTransformer
from course_lib.scratch.transformer import AffineGrid, BilinearSampler


@pytest.mark.parametrize("kind", ["affine", "attention"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
def test_it_starts_as_the_identity(kind, align_corners, shape):
    x = torch.rand(4, *shape) * 2 - 1
    y = SpatialTransformer(in_shape=shape, kind=kind, align_corners=align_corners, fill=-1)(x)
    torch.testing.assert_close(y, x, rtol=0, atol=1e-5)


def constant(*numbers):
    """A localisation net that says the same whatever it sees."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, len(numbers)))
    nn.init.zeros_(net[1].weight)
    net[1].bias.data = torch.tensor(numbers)
    return net


def test_attention_is_one_scale_and_two_shifts():
    transformer = SpatialTransformer(in_shape=(1, 6, 6), kind="attention", localisation=constant(-0.5, 0.25, 0.125))
    theta = transformer.theta(torch.zeros(2, 1, 6, 6))
    expected = torch.tensor([[0.5, 0.0, 0.25], [0.0, 0.5, 0.125]])
    torch.testing.assert_close(theta, expected.expand(2, 2, 3))


def test_it_is_the_layers_by_hand():
    torch.manual_seed(0)
    numbers = torch.randn(6).mul(0.3).tolist()
    transformer = SpatialTransformer(in_shape=(1, 6, 6), localisation=constant(*numbers), out_size=(4, 5)).double()
    x = torch.randn(3, 1, 6, 6, dtype=torch.float64)
    grid = AffineGrid(4, 5).forward(transformer.theta(x).detach().numpy())
    by_hand = BilinearSampler().forward(x.numpy(), grid)
    assert transformer(x).shape == (3, 1, 4, 5)
    torch.testing.assert_close(transformer(x).detach(), torch.tensor(by_hand), rtol=0, atol=1e-10)


def test_outside_is_the_fill():
    moved = SpatialTransformer(in_shape=(1, 6, 6), localisation=constant(0.0, 0.0, 5.0, 0.0, 0.0, 0.0), fill=-1)
    torch.testing.assert_close(moved(torch.ones(2, 1, 6, 6)), -torch.ones(2, 1, 6, 6))


def test_it_learns_to_turn_back_what_was_turned():
    """Catches a transformation without gradient: then the loss would stay."""
    torch.manual_seed(0)
    straight = -torch.ones(1, 1, 12, 12)
    straight[..., 2:10, 5:7] = 1
    straight[..., 2:4, 3:9] = 1  # a T
    angle = torch.linspace(-0.7, 0.7, 8)
    turn = torch.stack([angle.cos(), -angle.sin(), 0 * angle, angle.sin(), angle.cos(), 0 * angle], 1).view(8, 2, 3)
    grid = affine_grid(turn, [8, 1, 12, 12], False)
    turned = grid_sample(straight.expand(8, 1, 12, 12) + 1, grid, align_corners=False) - 1
    net = SpatialTransformer(in_shape=(1, 12, 12), fill=-1)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    start = float((turned - straight).square().mean())
    for _ in range(100):
        loss = (net(turned) - straight).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < start / 4
    found = net.theta(turned).detach()
    back = torch.atan2(found[:, 1, 0] - found[:, 0, 1], found[:, 0, 0] + found[:, 1, 1])
    assert float((back + angle).abs().mean()) < math.radians(10)


def test_wrong_options_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match="affine, attention"):
        SpatialTransformer(in_shape=(1, 6, 6), kind="spline")
    with pytest.raises(CourseError, match="localisation net gave"):
        SpatialTransformer(in_shape=(1, 6, 6), localisation=constant(0.0, 0.0))(torch.zeros(2, 1, 6, 6))
