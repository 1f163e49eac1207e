"""Maximum mean discrepancy: how far the mean features of two samples are apart, for features that a kernel implies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.errors import CourseError

# The bandwidths of Li et al. for 784 pixels in [0, 1]. Their kernel is exp(−‖x − y‖² / (2σ)): their σ is our σ².
GMMN = tuple(square**0.5 for square in (2.0, 5.0, 10.0, 20.0, 40.0, 80.0))


def gaussian_kernel(x: Tensor, y: Tensor, bandwidths: Sequence[float] | Tensor) -> Tensor:
    """k(x, y) = Σ_σ exp(−‖x − y‖² / (2σ²)), a sum of Gaussians of several bandwidths.

    Args:
        x, y: (N, …) and (M, …), flattened here.
        bandwidths: the σ, in units of the points, more than 0.

    Returns:
        (N, M), from 0 to the number of bandwidths.
    """
    return _of_squares(squared_distances(x, y), bandwidths)


def median_bandwidth(x: Tensor, y: Tensor | None = None) -> float:
    """The median distance between two different points of x and y together: a usual first choice of σ.

    Args:
        x: (N, …). y: (M, …), or None. Together at least two points.

    Raises:
        CourseError: fewer than two points, or more than half of all pairs are equal.
    """
    points = (x if y is None else torch.cat([x, y])).detach().flatten(1)
    if len(points) < 2:
        raise CourseError("A distance needs two points.")
    median = float(torch.nn.functional.pdist(points).median())
    if median == 0:
        raise CourseError("More than half of all pairs of points are equal; choose the bandwidth by hand.")
    return median


def mmd2(x: Tensor, y: Tensor, bandwidths: Sequence[float] | Tensor = GMMN, *, biased: bool = False) -> Tensor:
    """The squared MMD of two samples, in the kernel's form.

        mean of k(x, x') − 2 · mean of k(x, y) + mean of k(y, y')

    Unbiased, the first and the last mean leave out the pairs of a point with itself: right on average, and so at times
    below 0. Biased, they are kept: then it is exactly ‖mean φ(x) − mean φ(y)‖², at least 0, and larger than it should
    be by about (mean k(x, x) − mean k(x, x')) (1/N + 1/M).

    Args:
        x, y: (N, …) and (M, …), flattened here; unbiased, N and M are at least 2.
        bandwidths: of `gaussian_kernel`.

    Returns:
        (), differentiable in x and y.

    Raises:
        CourseError: too few points.

    Gretton et al. 2012, A Kernel Two-Sample Test, eq. 3 (unbiased) and 5 (biased).
    """
    n, m = len(x), len(y)
    least = 1 if biased else 2
    if min(n, m) < least:
        raise CourseError(f"This MMD needs {least} or more points on either side; there are {n} and {m}.")
    within_x, within_y = gaussian_kernel(x, x, bandwidths), gaussian_kernel(y, y, bandwidths)
    between = gaussian_kernel(x, y, bandwidths).mean()
    if biased:
        return within_x.mean() - 2 * between + within_y.mean()
    first = (within_x.sum() - within_x.diagonal().sum()) / (n * (n - 1))
    last = (within_y.sum() - within_y.diagonal().sum()) / (m * (m - 1))
    return first - 2 * between + last


def mmd2_linear(x: Tensor, y: Tensor, bandwidths: Sequence[float] | Tensor = GMMN) -> Tensor:
    """The squared MMD from N/2 pairs of pairs, unbiased, in time and memory that grow as N.

        mean over i of k(x_2i, x_2i+1) + k(y_2i, y_2i+1) − k(x_2i, y_2i+1) − k(x_2i+1, y_2i)

    Its terms are independent, so its error is known and Gaussian; and larger than that of `mmd2`, which sees all pairs.

    Args:
        x, y: (N, …) each, N at least 2; the last of an odd number is left out.

    Returns:
        (), differentiable in x and y.

    Gretton et al. 2012, lemma 14.
    """
    if len(x) != len(y) or len(x) < 2:
        raise CourseError(f"Pairs need equally many points, two or more; there are {len(x)} and {len(y)}.")
    half = len(x) // 2
    x, y = x.flatten(1)[: 2 * half], y.flatten(1)[: 2 * half]
    pairs = ((x[::2], x[1::2], 1), (y[::2], y[1::2], 1), (x[::2], y[1::2], -1), (x[1::2], y[::2], -1))
    return sum(sign * _of_squares((a - b).square().sum(1), bandwidths) for a, b, sign in pairs).mean()


def mmd2_of_features(x: Tensor, y: Tensor) -> Tensor:
    """‖mean φ(x) − mean φ(y)‖² of features that are given, the form without a kernel: the biased MMD of k = φ(x)ᵀφ(y).

    Args:
        x, y: features (N, F) and (M, F).

    Returns:
        (), at least 0.
    """
    return (x.mean(0) - y.mean(0)).square().sum()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x − y‖² for all pairs of (N, …) and (M, …), both moved by the mean of x so that few digits are lost: (N, M)."""
    x, y = x.flatten(1), y.flatten(1)
    middle = x.detach().mean(0)
    x, y = x - middle, y - middle
    return (x.square().sum(1)[:, None] - 2 * x @ y.T + y.square().sum(1)[None]).clamp(min=0)


def _of_squares(squares: Tensor, bandwidths: Sequence[float] | Tensor) -> Tensor:
    if not len(bandwidths) or min(float(s) for s in bandwidths) <= 0:
        raise CourseError("A Gaussian kernel needs bandwidths, and each is more than 0.")
    return sum(torch.exp(-squares / (2 * float(s) ** 2)) for s in bandwidths)
