# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 04 · Nets that draw, with simple losses
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps04_synthesis/ps04_synthesis.ipynb)
#
# Seven tasks in code (54 points) and two written answers (6 points): **60 points**, about 290 minutes. No GPU is needed.
# The lecture is `notebooks/04_synthesis.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | An angle goes around | 20 | 5 |
# | 2 | Image, mask, and any wall | 35 | 8 |
# | 3 | The lightness that is missing | 20 | 3 |
# | 4 | Up-convolution, both ways | 50 | 10 |
# | 5 | The grid: turn the picture, not the eye | 45 | 9 |
# | 6 | The bilinear sampler before a wall | 60 | 12 |
# | 7 | Moving a panorama | 40 | 7 |
# | 8, 9 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions return new tensors or arrays, of the dtype of what they are given, and leave what they are given
# as it was. Gradients are written by hand; only task 7 leaves them to autograd. `grid_sample`, `affine_grid`, torch's
# convolutions and the layers of `course_lib` are there to compare with, not to be called in an answer.
#
# **Places**, as in the lecture: images are $(N, C, H, W)$. The *centre* of the first pixel has the pixel coordinates
# (0, 0), that of the last $(W - 1, H - 1)$; $x$ runs to the right, $y$ **down**. A grid holds pairs $(x, y)$ from −1 to 1
# between the outer *edges* of the image (`align_corners=False`):
#
# $$x_{\text{pixel}} = \frac{(x + 1)\,W - 1}{2}, \qquad y_{\text{pixel}} = \frac{(y + 1)\,H - 1}{2}.$$

# %% tags=["parameters"]
BUDGET = "auto"  # smoke, laptop, gpu, paper; auto chooses by the device
SEED = 0

# %%
# Setup. On Colab this installs the course and changes nothing else there; elsewhere it only imports it.
try:
    import course_lib
except ImportError:
    import subprocess
    import sys

    subprocess.check_call(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "course_lib @ git+https://github.com/your-organisation/networks-that-generate@main",
        ]
    )
    import course_lib

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from course_lib.checks import synthesis as checks
from course_lib.data import render_chairs
from course_lib.draw import tile

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · An angle goes around
#
# *20 minutes, 5 points*
#
# The number 359 does not know that 1 is its neighbour; (sine, cosine) does. `encode` gives this pair for azimuths $a$ of
# any shape, in degrees, in a new last axis. Some things look the same more often than once in a turn: a square stool
# after every 90°. Its pictures at 1° and 91° should get *the same* code. So `encode` takes the number $n$ of times that a
# thing looks the same in a full turn (`fold`, 1 for a chair, 4 for the stool):
#
# $$\text{code}(a) = (\sin n a,\; \cos n a).$$
#
# `decode` goes back: from codes $(\dots, 2)$ to the azimuth in $[0°, 360°/n)$. A net's codes are not of length 1, and the
# direction is all that counts.
#
# Now let a net *say* the azimuth, trained with squared error on codes. If the picture leaves several azimuths open, it
# answers with the mean of their codes (section 1 of the lecture). `mean_azimuth` gets equally likely azimuths, $n = 1$,
# and returns the azimuth in $[0°, 360°)$ of that answer, and the answer's length: 1 where all agree, 0 where nothing is
# known.


# %% nbgrader={"grade": false, "grade_id": "angle", "locked": false, "schema_version": 3, "solution": true, "task": false}
def encode(azimuth, fold=1):
    """Sine and cosine of an azimuth that looks the same `fold` times in a turn.

    Args:
        azimuth: degrees, float64, any shape (...), also below 0 and above 360. fold: n, an integer, at least 1.

    Returns:
        (..., 2): sine, cosine.
    """
    ### BEGIN SOLUTION
    radians = torch.deg2rad(fold * azimuth)
    return torch.stack([radians.sin(), radians.cos()], -1)
    ### END SOLUTION


def decode(code, fold=1):
    """The azimuth of a code of any length above 0: (..., 2) -> (...), degrees, at least 0, less than 360/fold."""
    ### BEGIN SOLUTION
    return torch.rad2deg(torch.atan2(code[..., 0], code[..., 1])) % 360 / fold
    ### END SOLUTION


def mean_azimuth(azimuths):
    """Direction and length of the mean of codes.

    Args:
        azimuths: degrees, (M,).

    Returns:
        (azimuth, length): two tensors of shape (), the first in [0, 360), the second in [0, 1].
    """
    ### BEGIN SOLUTION
    mean = encode(azimuths).mean(0)
    return decode(mean), mean.norm()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "angle-encode", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_encode(encode)
### BEGIN HIDDEN TESTS
for seed, shape, fold in ((0, (), 1), (1, (2, 3), 4), (2, (2,), 3), (3, (2, 2, 2), 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    azimuth = 1500 * torch.rand(shape, generator=draws, dtype=torch.float64) - 700
    code = encode(azimuth, fold)
    turning = torch.polar(torch.ones_like(azimuth), azimuth * math.pi / 180) ** fold
    torch.testing.assert_close(code, torch.view_as_real(turning).flip(-1))
    torch.testing.assert_close(encode(azimuth + 360 / fold, fold), code)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "angle-decode", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_decode(decode)
### BEGIN HIDDEN TESTS
for seed, shape, fold in ((4, (), 1), (5, (3, 4), 1), (6, (2,), 4), (7, (20,), 3)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    azimuth = (0.01 + 0.98 * torch.rand(shape, generator=draws, dtype=torch.float64)) * 360 / fold
    length = (3 * torch.randn(shape, generator=draws, dtype=torch.float64)).exp()
    radians = fold * azimuth * math.pi / 180
    code = length[..., None] * torch.stack([radians.sin(), radians.cos()], -1)
    given = code.clone()
    torch.testing.assert_close(decode(code, fold), azimuth)
    assert torch.equal(code, given), "changed what it was given"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "angle-mean", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_mean_azimuth(mean_azimuth)
### BEGIN HIDDEN TESTS
for seed, count in ((8, 2), (9, 7), (10, 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    azimuths = 360 + 300 * torch.rand((), generator=draws).double() + 90 * torch.rand(count, generator=draws).double()
    mean, length = mean_azimuth(azimuths)
    resultant = torch.polar(torch.ones(count).double(), azimuths * math.pi / 180).mean()
    assert 0 <= float(mean) < 360
    assert abs(math.remainder(float(mean) - math.degrees(float(resultant.angle())), 360)) < 1e-6
    assert abs(float(length) - float(resultant.abs())) < 1e-9
_, length = mean_azimuth(torch.tensor([10.0, 130.0, 250.0]).double())
assert abs(float(length)) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## Task 2 · Image, mask, and any wall
#
# *35 minutes, 8 points*
#
# The photographs $x$ that a net is to learn from show chairs before a wall of one colour $b$, a number for each channel:
# $x = s\,c + (1 - s)\,b$, with the mask $s$. The net gives $u$ and $v$. As in the lecture, $u$ shall be the chair's own part of the photograph,
# $s\,c$, and $v$ the mask:
#
# $$z = \alpha\,\|u - s\,c\|^2 + \beta\,\|v - s\|^2,$$
#
# squares summed over channels, **averaged** over pixels and examples, with $\alpha$ = `image_weight` and $\beta$ =
# `mask_weight`. You are given $x$, $s$ and $b$, and not $c$. `drawing_loss` returns $z$ and, by hand, $\partial z/\partial u$ and
# $\partial z/\partial v$.
#
# Which $\beta$ is right? What is seen in the end is $u + (1 - v)\,w$ before another wall $w$; it should be
# $s\,c + (1 - s)\,w$. `any_wall` returns the squared error of that picture (summed over channels, averaged over pixels and
# examples) *in the mean over all walls*, where in every channel $w$ is a random number with mean $m$ and variance
# $\sigma^2$. Derive it; no random numbers are needed. (Name the two errors $e = u - s\,c$ and $f = v - s$. For walls with
# $m = 0$ you should find the loss above, and an answer to the question.)


# %% nbgrader={"grade": false, "grade_id": "loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def drawing_loss(u, v, x, s, b, image_weight=10.0, mask_weight=1.0):
    """The loss of a drawn image and its mask, and its gradients by hand.

    Args:
        u, v: drawn, (N, C, H, W) and (N, 1, H, W). x: photographs, (N, C, H, W). s: masks, (N, 1, H, W), in [0, 1].
        b: the colour of the wall in the photographs, (C,). image_weight, mask_weight: alpha and beta.

    Returns:
        (z, dz_du, dz_dv): shapes (), (N, C, H, W), (N, 1, H, W).
    """
    ### BEGIN SOLUTION
    e = u - (x - (1 - s) * b[:, None, None])
    f = v - s
    z = image_weight * (e**2).sum(1).mean() + mask_weight * (f**2).mean()
    return z, 2 * image_weight * e / f.numel(), 2 * mask_weight * f / f.numel()
    ### END SOLUTION


def any_wall(e, f, mean, variance):
    """The squared error of the picture, in the mean over walls.

    Args:
        e: u - s c, (N, C, H, W). f: v - s, (N, 1, H, W). mean, variance: m and sigma^2 of each channel of the wall.

    Returns:
        Shape (): the mean over walls, pixels and examples of the sum over channels.
    """
    ### BEGIN SOLUTION
    return ((e - mean * f) ** 2 + variance * f**2).sum(1).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "loss-value", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_drawing_loss(drawing_loss)
### BEGIN HIDDEN TESTS
for seed, shape, weights in (
    (0, (2, 3, 4, 3), (10.0, 1.0)),
    (1, (1, 1, 2, 5), (3.0, 7.0)),
    (2, (4, 4, 4, 4), (0.0, 1.0)),
):
    u, v, x, s, b, part = checks.drawing(checks.fresh(seed), shape)
    given = [tensor.clone() for tensor in (u, v, x, s, b)]
    z = drawing_loss(u, v, x, s, b, *weights)[0]
    assert all(torch.equal(a, c) for a, c in zip(given, (u, v, x, s, b), strict=True)), "changed what it was given"
    pixels = shape[0] * shape[2] * shape[3]
    expected = (weights[0] * (u - part).norm() ** 2 + weights[1] * (v - s).norm() ** 2) / pixels
    torch.testing.assert_close(z, expected)
z = drawing_loss(part, v, x, s, b)[0]
torch.testing.assert_close(z, ((v - s) ** 2).mean())
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "loss-gradients", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_drawing_gradients(drawing_loss)
### BEGIN HIDDEN TESTS
for seed, shape, weights in (
    (3, (2, 3, 4, 3), (10.0, 1.0)),
    (4, (1, 1, 2, 5), (3.0, 7.0)),
    (5, (3, 2, 3, 2), (1.0, 0.0)),
):
    u, v, x, s, b, part = checks.drawing(checks.fresh(seed), shape)
    _, dz_du, dz_dv = drawing_loss(u, v, x, s, b, *weights)
    u.requires_grad_(), v.requires_grad_()
    z = weights[0] * (u - part).square().sum(1).mean() + weights[1] * (v - s).square().sum(1).mean()
    expected = torch.autograd.grad(z, (u, v))
    torch.testing.assert_close(dz_du, expected[0])
    torch.testing.assert_close(dz_dv, expected[1])
u, v, x, s, b = (tensor.float() for tensor in checks.drawing(checks.fresh(6), (1, 3, 2, 2))[:5])
assert all(part.dtype == torch.float32 for part in drawing_loss(u, v, x, s, b))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "loss-walls", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_any_wall(any_wall)
### BEGIN HIDDEN TESTS
for seed, shape in ((7, (2, 3, 3, 4)), (8, (1, 1, 2, 2)), (9, (2, 5, 1, 3))):
    u, v, x, s, b, part = checks.drawing(checks.fresh(seed), shape)
    draws = torch.Generator().manual_seed(checks.fresh(seed + 20))
    mean, sigma = (2 * torch.rand(2, generator=draws).double() - 1).tolist()
    # The error is a square in w, so two walls, m + sigma and m - sigma, have the same mean as all.
    errors = [
        (u + (1 - v) * wall - part - (1 - s) * wall).square().sum(1).mean() for wall in (mean + sigma, mean - sigma)
    ]
    torch.testing.assert_close(any_wall(u - part, v - s, mean, sigma**2), sum(errors) / 2)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 3 · The lightness that is missing
#
# *20 minutes, 3 points*
#
# DeepWarp's third level mixes white into a moved image $O$, a share $M$ for each pixel, the same in all channels:
# $O' = O\,(1 - M) + M$. A net has to guess $M$. What could it reach at best? `best_lightness` is told the target $T$, and
# returns for each pixel the $M \in [0, 1]$ with the smallest squared error
#
# $$\sum_c \bigl(O_c\,(1 - M) + M - T_c\bigr)^2 .$$
#
# This is a parabola in $M$: find its lowest point, then think of the ends of the interval. Where $O$ is white in every channel,
# $M$ changes nothing; return 0 there.


# %% nbgrader={"grade": false, "grade_id": "lightness", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_lightness(O, T):
    """The share of white that brings each pixel nearest to the target.

    Args:
        O, T: moved image and target, (N, C, H, W), in [-1, 1].

    Returns:
        M, (N, 1, H, W), in [0, 1].
    """
    ### BEGIN SOLUTION
    room = 1 - O
    above = ((T - O) * room).sum(1, keepdim=True)
    below = (room**2).sum(1, keepdim=True)
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0).clamp(0, 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "lightness-best", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_lightness(best_lightness)
### BEGIN HIDDEN TESTS
for seed, shape in ((0, (2, 3, 2, 4)), (1, (1, 1, 3, 2)), (2, (3, 4, 1, 1))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    O = 1.4 * torch.rand(shape, generator=draws, dtype=torch.float64) - 1
    M = 0.2 + 0.6 * torch.rand(shape[0], 1, *shape[2:], generator=draws, dtype=torch.float64)
    off = 0.3 * torch.randn(shape, generator=draws, dtype=torch.float64)
    off -= (off * (1 - O)).sum(1, keepdim=True) / (1 - O).square().sum(1, keepdim=True) * (1 - O)  # cannot be helped
    target = O * (1 - M) + M + off
    given = O.clone(), target.clone()
    torch.testing.assert_close(best_lightness(O, target), M)
    assert torch.equal(O, given[0]) and torch.equal(target, given[1]), "changed what it was given"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "lightness-limits", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_lightness_limits(best_lightness)
### BEGIN HIDDEN TESTS
draws = torch.Generator().manual_seed(checks.fresh(3))
O, target = 2 * torch.rand(2, 3, 3, 4, 5, generator=draws) - 1
O[0, :, 1, 2], O[1, 0, 2, 2] = 1.0, 1.0  # white, and white in one channel
M = best_lightness(O, target)
assert M.dtype == torch.float32
assert M.shape == (3, 1, 4, 5)
assert M.min() >= 0 and M.max() <= 1
assert M[0, 0, 1, 2] == 0
shares = torch.linspace(0, 1, 2001)[:, None, None, None, None]
errors = (O * (1 - shares) + shares - target).square().sum(2)  # (2001, N, H, W)
best = errors.amin(0)
assert ((O * (1 - M) + M - target).square().sum(1) <= best + 1e-5).all()
### END HIDDEN TESTS

# %% [markdown]
# ## Task 4 · Up-convolution, both ways
#
# *50 minutes, 10 points*
#
# The lecture's up-convolution doubles the sides and has a kernel of 5 × 5. Write one for **any** stride $t \ge 1$ and any kernel $k \times k$
# (NumPy only). Unpooling makes a $t \times t$ block of every pixel, its value in the upper left corner and zeros else. Then
# a convolution, as in lecture 01 without reversing the kernel, whose result has **exactly** the size $(tH, tW)$. So $k - 1$ rows of zeros are
# added, $p = \lfloor (k-1)/2 \rfloor$ of them above, the rest below; columns alike. With $g$ for the unpooled maps,
# zero outside,
#
# $$y_{ndij} = \sum_{c}\sum_{a=0}^{k-1}\sum_{b=0}^{k-1} w_{dcab}\; g_{nc,\,i + a - p,\,j + b - p} .$$
#
# - `unpool(x, stride)` is the first half, `upconvolve(x, weight, stride)` is all of it.
# - `upconvolve_backward(dz_dy, x, weight, stride)` returns $\partial z/\partial x$ and $\partial z/\partial w$. (Go back
#   through each step in turn. What is the gradient of a value that was set among zeros?)
# - `reach(k, stride)` explains the chequerboard, in one row and far from the border: for a pixel at place $r = 0, \dots, t - 1$
#   of its block, how many of the kernel's $k$ numbers meet a value, and not one of the zeros put in? Which $k$ leave no
#   chequerboard?


# %% nbgrader={"grade": false, "grade_id": "upconvolution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unpool(x, stride):
    """Every pixel becomes a block, its value and zeros: (N, C, H, W) -> (N, C, stride H, stride W)."""
    ### BEGIN SOLUTION
    n, c, h, w = x.shape
    g = np.zeros((n, c, stride * h, stride * w), x.dtype)
    g[:, :, ::stride, ::stride] = x
    return g
    ### END SOLUTION


def upconvolve(x, weight, stride):
    """Unpooling, then a convolution that keeps the size.

    Args:
        x: (N, C, H, W). weight: (D, C, k, k). stride: t.

    Returns:
        (N, D, stride H, stride W), of the dtype of x.
    """
    ### BEGIN SOLUTION
    k, (height, width) = weight.shape[2], (stride * side for side in x.shape[2:])
    edge = ((k - 1) // 2, k // 2)
    g = np.pad(unpool(x, stride), ((0, 0), (0, 0), edge, edge))
    y = np.zeros((len(x), len(weight), height, width), x.dtype)
    for a, b in np.ndindex(k, k):
        y += np.einsum("nchw,dc->ndhw", g[:, :, a : a + height, b : b + width], weight[:, :, a, b])
    return y
    ### END SOLUTION


def upconvolve_backward(dz_dy, x, weight, stride):
    """dz_dy like y -> (dz_dx like x, dz_dweight like weight)."""
    ### BEGIN SOLUTION
    k, (height, width) = weight.shape[2], dz_dy.shape[2:]
    p, edge = (k - 1) // 2, ((k - 1) // 2, k // 2)
    g = np.pad(unpool(x, stride), ((0, 0), (0, 0), edge, edge))
    dz_dg, dz_dweight = np.zeros_like(g), np.zeros_like(weight)
    for a, b in np.ndindex(k, k):
        window = (slice(None), slice(None), slice(a, a + height), slice(b, b + width))
        dz_dg[window] += np.einsum("ndhw,dc->nchw", dz_dy, weight[:, :, a, b])
        dz_dweight[:, :, a, b] = np.einsum("ndhw,nchw->dc", dz_dy, g[window])
    return dz_dg[:, :, p : p + height : stride, p : p + width : stride], dz_dweight
    ### END SOLUTION


def reach(k, stride):
    """How many of k numbers in a row meet a value, for each place in a block: integers, (stride,)."""
    ### BEGIN SOLUTION
    r, a = np.arange(stride)[:, None], np.arange(k)
    return ((r + a - (k - 1) // 2) % stride == 0).sum(1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "upconvolution-forward", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_unpool(unpool)
checks.check_upconvolve(upconvolve)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(checks.fresh(0))
x = rng.normal(size=(2, 3, 2, 4))
expected = np.kron(x, np.eye(3)[:1].T @ np.eye(3)[:1])
np.testing.assert_allclose(unpool(x, 3), expected)
for n, c, d, h, w, k, stride in (
    (2, 3, 2, 3, 5, 5, 2),
    (1, 2, 2, 4, 2, 4, 2),
    (3, 1, 2, 2, 3, 2, 3),
    (1, 2, 1, 3, 3, 6, 1),
):
    x, weight = rng.normal(size=(n, c, h, w)), rng.normal(size=(d, c, k, k))
    given = x.copy(), weight.copy()
    y = upconvolve(x, weight, stride)
    assert np.array_equal(x, given[0]) and np.array_equal(weight, given[1]), "changed what it was given"
    np.testing.assert_allclose(y, checks.upconvolved(x, weight, stride)[0], atol=1e-9)
assert upconvolve(x.astype(np.float32), weight.astype(np.float32), 2).dtype == np.float32
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "upconvolution-backward", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_upconvolve_backward(upconvolve_backward)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(checks.fresh(1))
for n, c, d, h, w, k, stride in (
    (2, 3, 2, 3, 5, 5, 2),
    (1, 2, 2, 4, 2, 4, 2),
    (3, 1, 2, 2, 3, 2, 3),
    (1, 2, 1, 3, 3, 6, 1),
):
    x, weight = rng.normal(size=(n, c, h, w)), rng.normal(size=(d, c, k, k))
    dz_dy = rng.normal(size=(n, d, stride * h, stride * w))
    given = dz_dy.copy(), x.copy(), weight.copy()
    dz_dx, dz_dweight = upconvolve_backward(dz_dy, x, weight, stride)
    assert all(np.array_equal(a, b) for a, b in zip((dz_dy, x, weight), given, strict=True)), (
        "changed what it was given"
    )
    _, expected_x, expected_weight = checks.upconvolved(x, weight, stride, dz_dy)
    np.testing.assert_allclose(dz_dx, expected_x, atol=1e-9)
    np.testing.assert_allclose(dz_dweight, expected_weight, atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "upconvolution-reach", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_reach(reach)
### BEGIN HIDDEN TESTS
for k, stride in ((5, 2), (4, 2), (6, 3), (7, 3), (2, 4), (1, 1), (8, 5), (10, 4), (3, 1)):
    row = torch.zeros(1, 1, 9 * stride)
    row[..., ::stride] = 1
    met = torch.nn.functional.conv1d(row, torch.ones(1, 1, k))[0, 0].round().long()
    start = 4 * stride - (k - 1) // 2
    assert np.array_equal(np.asarray(reach(k, stride)), met[start : start + stride].numpy())
### END HIDDEN TESTS

# %% [markdown]
# A constant map through your up-convolution, with a kernel of ones. Before you run this: which of the four are flat?

# %%
with checks.when_done("Task 4"):
    _, axes = plt.subplots(1, 4, figsize=(9.6, 2.6))
    for ax, (k, stride) in zip(axes, ((5, 2), (4, 2), (5, 3), (6, 3)), strict=True):
        y = upconvolve(np.ones((1, 1, 6, 6)), np.ones((1, 1, k, k)), stride)[0, 0]
        ax.imshow(y[3:-3, 3:-3], cmap="gray", vmin=0, vmax=9)
        ax.set_title(f"{k} × {k}, stride {stride}\na row meets {', '.join(map(str, reach(k, stride)))}", fontsize=9)
        ax.set_axis_off()
    plt.show()

# %% [markdown]
# ## Task 5 · The grid: turn the picture, not the eye
#
# *45 minutes, 9 points*
#
# Six numbers θ may shear and flip a picture. Often four suffice, and they are easier to think about if they say what happens to
# the **picture** that is seen: about its middle, it is turned by $a$ (radians, counter-clockwise as you see it), enlarged $e^q$ times, and
# then moved $r$ pixels to the right and $d$ pixels **down**. Write the grid that does it, for a batch of $p = (a, q, r, d)$, and its gradient
# $\partial z/\partial p$ (NumPy only).
#
# Measure places in *pixels from the middle*, $X = x_{\text{pixel}} - \tfrac{W-1}{2}$ and $Y = y_{\text{pixel}} - \tfrac{H-1}{2}$. Insert this
# into the formula for $x_{\text{pixel}}$ at the top: what is $x$, given $X$? A point of the picture goes from $(X_s, Y_s)$ to
#
# $$\begin{pmatrix} X_t \\ Y_t \end{pmatrix} = e^q \begin{pmatrix} \cos a & \sin a \\ -\sin a & \cos a \end{pmatrix}
# \begin{pmatrix} X_s \\ Y_s \end{pmatrix} + \begin{pmatrix} r \\ d \end{pmatrix}$$
#
# (with $y$ down this *is* counter-clockwise: where does (1, 0) go at $a = 90°$?). The grid asks the other way round: for each
# pixel $(X_t, Y_t)$ of the output, from where in the input is it fetched? Input and output have the same size $H \times W$, which need
# not be square, and a turned square must stay a square.
#
# For the gradient: once $X_s$ and $Y_s$ are known, their derivatives by $a$ and by $q$ are very short.


# %% nbgrader={"grade": false, "grade_id": "grid", "locked": false, "schema_version": 3, "solution": true, "task": false}
def picture_grid(p, height, width):
    """Where to look so that the picture is turned, enlarged and moved.

    Args:
        p: (N, 4): a in radians, q, r and d in pixels. height, width: H and W of input and output.

    Returns:
        (N, H, W, 2): for each pixel of the output its place (x, y) in the input, from -1 to 1 across it.
    """
    ### BEGIN SOLUTION
    a, q, r, d = p.T[..., None, None]  # each (N, 1, 1)
    X_t = np.arange(width) - (width - 1) / 2 - r  # (N, 1, W)
    Y_t = np.arange(height)[:, None] - (height - 1) / 2 - d  # (N, H, 1)
    X_s = np.exp(-q) * (np.cos(a) * X_t - np.sin(a) * Y_t)
    Y_s = np.exp(-q) * (np.sin(a) * X_t + np.cos(a) * Y_t)
    return np.stack([2 * X_s / width, 2 * Y_s / height], -1)
    ### END SOLUTION


def picture_grid_backward(dz_dgrid, p):
    """dz_dgrid (N, H, W, 2), p (N, 4) -> dz_dp (N, 4)."""
    ### BEGIN SOLUTION
    height, width = dz_dgrid.shape[1:3]
    pixels = np.array([width, height]) / 2
    X_s, Y_s = np.moveaxis(picture_grid(p, height, width) * pixels, -1, 0)  # (N, H, W)
    by_X, by_Y = np.moveaxis(dz_dgrid / pixels, -1, 0)
    each = [X_s * by_Y - Y_s * by_X, -X_s * by_X - Y_s * by_Y, by_X, by_Y]
    dz_da, dz_dq, sum_X, sum_Y = (part.sum((1, 2)) for part in each)  # (N,)
    cos, sin = np.exp(-p[:, 1]) * np.cos(p[:, 0]), np.exp(-p[:, 1]) * np.sin(p[:, 0])
    return np.stack([dz_da, dz_dq, -cos * sum_X - sin * sum_Y, sin * sum_X - cos * sum_Y], 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "grid-moves", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_grid_moves(picture_grid)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(checks.fresh(0))
for n, h, w in ((3, 4, 7), (1, 6, 2), (2, 1, 5)):
    p = rng.normal(size=(n, 4))
    p[:, 0] = 0
    given = p.copy()
    grid = picture_grid(p, h, w)
    assert np.array_equal(p, given), "changed what it was given"
    assert grid.shape == (n, h, w, 2)
    np.testing.assert_allclose(grid, checks.turned_grid(p, h, w), atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "grid-turns", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_grid_turns(picture_grid)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(checks.fresh(1))
for n, h, w in ((3, 4, 7), (1, 6, 2), (2, 5, 5)):
    p = rng.normal(size=(n, 4))
    np.testing.assert_allclose(picture_grid(p, h, w), checks.turned_grid(p, h, w), atol=1e-9)
p = np.array([[np.pi / 2, 0.0, 0.0, 0.0]])  # a quarter of a turn counter-clockwise is what rot90 does
picture = torch.tensor(rng.normal(size=(1, 1, 5, 5)))
seen = F.grid_sample(picture, torch.as_tensor(picture_grid(p, 5, 5)), align_corners=False)
torch.testing.assert_close(seen, torch.rot90(picture, 1, (2, 3)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "grid-backward", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_grid_backward(picture_grid_backward)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(checks.fresh(2))
for n, h, w in ((3, 4, 7), (1, 6, 2), (2, 3, 3)):
    p, dz_dgrid = rng.normal(size=(n, 4)), rng.normal(size=(n, h, w, 2))
    given = p.copy(), dz_dgrid.copy()
    dz_dp = picture_grid_backward(dz_dgrid, p)
    assert np.array_equal(p, given[0]) and np.array_equal(dz_dgrid, given[1]), "changed what it was given"
    np.testing.assert_allclose(dz_dp, checks.turned_grid_gradient(dz_dgrid, p), rtol=1e-6, atol=1e-9)
### END HIDDEN TESTS

# %% [markdown]
# ## Task 6 · The bilinear sampler before a wall
#
# *60 minutes, 12 points*
#
# Outside the image the lecture's sampler sees 0. Let it see a wall there, of the colour $b$ (a number for each channel). Every
# place $i$ sees the share $S_i$ of the image and the rest of the wall:
#
# $$V_{ci} = \sum_{n,m} U_{cnm}\, h(x_i - m)\, h(y_i - n) + b_c\,(1 - S_i), \qquad
#   S_i = \sum_{n,m} h(x_i - m)\, h(y_i - n), \qquad h(d) = \max(0, 1 - |d|),$$
#
# where $x_i, y_i$ are in pixels, and $n$, $m$ run over the rows and columns of the image. $S_i$ is 1 inside, 0 far outside, and
# in between less than one pixel beyond the outermost centres. With $b = 0$ it is the sampler of the lecture.
#
# `sample` gets a batch, $U$ $(N, C, H, W)$, its own grid for each example $(N, H', W', 2)$, from −1 to 1 as said at the top, and $b$ $(C,)$ for all.
# `sample_backward` returns three gradients, **by the image, by the grid and by the wall**. NumPy only. Mind that
#
# - many places may look at one pixel, and places may lie far outside;
# - the grid is in units of −1 to 1, not in pixels, and one place serves all channels;
# - $b$ is the same for all examples and places, and it also has a part in $\partial z/\partial x_i$;
# - at a whole $x_i$ there is a kink. As in the lecture, take the slope to the **right** (and for $y_i$ downwards).
#
# You may sum over all pixels, or only over the four that count.


# %% nbgrader={"grade": false, "grade_id": "sampler", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample(U, grid, b):
    """The images at the places of a grid, before a wall.

    Args:
        U: (N, C, H, W). grid: (x, y) from -1 to 1, (N, H', W', 2). b: colour of the wall, (C,).

    Returns:
        V, (N, C, H', W').
    """
    ### BEGIN SOLUTION
    hats_x, hats_y, _, _ = hats_and_slopes(U, grid)
    inside = np.einsum("nhwj,nhwi->nhw", hats_x, hats_y)[:, None]  # (N, 1, H', W')
    seen = np.einsum("ncij,nhwj,nhwi->nchw", U, hats_x, hats_y, optimize=True)
    return seen + b[:, None, None] * (1 - inside)
    ### END SOLUTION


def sample_backward(dz_dV, U, grid, b):
    """dz_dV like V -> (dz_dU like U, dz_dgrid like grid, dz_db like b)."""
    ### BEGIN SOLUTION
    hats_x, hats_y, slopes_x, slopes_y = hats_and_slopes(U, grid)
    dz_dU = np.einsum("nchw,nhwj,nhwi->ncij", dz_dV, hats_x, hats_y, optimize=True)
    above = U - b[:, None, None]  # a share that leaves the wall shows the image instead
    dz_dx = np.einsum("nchw,ncij,nhwj,nhwi->nhw", dz_dV, above, slopes_x, hats_y, optimize=True) * U.shape[3] / 2
    dz_dy = np.einsum("nchw,ncij,nhwj,nhwi->nhw", dz_dV, above, hats_x, slopes_y, optimize=True) * U.shape[2] / 2
    outside = 1 - np.einsum("nhwj,nhwi->nhw", hats_x, hats_y)
    return dz_dU, np.stack([dz_dx, dz_dy], -1), np.einsum("nchw,nhw->c", dz_dV, outside)
    ### END SOLUTION


def hats_and_slopes(U, grid):
    """For what `sample` and `sample_backward` both need, if you like. Nothing tests it."""
    ### BEGIN SOLUTION
    found = []
    for axis, size in ((0, U.shape[3]), (1, U.shape[2])):
        place = ((grid[..., axis, None] + 1) * size - 1) / 2
        ahead = np.arange(size) - place  # (N, H', W', W or H): m - x
        slope = ((ahead > 0) & (ahead <= 1)) * 1.0 - ((ahead > -1) & (ahead <= 0)) * 1.0
        found.append((np.maximum(0, 1 - np.abs(ahead)), slope))
    (hats_x, slopes_x), (hats_y, slopes_y) = found
    return hats_x, hats_y, slopes_x, slopes_y
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sampler-values", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_sample(sample)
### BEGIN HIDDEN TESTS
for seed, shape, (h, w), far in (
    (0, (2, 3, 4, 6), (3, 5), 1.0),
    (1, (1, 1, 5, 3), (6, 2), 1.6),
    (2, (3, 2, 1, 4), (2, 3), 1.3),
):
    U, grid, b, _ = checks.places(checks.fresh(seed), shape, h, w, far)
    given = U.copy(), grid.copy(), b.copy()
    V = sample(U, grid, b)
    assert all(np.array_equal(a, c) for a, c in zip((U, grid, b), given, strict=True)), "changed what it was given"
    np.testing.assert_allclose(V, checks.sampled(U, grid, b)[0], atol=1e-9)
grid *= 1000  # far outside
np.testing.assert_allclose(sample(U, grid, b), np.broadcast_to(b[:, None, None], V.shape), atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sampler-image", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_sample_image(sample_backward)
### BEGIN HIDDEN TESTS
for seed, shape, (h, w), far in (
    (3, (2, 3, 2, 4), (5, 7), 1.0),
    (4, (1, 1, 5, 3), (6, 2), 1.6),
    (5, (3, 2, 4, 4), (2, 3), 1.3),
):
    U, grid, b, dz_dV = checks.places(checks.fresh(seed), shape, h, w, far)
    given = dz_dV.copy(), U.copy(), grid.copy(), b.copy()
    dz_dU = sample_backward(dz_dV, U, grid, b)[0]
    unchanged = (np.array_equal(a, c) for a, c in zip((dz_dV, U, grid, b), given, strict=True))
    assert all(unchanged), "changed what it was given"
    np.testing.assert_allclose(dz_dU, checks.sampled(U, grid, b, dz_dV)[1], atol=1e-9)
grid[:, :, 1:] = grid[:, :, :1]  # several places at one
np.testing.assert_allclose(sample_backward(dz_dV, U, grid, b)[0], checks.sampled(U, grid, b, dz_dV)[1], atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sampler-grid", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_sample_grid(sample_backward)
### BEGIN HIDDEN TESTS
for seed, shape, (h, w), far in (
    (6, (2, 3, 2, 4), (5, 7), 1.0),
    (7, (1, 1, 5, 3), (6, 2), 1.6),
    (8, (3, 2, 4, 4), (2, 3), 1.3),
):
    U, grid, b, dz_dV = checks.places(checks.fresh(seed), shape, h, w, far)
    dz_dgrid = sample_backward(dz_dV, U, grid, b)[1]
    np.testing.assert_allclose(dz_dgrid, checks.sampled(U, grid, b, dz_dV)[2], atol=1e-8)
dz_dgrid = sample_backward(dz_dV, U, 1000 * grid, b)[1]
assert not np.any(dz_dgrid), "far outside nothing changes"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sampler-wall", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_sample_wall(sample_backward)
### BEGIN HIDDEN TESTS
for seed, shape, (h, w), far in (
    (9, (2, 3, 3, 4), (5, 7), 1.3),
    (10, (1, 1, 5, 3), (6, 2), 3.0),
    (11, (2, 2, 4, 4), (3, 3), 0.5),
):
    U, grid, b, dz_dV = checks.places(checks.fresh(seed), shape, h, w, far)
    dz_db = sample_backward(dz_dV, U, grid, b)[2]
    np.testing.assert_allclose(dz_db, checks.sampled(U, grid, b, dz_dV)[3], atol=1e-9)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sampler-kinks", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_sample_kinks(sample_backward)
### BEGIN HIDDEN TESTS
U, _, b, dz_dV = checks.places(checks.fresh(12), (2, 2, 4, 8), 4, 8, 1.0)  # sides that are powers of two: exact
x, y = (np.arange(8) * 2 + 1) / 8 - 1, (np.arange(4) * 2 + 1) / 4 - 1
grid = np.broadcast_to(np.stack(np.meshgrid(x, y), -1), (2, 4, 8, 2)).copy()  # the identity
dz_dU, dz_dgrid, _ = sample_backward(dz_dV, U, grid, b)
np.testing.assert_allclose(dz_dU, dz_dV, atol=1e-9)
walled = np.pad(U - b[:, None, None], ((0, 0), (0, 0), (0, 1), (0, 1)))
np.testing.assert_allclose(dz_dgrid[..., 0], (dz_dV * np.diff(walled, axis=3)[:, :, :4]).sum(1) * 4, atol=1e-9)
np.testing.assert_allclose(dz_dgrid[..., 1], (dz_dV * np.diff(walled, axis=2)[:, :, :, :8]).sum(1) * 2, atol=1e-9)
### END HIDDEN TESTS

# %% [markdown]
# Your grid and your sampler on a picture that is not square, before a wall. Predict for each where the chair will be.

# %%
with checks.when_done("Tasks 5 and 6"):
    chair = 1 - render_chairs(["carver"], 40.0, 20.0, size=32)[0].double().numpy()  # 0 where the wall is
    chair = 1 - np.pad(chair, ((0, 0), (0, 0), (0, 0), (6, 6)))
    p = {
        "a = 0.5": (0.5, 0, 0, 0),
        "q = −0.5": (0, -0.5, 0, 0),
        "r = 12": (0, 0, 12, 0),
        "all three": (0.5, -0.5, 12, 0),
    }
    grid = picture_grid(np.array(list(p.values()), dtype=float), 32, 44)
    turned = sample(chair.repeat(4, 0), grid, np.array([-0.2, 0.0, 0.2]))
    _, axes = plt.subplots(1, 4, figsize=(9.6, 2.1))
    for ax, name, image in zip(axes, p, torch.tensor(turned), strict=True):
        ax.imshow(tile(image[None]))
        ax.set_title(name, fontsize=10)
        ax.set_axis_off()
    plt.show()

# %% [markdown]
# ## Task 7 · Moving a panorama
#
# *40 minutes, 7 points*
#
# A panorama goes around: to the right of its last column comes the first. Above the first row and below the last one, that row
# goes on. `move` fetches every pixel by a field of displacements $(u, v)$ in pixels,
#
# $$O(x, y) = I\bigl(x + u(x, y),\; y + v(x, y)\bigr),$$
#
# bilinear between the four pixels around, where $x + u$ is taken around the panorama as often as necessary, and $y + v$ is brought back to the range from 0
# to $H - 1$. Write it with tensors, so that autograd can differentiate it by the image **and** by the field.
#
# DeepWarp has two fields, coarse and fine. Two functions about that:
#
# - The coarse net works at half the size, and suppose its field $(N, 2, H/2, W/2)$ counts in pixels of the *half-size* image.
#   `total_field(coarse, fine)` returns $D = D_c + D_f$ at full size, with $D_c$ the coarse field enlarged bilinearly and in
#   pixels of the full image. (`F.interpolate(…, mode="bilinear", align_corners=False)` may be used; forget here that the panorama goes
#   around.)
# - DeepWarp moves once, by the sum. Moving *twice*, first by $D_1$ and then the result by $D_2$, is something else. `as_one(first, second)`
#   returns the one field that does both: put the definition of `move` into itself. (Where it needs a field
#   between pixels, a field is an image with two channels.)


# %% nbgrader={"grade": false, "grade_id": "panorama", "locked": false, "schema_version": 3, "solution": true, "task": false}
def move(image, field):
    """Fetch every pixel of a panorama from where the field points.

    Args:
        image: (N, C, H, W). field: (u, v) in pixels, (N, 2, H, W); u to the right, v down.

    Returns:
        (N, C, H, W), differentiable by both.
    """
    ### BEGIN SOLUTION
    n, c, h, w = image.shape
    x = torch.arange(w) + field[:, 0]  # (N, H, W)
    y = (torch.arange(h)[:, None] + field[:, 1]).clamp(0, h - 1)
    left, top = x.detach().floor(), y.detach().floor()
    right_share, below_share = x - left, y - top

    def pixels(column, row):
        place = (row.clamp(max=h - 1) * w + column % w).long().view(n, 1, h * w).expand(-1, c, -1)
        return image.flatten(2).gather(2, place).view(n, c, h, w)

    def across(row):
        share = right_share[:, None]
        return (1 - share) * pixels(left, row) + share * pixels(left + 1, row)

    return (1 - below_share[:, None]) * across(top) + below_share[:, None] * across(top + 1)
    ### END SOLUTION


def total_field(coarse, fine):
    """coarse (N, 2, H/2, W/2), in pixels of half the size; fine (N, 2, H, W) -> their sum, (N, 2, H, W)."""
    ### BEGIN SOLUTION
    return 2 * F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False) + fine
    ### END SOLUTION


def as_one(first, second):
    """The field that moves as move(move(image, first), second) does; all (N, 2, H, W)."""
    ### BEGIN SOLUTION
    return second + move(first, second)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "panorama-move", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_move(move)
### BEGIN HIDDEN TESTS
for seed, shape, size in ((0, (2, 3, 4, 6), 2.0), (1, (1, 1, 5, 3), 20.0), (2, (3, 2, 2, 4), 0.4)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    image = torch.randn(shape, generator=draws, dtype=torch.float64)
    field = size * torch.randn(shape[0], 2, *shape[2:], generator=draws, dtype=torch.float64)
    given = image.clone(), field.clone()
    torch.testing.assert_close(move(image, field), checks.moved(image, field))
    assert torch.equal(image, given[0]) and torch.equal(field, given[1]), "changed what it was given"
assert torch.equal(move(image, torch.zeros_like(field)), image), "nothing moves"
field[:, 0], field[:, 1] = 5.0, 0.0
torch.testing.assert_close(move(image, field), image.roll(-5, 3))
assert move(image.float(), field.float()).dtype == torch.float32
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "panorama-gradient", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_move_gradient(move)
### BEGIN HIDDEN TESTS
for seed, shape in ((3, (2, 3, 4, 6)), (4, (1, 1, 5, 3))):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    image = torch.randn(shape, generator=draws, dtype=torch.float64, requires_grad=True)
    field = 2 * torch.randn(shape[0], 2, *shape[2:], generator=draws, dtype=torch.float64)
    field.requires_grad_()
    dz_dO = torch.randn(shape, generator=draws, dtype=torch.float64)
    expected = torch.autograd.grad((checks.moved(image, field) * dz_dO).sum(), (image, field))
    (move(image, field) * dz_dO).sum().backward()
    torch.testing.assert_close(image.grad, expected[0])
    torch.testing.assert_close(field.grad, expected[1])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "panorama-total", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.check_total_field(total_field)
### BEGIN HIDDEN TESTS
for seed, n, h, w in ((5, 2, 2, 3), (6, 1, 4, 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    coarse = torch.randn(n, 2, h, w, generator=draws, dtype=torch.float64)
    fine = torch.randn(n, 2, 2 * h, 2 * w, generator=draws, dtype=torch.float64)
    expected = fine + 2 * torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    given = coarse.clone(), fine.clone()
    torch.testing.assert_close(total_field(coarse, fine), expected)
    assert torch.equal(coarse, given[0]) and torch.equal(fine, given[1]), "changed what it was given"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "panorama-one", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_as_one(as_one)
### BEGIN HIDDEN TESTS
for seed, n, h, w in ((7, 2, 4, 5), (8, 1, 3, 6)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    first, second = 1.5 * torch.randn(2, n, 2, h, w, generator=draws, dtype=torch.float64)
    given = first.clone(), second.clone()
    torch.testing.assert_close(as_one(first, second), second + checks.moved(first, second))
    assert torch.equal(first, given[0]) and torch.equal(second, given[1]), "changed what it was given"
    # Sideways and by whole pixels nothing is interpolated twice: once is exactly twice.
    second[:, 0], second[:, 1] = second[:, 0].round(), 0
    image = torch.randn(n, 3, h, w, generator=draws, dtype=torch.float64)
    twice = checks.moved(checks.moved(image, first), second)
    torch.testing.assert_close(checks.moved(image, as_one(first, second)), twice)
### END HIDDEN TESTS

# %% [markdown]
# A panorama of chairs, moved by a wave, and once around.

# %%
with checks.when_done("Task 7"):
    around = torch.cat(list(render_chairs(["stool", "carver", "office", "kitchen"], 40.0, 20.0, size=32)[0]), 2)[None]
    x, y = torch.arange(128), torch.arange(32)[:, None]
    wave = torch.stack([40 + 0 * x + 0 * y, 4 * torch.sin(2 * math.pi * x / 64) + 0 * y])[None]
    _, axes = plt.subplots(3, 1, figsize=(6.4, 5.2))
    for ax, picture, title in zip(
        axes,
        (around, move(around, wave), move(around, torch.stack([128 + 0 * x + 0 * y, 0.0 * x + 0 * y])[None])),
        ("as it was", "40 pixels and a wave", "once around"),
        strict=True,
    ):
        ax.imshow(tile(picture))
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    plt.show()

# %% [markdown]
# ## Task 8 · Written: half a circle is not enough
#
# *10 minutes, 3 points*
#
# A colleague gives the chair net $\sin a$ alone as its azimuth $a$, to save an input. All azimuths are equally frequent, and the loss is the
# squared error. (a) What will his perfectly trained net draw for a chair at 30°, in terms of the renderer's images $x_a$? Derive it.
# (b) What squared error per image remains, in terms of the same images? (c) How would the drawn *mask* give the mistake away, without looking at any
# other chair? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-sine", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) sin 30° = sin 150°, and nothing else tells the two apart; both are equally likely, so the answer with the least squared error is their mean,
# (x₃₀ + x₁₅₀)/2, for 30° and for 150°. [1 point]
#
# (b) The variance of the two: ‖x₃₀ − (x₃₀ + x₁₅₀)/2‖² = ‖x₃₀ − x₁₅₀‖²/4, whichever of the two was meant. [1 point]
#
# (c) Where the two masks differ, the drawn mask is about ½, over whole areas and not only along edges: v (1 − v) is near ¼ there, a ghost. [1 point]

# %% [markdown]
# ## Task 9 · Written: the black frame
#
# *10 minutes, 3 points*
#
# A classifier with a spatial transformer trains well for a hundred steps. Then one large step moves all of its places far outside the image, and from then on every picture that the
# classifier sees is one flat colour. (a) Use the formulas of task 6 to say what the gradients by the image, by the grid and by the wall are now, and why the transformer never comes back.
# (b) Would a sampler help whose border pixels go on outside, as in the lecture's `move`, if the places are beyond a corner? (c) Name two ways to avoid the accident, and why each
# works. Six sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-black", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) For each place h(x_i − m) or h(y_i − n) is 0 at all pixels, and so is its slope. So S = 0, dz/dU = 0 and dz/dgrid = 0; only dz/db = Σ dz/dV is left. θ gets its gradient through dz/dgrid alone, so it is 0 for every example, and the localisation net
# keeps its weights for ever (but for momentum and weight decay). [1 point]
#
# (b) No: beyond a corner every place sees the same corner pixel, both coordinates are cut off, and a constant has no gradient. (Beside an edge, along that edge, it does help.) [1 point]
#
# (c) Two of these, with the reason: start at the identity with a last layer of zeros (then all places are inside); a smaller learning rate for the localisation net, or gradients cut off at some
# norm (no single step is large enough); a bounded θ, for example through tanh (the places cannot leave); a penalty on places outside (it has a gradient where the sampler has none);
# a blurred picture with a wide margin (there is something to see further out). [1 point]
