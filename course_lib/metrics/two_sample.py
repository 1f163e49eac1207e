"""Are two samples from the same distribution? A test that may be wrong as often as it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.device import in_float64
from course_lib.errors import CourseError
from course_lib.losses.mmd import gaussian_kernel


class TwoSample(NamedTuple):
    """Attributes: the statistic, MMD² without bias; and p, the share of relabellings that give as much or more."""

    statistic: float
    p: float


def two_sample_test(
    x: Tensor, y: Tensor, bandwidths: Sequence[float], *, permutations: int = 200, seed: int = 0
) -> TwoSample:
    """Compare MMD² of two samples with what it is when their points are dealt out anew.

    If both come from one distribution, no deal is special, and p ≤ α has probability at most α, for every N and every
    kernel. The kernel decides how often a difference is seen (the power).

    Args:
        x, y: (N, …) and (M, …), N and M at least 2.
        bandwidths: of the Gaussian kernel, chosen without looking at which point is whose.
        permutations: deals; p is at least 1/(permutations + 1).
        seed: of the deals.

    Raises:
        CourseError: too few points.

    Gretton et al. 2012, A Kernel Two-Sample Test; the deals after Fisher.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise CourseError(f"The test needs two or more points on either side; there are {n} and {m}.")
    points = in_float64(torch.cat([x.flatten(1), y.flatten(1)]))
    kernel = gaussian_kernel(points, points, bandwidths)
    kernel.fill_diagonal_(0)
    draws = torch.Generator().manual_seed(seed)
    orders = [torch.arange(n + m), *(torch.randperm(n + m, generator=draws) for _ in range(permutations))]
    mine = torch.zeros(len(orders), n + m, dtype=torch.float64)
    mine.scatter_(1, torch.stack(orders)[:, :n], 1.0)
    mine = mine.to(kernel.device)  # (P + 1, N + M), 1 where a point is dealt to x
    yours = 1 - mine
    to_mine = mine @ kernel
    statistic = (
        (to_mine * mine).sum(1) / (n * (n - 1))
        - 2 * (to_mine * yours).sum(1) / (n * m)
        + (yours @ kernel * yours).sum(1) / (m * (m - 1))
    )
    as_large = (statistic[1:] >= statistic[0] - 1e-12 * statistic.abs().max()).sum()
    return TwoSample(float(statistic[0]), (int(as_large) + 1) / (permutations + 1))
