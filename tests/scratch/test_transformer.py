"""The spatial transformer by hand against torch's, forward and both gradients, and against central differences."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib.errors import CourseError
from course_lib.scratch import gradient_check
from course_lib.scratch.gradcheck import numerical_gradient, relative_error
from course_lib.scratch.transformer import AffineGrid, BilinearSampler

SHAPES, CLOSE = 40, 1e-10


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def sampler_and_torch(x, grid, align_corners, rng):
    """Ours and torch's (y, dz/dx, dz/dgrid)."""
    layer = BilinearSampler(align_corners=align_corners)
    y = layer.forward(x, grid)
    r = rng.normal(size=y.shape)
    ours = y, layer.backward(r), layer.dz_dgrid
    tx, tgrid = leaf(x), leaf(grid)
    ty = F.grid_sample(tx, tgrid, mode="bilinear", padding_mode="zeros", align_corners=align_corners)
    ty.backward(torch.tensor(r))
    return ours, [t.detach().numpy() for t in (ty, tx.grad, tgrid.grad)]


def agree(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid_equals_torch_over_random_shapes(align_corners):
    rng = np.random.default_rng(0)
    for _ in range(SHAPES):
        n, h, w = rng.integers(1, 7, 3)
        theta = rng.normal(size=(n, 2, 3))
        layer = AffineGrid(h, w, align_corners=align_corners)
        grid = layer.forward(theta)
        r = rng.normal(size=grid.shape)
        t = leaf(theta)
        expected = F.affine_grid(t, [n, 1, h, w], align_corners=align_corners)
        expected.backward(torch.tensor(r))
        agree((grid, layer.backward(r)), (expected.detach().numpy(), t.grad.numpy()))


@pytest.mark.parametrize("align_corners", [False, True])
def test_sampler_and_both_its_gradients_equal_torch_over_random_shapes(align_corners):
    rng = np.random.default_rng(1)
    outside = 0
    for _ in range(SHAPES):
        n, c, h, w, hh, ww = rng.integers(1, 7, 6)
        grid = rng.uniform(-1.6, 1.6, (n, hh, ww, 2))
        outside += (np.abs(grid) > 1).any()
        agree(*sampler_and_torch(rng.normal(size=(n, c, h, w)), grid, align_corners, rng))
    assert outside > SHAPES // 2  # the shapes did look beyond the border


def test_many_places_may_look_at_one_pixel():
    """Catches `dz_du[index] += ...`, which keeps only one of the places that share a pixel."""
    rng = np.random.default_rng(2)
    agree(*sampler_and_torch(rng.normal(size=(2, 3, 2, 2)), rng.uniform(-0.5, 0.5, (2, 9, 9, 2)), False, rng))


def test_at_whole_pixels_the_derivative_is_that_to_the_right_as_in_torch():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*2 * [np.array([-1.0, -0.5, 0.0, 0.5, 1.0])]), -1)[None]  # exact in binary
    agree(*sampler_and_torch(rng.normal(size=(1, 2, 5, 5)), grid, True, rng))


def test_places_far_away_see_nothing_and_pass_nothing():
    layer = BilinearSampler()
    y = layer.forward(np.ones((1, 1, 3, 3)), np.full((1, 2, 2, 2), 1e30))
    assert not y.any()
    assert not layer.backward(np.ones_like(y)).any()
    assert not layer.dz_dgrid.any()


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_slides_sums_over_all_pixels_say_the_same(align_corners):
    """Eqs. 5 to 7 as written, with their H·W terms."""
    rng = np.random.default_rng(4)
    h, w = 4, 5
    u, grid = rng.normal(size=(1, 1, h, w)), rng.uniform(-1.2, 1.2, (1, 3, 2, 2))
    span = np.array([w - 1, h - 1]) if align_corners else np.array([w, h])
    x, y = np.moveaxis((grid[0] * span + [w - 1, h - 1]) / 2, -1, 0)
    m, n = np.arange(w), np.arange(h)
    near_x = np.maximum(0, 1 - np.abs(x[..., None] - m))  # (H', W', W)
    near_y = np.maximum(0, 1 - np.abs(y[..., None] - n))  # (H', W', H)
    slope_x = np.where(np.abs(m - x[..., None]) >= 1, 0, np.where(m >= x[..., None], 1, -1))
    layer = BilinearSampler(align_corners=align_corners)
    np.testing.assert_allclose(layer.forward(u, grid)[0, 0], np.einsum("nm,ijm,ijn->ij", u[0, 0], near_x, near_y))
    r = rng.normal(size=(1, 1, 3, 2))
    np.testing.assert_allclose(layer.backward(r)[0, 0], np.einsum("ij,ijm,ijn->nm", r[0, 0], near_x, near_y))
    by_pixel = np.einsum("ij,nm,ijm,ijn->ij", r[0, 0], u[0, 0], slope_x, near_y)
    np.testing.assert_allclose(layer.dz_dgrid[0, ..., 0], by_pixel * span[0] / 2)


def test_both_equal_central_differences():
    rng = np.random.default_rng(5)
    assert gradient_check(AffineGrid(3, 4), rng.normal(size=(2, 2, 3))).passed
    x, grid = rng.normal(size=(2, 2, 4, 3)), rng.uniform(-1.1, 1.1, (2, 2, 3, 2))
    layer = BilinearSampler()
    assert gradient_check(layer, x, grid).passed
    r = rng.normal(size=layer.forward(x, grid).shape)
    layer.backward(r)
    claimed = layer.dz_dgrid
    numerical = numerical_gradient(lambda: float((r * layer.forward(x, grid)).sum()), grid)
    assert relative_error(claimed, numerical) < 1e-6


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identity_shows_the_image(align_corners):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 3, 5, 7))
    grid = AffineGrid(5, 7, align_corners=align_corners).forward(np.tile(np.eye(2, 3), (2, 1, 1)))
    np.testing.assert_allclose(BilinearSampler(align_corners=align_corners).forward(x, grid), x, rtol=0, atol=1e-12)


def test_float32_stays_float32_and_inputs_are_left_alone():
    rng = np.random.default_rng(7)
    theta, x = rng.normal(size=(2, 2, 3)).astype(np.float32), rng.normal(size=(2, 1, 4, 4)).astype(np.float32)
    kept = theta.copy(), x.copy()
    grids, sampler = AffineGrid(3, 3), BilinearSampler()
    y = sampler.forward(x, grids.forward(theta))
    dz_dx = sampler.backward(np.ones_like(y))
    dz_dtheta = grids.backward(sampler.dz_dgrid)
    assert {a.dtype for a in (y, dz_dx, sampler.dz_dgrid, dz_dtheta)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(theta, kept[0])
    np.testing.assert_array_equal(x, kept[1])


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(CourseError, match="six numbers"):
        AffineGrid(3, 3).forward(np.zeros((2, 6)))
    with pytest.raises(CourseError, match="grid"):
        BilinearSampler().forward(np.zeros((2, 1, 3, 3)), np.zeros((1, 3, 3, 2)))
    with pytest.raises(CourseError, match="grid"):
        BilinearSampler().forward(np.zeros((2, 1, 3, 3)), np.zeros((2, 2, 3, 3)))
