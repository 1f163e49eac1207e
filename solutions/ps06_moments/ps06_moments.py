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
# # Problem set 06 · Moment matching
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/your-organisation/networks-that-generate/blob/main/assignments/ps06_moments/ps06_moments.ipynb)
#
# Seven tasks in code (44 points) and two written answers (6 points): **50 points**, about 250 minutes. No GPU is needed.
# The lecture is `notebooks/06_moments.ipynb`.
#
# | task | | minutes | points |
# |---|---|---|---|
# | 1 | What a quadratic kernel compares | 30 | 6 |
# | 2 | A mixture, biased and unbiased, and its widths | 40 | 8 |
# | 3 | Linear time, with its error | 25 | 6 |
# | 4 | A test, and the honest best of several | 35 | 7 |
# | 5 | Forces of another kernel, by hand | 35 | 6 |
# | 6 | A root that is safe at 0, and one step | 35 | 6 |
# | 7 | A window that does not see itself | 30 | 5 |
# | 8, 9 | Written answers | 20 | 3 + 3 |
#
# **How it works.** Replace each `raise NotImplementedError()` by your code. The cell below it checks your work and says
# what is likely wrong. After you hand in, hidden tests use other data, other shapes and extreme cases. No task needs
# another task's code, so do them in any order.
#
# **Rules.** Functions return new tensors and leave the tensors that they are given as they were. `course_lib.losses.mmd` and
# `course_lib.metrics` are there to compare with, not to be called in an answer.
#
# **Notation** as in the lecture: samples $x_1, \dots, x_N$ and $y_1, \dots, y_M$, shapes $(N, D)$ and $(M, D)$; $N$ and $M$
# may differ. Results have the dtype of $x$.

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

import copy
import math

import matplotlib.pyplot as plt
import torch
from torch import nn

from course_lib.checks import moments as checks
from course_lib.data import ring
from course_lib.losses.mmd import mmd2

device, budget = course_lib.start(BUDGET, SEED, device="cpu")

# %% [markdown]
# ## Task 1 · What a quadratic kernel compares
#
# *30 minutes, 6 points*
#
# The kernel is $k(x, y) = (c + x^\top y)^2$ with $c \ge 0$, for points of $D$ numbers. `quadratic_features` returns features with
# $\varphi(x)^\top\varphi(y) = k(x, y)$, one row for each point, with $1 + D + D(D + 1)/2$ columns in any order: multiply the
# square out, and give each different product of coordinates one column. The product $x_1 x_2$ comes up twice, as
# $x_1 x_2$ and as $x_2 x_1$.
#
# So MMD² with this kernel compares moments up to the second. `mmd2_by_moments` computes it from them alone:
#
# $$\mathrm{MMD}^2 = 2c\,\lVert m_x - m_y\rVert^2 + \lVert S_x - S_y\rVert_F^2, \qquad
#   m_x = \frac1N\sum_i x_i, \quad S_x = \frac1N\sum_i x_i x_i^\top ,$$
#
# where $\lVert\cdot\rVert_F^2$ is the sum of the squares of all entries. Derive it before you write it down. It needs no table of
# $N \times M$ kernel values; and where the samples are nearly alike, the three means of such a table are nearly equal, so that
# few digits of their difference are right. The moments are subtracted *before* they are squared, which keeps the digits.


# %% nbgrader={"grade": false, "grade_id": "quadratic", "locked": false, "schema_version": 3, "solution": true, "task": false}
def quadratic_features(x, c):
    """Features whose inner products are (c + x.y)^2.

    Args:
        x: (N, D). c: a number, at least 0.

    Returns:
        (N, 1 + D + D (D + 1) / 2)
    """
    ### BEGIN SOLUTION
    n, d = x.shape
    i, j = torch.triu_indices(d, d)
    often = torch.where(i == j, 1, 2).to(x)
    constant = torch.full((n, 1), c, dtype=x.dtype)
    return torch.cat([constant, math.sqrt(2 * c) * x, often.sqrt() * x[:, i] * x[:, j]], dim=1)
    ### END SOLUTION


def mmd2_by_moments(x, y, c):
    """MMD^2 of the kernel (c + x.y)^2, from the first and the second moments.

    Args:
        x: (N, D). y: (M, D). c: a number, at least 0.

    Returns:
        ()
    """
    ### BEGIN SOLUTION
    first = x.mean(0) - y.mean(0)
    second = x.T @ x / len(x) - y.T @ y / len(y)
    return 2 * c * first.square().sum() + second.square().sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "quadratic-features", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_quadratic_features(quadratic_features)
### BEGIN HIDDEN TESTS
for seed, n, d, c, dtype in (
    (0, 5, 4, 0.7, torch.float64),
    (1, 3, 1, 2.0, torch.float64),
    (2, 4, 2, 0.0, torch.float64),
    (3, 1, 6, 1.3, torch.float32),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(n, d, generator=draws, dtype=dtype)
    kept = x.clone()
    got = quadratic_features(x, c)
    assert torch.equal(x, kept), "changed what it was given"
    assert got.dtype == dtype
    assert got.shape == (n, 1 + d + d * (d + 1) // 2)
    expected = (c + x.double() @ x.double().T) ** 2
    torch.testing.assert_close(got.double() @ got.double().T, expected, rtol=1e-4, atol=1e-4)
    other = torch.randn(3, d, generator=draws, dtype=dtype)  # features of one point may not depend on the others
    across = (c + x.double() @ other.double().T) ** 2
    torch.testing.assert_close(got.double() @ quadratic_features(other, c).double().T, across, rtol=1e-4, atol=1e-4)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "quadratic-moments", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_mmd2_by_moments(mmd2_by_moments)
### BEGIN HIDDEN TESTS
for seed, n, m, d, c in ((4, 5, 7, 3, 0.8), (5, 6, 2, 1, 0.0), (6, 1, 4, 5, 2.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(n, d, generator=draws, dtype=torch.float64)
    y = 0.5 + torch.randn(m, d, generator=draws, dtype=torch.float64)
    kept = x.clone(), y.clone()
    got = mmd2_by_moments(x, y, c)
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(y, kept[1]), "changed what it was given"
    expected = ((c + x @ x.T) ** 2).mean() - 2 * ((c + x @ y.T) ** 2).mean() + ((c + y @ y.T) ** 2).mean()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
draws = torch.Generator().manual_seed(checks.fresh(7))
x, step = torch.randn(2, 40, 3, generator=draws, dtype=torch.float64)
y = x + 1e-6 * step  # nearly alike: MMD² is about 1e-12
first, second = (y - x).mean(0), (y.mT @ (y - x) + (y - x).mT @ x) / 40
expected = 2 * first.square().sum() + second.square().sum()
torch.testing.assert_close(mmd2_by_moments(x, y, 1.0), expected, rtol=1e-5, atol=0)
### END HIDDEN TESTS

# %% [markdown]
# A bell, another sample of it, and a ring whose law has the same mean, 0, and the same second moments, $S = I$. Which of two kernels tells the ring from the bell?

# %%
with checks.when_done("Task 1"):
    draws = torch.Generator().manual_seed(SEED)
    bell, again, angle = torch.randn(3, budget.pick(smoke=800, laptop=3000), 2, generator=draws)
    circle = math.sqrt(2) * angle / angle.norm(dim=1, keepdim=True)
    _, axes = plt.subplots(1, 2, figsize=(7.4, 3.6), sharex=True, sharey=True)
    for ax, y, name in ((axes[0], again, "another bell"), (axes[1], circle, "a ring")):
        quadratic = mmd2_by_moments(bell, y, 1.0)
        gaussian = mmd2(bell, y, (0.5,), biased=True)
        ax.plot(*bell[:400].T, ".", markersize=3, label="x, a bell")
        ax.plot(*y[:400].T, ".", markersize=3, label=f"y, {name}")
        ax.set(aspect="equal", xlim=(-4, 4), ylim=(-4, 5.5))
        ax.set_title(f"MMD²: quadratic {quadratic:.3f}, Gaussian {gaussian:.3f}", fontsize=9)
        ax.legend(fontsize=8, loc="upper center", ncols=2)
    plt.show()

# %% [markdown]
# ## Task 2 · A mixture, biased and unbiased, and its widths
#
# *40 minutes, 8 points*
#
# The kernel is a mixture in which each width has a share,
#
# $$k(x, y) = \sum_s p_s\, e^{-\lVert x - y\rVert^2/(2\sigma_s^2)} ,$$
#
# and the shares $p_s > 0$ need not sum to 1. `estimates` returns two numbers: the biased MMD² and the unbiased one, which leaves
# out the pairs of a point with itself. Both follow from the same three tables of kernel values; each table is needed once.
#
# Points may lie far from the origin, in float32 (for the widths, too). Then $\lVert x\rVert^2 - 2x^\top y + \lVert y\rVert^2$ is a small difference of large
# numbers, and perhaps none of its digits is right: subtract first, square afterwards.
#
# `median_widths` returns the widths $\sigma_s = f_s \cdot d$ for given factors $f_s$. Pool both samples; $d$ is the median of the distances of all
# $P(P - 1)/2$ pairs of its $P$ points. If the number of pairs is even, the median is the **mean of the two middle ones** (`torch.median` returns the lower of
# them). Points may be equal: should $d$ be 0, because more than half of the distances are, take the median of those that are not 0; if all are, $d = 1$.


# %% nbgrader={"grade": false, "grade_id": "estimates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def estimates(x, y, sigmas, shares):
    """MMD^2 with a mixture of Gaussian kernels, biased and unbiased.

    Args:
        x: (N, D). y: (M, D); N and M at least 2. sigmas, shares: lists of S numbers, more than 0.

    Returns:
        biased (), unbiased ()
    """

    ### BEGIN SOLUTION
    def kernel(a, b):
        squares = (a[:, None] - b[None]).square().sum(2)
        return sum(p * torch.exp(-squares / (2 * s**2)) for s, p in zip(sigmas, shares, strict=True))

    n, m = len(x), len(y)
    xx, xy, yy = kernel(x, x), kernel(x, y), kernel(y, y)
    across = 2 * xy.mean()
    biased = xx.mean() - across + yy.mean()
    first = (xx.sum() - xx.trace()) / (n * (n - 1))
    last = (yy.sum() - yy.trace()) / (m * (m - 1))
    return biased, first - across + last
    ### END SOLUTION


def median_widths(x, y, factors):
    """Multiples of the median distance of all pairs of points of the pool.

    Args:
        x: (N, D). y: (M, D); together at least two points. factors: a list of S numbers.

    Returns:
        (S,)
    """

    ### BEGIN SOLUTION
    def middle(ordered):
        k = len(ordered)
        return (ordered[(k - 1) // 2] + ordered[k // 2]) / 2

    distances = nn.functional.pdist(torch.cat([x, y])).sort().values
    median = middle(distances)
    if median == 0:
        apart = distances[distances > 0]
        median = middle(apart) if len(apart) else 1.0
    return torch.tensor(factors, dtype=x.dtype) * median
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "estimates-both", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_estimates(estimates)
### BEGIN HIDDEN TESTS
for seed, n, m, d, sigmas, shares, far in (
    (0, 5, 9, 3, [0.5, 1.0, 3.0], [0.2, 1.0, 2.5], 0.0),
    (1, 2, 2, 1, [1.5], [0.4], 0.0),
    (2, 30, 27, 2, [0.7, 2.0], [0.5, 0.5], 4096.0),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = far + torch.randint(-192, 193, (n, d), generator=draws).double() / 64  # exact in float32
    y = far + torch.randint(-128, 257, (m, d), generator=draws).double() / 64
    if n == 5:
        x[1], y = x[0].clone(), x.repeat(2, 1)[:m].clone()  # equal points; the unbiased estimate is below 0
    given = (x.float(), y.float()) if far else (x.clone(), y.clone())
    kept = given[0].clone(), given[1].clone()
    biased, unbiased = estimates(*given, sigmas, shares)
    assert torch.equal(given[0], kept[0]), "changed what it was given"
    assert torch.equal(given[1], kept[1]), "changed what it was given"
    assert biased.dtype == unbiased.dtype == given[0].dtype

    def k(a, b, sigmas=sigmas, shares=shares):
        squares = float((a - b).square().sum())
        return sum(p * math.exp(-squares / (2 * s**2)) for s, p in zip(sigmas, shares, strict=True))

    sums = [sum(k(a, b) for a in one for b in two) for one, two in ((x, x), (x, y), (y, y))]
    whole = sums[0] / n**2 - 2 * sums[1] / (n * m) + sums[2] / m**2
    own = sum(shares)
    without = (sums[0] - n * own) / (n * (n - 1)) - 2 * sums[1] / (n * m) + (sums[2] - m * own) / (m * (m - 1))
    assert abs(float(biased) - whole) < 1e-4
    assert abs(float(unbiased) - without) < 1e-4
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "estimates-widths", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_median_widths(median_widths)
### BEGIN HIDDEN TESTS
for seed, n, m, d, equal in (
    (3, 4, 3, 2, 0),
    (4, 5, 4, 3, 0),
    (5, 2, 6, 1, 0),
    (6, 7, 3, 2, 8),
    (7, 1, 1, 4, 0),
    (8, 4, 4, 2, 5),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    pool = torch.randn(n + m, d, generator=draws, dtype=torch.float64)
    pool[:equal] = pool[0].clone()
    x, y = pool[:n].clone(), pool[n:].clone()
    got = median_widths(x, y, [0.25, 1.0, 4.0])
    assert torch.equal(torch.cat([x, y]), pool), "changed what it was given"
    pairs = sorted(math.dist(pool[i].tolist(), pool[j].tolist()) for i in range(n + m) for j in range(i))
    if sum(distance == 0 for distance in pairs) > len(pairs) / 2:
        pairs = [distance for distance in pairs if distance > 0]
    middle = (pairs[(len(pairs) - 1) // 2] + pairs[len(pairs) // 2]) / 2
    torch.testing.assert_close(got, middle * torch.tensor([0.25, 1.0, 4.0]).double(), rtol=1e-8, atol=1e-8)
# Half of the distances are 0; most are, and the two middle ones of the others are 3 and 4.
for places, middle in (([0, 0, 0, 3], 1.5), ([0] * 11 + [1, 2, 4, 8], 3.5)):
    pool = torch.tensor(places, dtype=torch.float64)[:, None] / 1024
    got = median_widths(pool[:2], pool[2:], [1.0, 2.0])
    torch.testing.assert_close(got, middle / 1024 * torch.tensor([1.0, 2.0]).double(), rtol=1e-8, atol=0)
draws = torch.Generator().manual_seed(checks.fresh(9))
pool = 4096 + torch.randint(-192, 193, (40, 3), generator=draws).double() / 64  # exact in float32
pool[:32] = pool[0].clone()
pairs = [math.dist(a, b) for i, a in enumerate(pool.tolist()) for b in pool[:i].tolist()]
pairs = sorted(distance for distance in pairs if distance > 0)
middle = (pairs[(len(pairs) - 1) // 2] + pairs[len(pairs) // 2]) / 2
assert abs(float(median_widths(pool[:17].float(), pool[17:].float(), [2.0])[0]) - 2 * middle) < 1e-4
same = torch.full((3, 2), 0.5)
torch.testing.assert_close(median_widths(same, same[:2], [0.5, 2.0]), torch.tensor([0.5, 2.0]))
### END HIDDEN TESTS

# %% [markdown]
# Two samples of one law, twenty points each, many times. Which of the two estimates has its mean at 0?

# %%
with checks.when_done("Task 2"):
    draws = torch.Generator().manual_seed(SEED)
    found = []
    for _ in range(budget.pick(smoke=100, laptop=2000)):
        x, y = torch.randn(2, 20, 3, generator=draws)
        found.append([float(value) for value in estimates(x, y, median_widths(x, y, [0.5, 1.0]).tolist(), [0.5, 0.5])])
    _, ax = plt.subplots(figsize=(6, 3.0))
    for values, name in zip(zip(*found, strict=True), ("biased", "unbiased"), strict=True):
        ax.hist(values, bins=40, histtype="step", label=f"{name}, mean {sum(values) / len(values):+.4f}")
    ax.set(xlabel="estimate of MMD² = 0", ylabel="pairs of samples")
    ax.legend()
    plt.show()

# %% [markdown]
# ## Task 3 · Linear time, with its error
#
# *25 minutes, 6 points*
#
# The linear-time estimate is the mean of
#
# $$h_i = k(x_{2i-1}, x_{2i}) + k(y_{2i-1}, y_{2i}) - k(x_{2i-1}, y_{2i}) - k(x_{2i}, y_{2i-1}), \qquad i = 1, \dots, n.$$
#
# `pair_values` returns all $h_i$. If one sample is longer, or has an odd number of points, what is left over at its end is not
# used. Here `k` compares row with row: it takes two tensors $(B, D)$ and returns $(B,)$, for any $B$. Call it on no more than $4n$ rows in all.
#
# The $h_i$ are independent, so a test needs no deals. `linear_test` returns the estimate $\bar h$; its standard error
# $s/\sqrt n$, where $s^2 = \frac1{n - 1}\sum_i (h_i - \bar h)^2$; and, since $\bar h$ is nearly Gaussian for large $n$, the one-sided
#
# $$p = \mathrm P(Z \ge \bar h/\text{error}), \qquad Z \sim \mathcal N(0, 1) .$$
#
# `torch.erfc(t)` is $2\,\mathrm P(Z \ge \sqrt2\,t)$, for every $t$. Where the error is 0, let $p$ be 0 if $\bar h > 0$ and 1 otherwise.


# %% nbgrader={"grade": false, "grade_id": "linear", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pair_values(k, x, y):
    """The terms of the linear-time estimate.

    Args:
        k: kernel, (B, D), (B, D) -> (B,), row by row. x: (N, D). y: (M, D); both at least 2 points.

    Returns:
        (n,), n = half of the smaller number of points, rounded down
    """
    ### BEGIN SOLUTION
    used = min(len(x), len(y)) // 2 * 2
    x1, x2 = x[0:used:2], x[1:used:2]
    y1, y2 = y[0:used:2], y[1:used:2]
    return k(x1, x2) + k(y1, y2) - k(x1, y2) - k(x2, y1)
    ### END SOLUTION


def linear_test(h):
    """The linear-time estimate, its standard error, and the one-sided p.

    Args:
        h: (n,), n at least 2.

    Returns:
        estimate (), error (), p ()
    """
    ### BEGIN SOLUTION
    estimate, error = h.mean(), h.std() / math.sqrt(len(h))
    if error == 0:
        return estimate, error, (estimate <= 0).to(h)
    return estimate, error, torch.erfc(estimate / error / math.sqrt(2)) / 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "linear-pairs", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_pair_values(pair_values)
### BEGIN HIDDEN TESTS
for seed, n, m, d in ((0, 8, 8, 2), (1, 7, 12, 3), (2, 11, 6, 1), (3, 3, 2, 4)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(n, d, generator=draws, dtype=torch.float64)
    y = torch.randn(m, d, generator=draws, dtype=torch.float64) + 0.3
    kept, rows = (x.clone(), y.clone()), []

    def k(a, b, rows=rows):
        rows.append(len(a))
        return 1 / (1 + (a - b).square().sum(1))

    got = pair_values(k, x, y)
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(y, kept[1]), "changed what it was given"
    half = min(n, m) // 2
    assert got.shape == (half,)
    assert sum(rows) <= 4 * half, "more kernel values than linear time has"

    def one(a, b):
        return 1 / (1 + float((a - b).square().sum()))

    for i in range(half):
        a, b, s, t = x[2 * i], x[2 * i + 1], y[2 * i], y[2 * i + 1]
        assert abs(float(got[i]) - (one(a, b) + one(s, t) - one(a, t) - one(b, s))) < 1e-9
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "linear-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_linear_test(linear_test)
### BEGIN HIDDEN TESTS
for seed, n, shift in ((4, 12, 0.4), (5, 2, 0.0), (6, 40, -0.3)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    h = shift + torch.randn(n, generator=draws, dtype=torch.float64)
    kept = h.clone()
    estimate, error, p = linear_test(h)
    assert torch.equal(h, kept), "changed what it was given"
    mean = sum(h.tolist()) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in h.tolist()) / (n - 1) / n)
    assert abs(float(estimate) - mean) < 1e-9
    assert abs(float(error) - deviation) < 1e-9
    assert abs(float(p) - math.erfc(mean / deviation / math.sqrt(2)) / 2) < 1e-6
    assert abs(float(linear_test(h / 2**40)[2]) - float(p)) < 1e-6, "p does not depend on the scale of h"
for level, expected in ((0.25, 0.0), (0.0, 1.0), (-0.5, 1.0)):
    estimate, error, p = linear_test(torch.full((8,), level, dtype=torch.float64))
    assert (float(estimate), float(error), float(p)) == (level, 0.0, expected)
### END HIDDEN TESTS

# %% [markdown]
# The test on pairs of samples of one law, and of two laws that are 0.5 apart. "Nearly Gaussian": for how few points does the
# level of 0.05 fail?

# %%
with checks.when_done("Task 3"):
    draws = torch.Generator().manual_seed(SEED)
    sizes = [4, 8, 20, 60, 200, *budget.pick(smoke=[], laptop=[600, 2000])]
    repeats = budget.pick(smoke=40, laptop=1000)
    _, ax = plt.subplots(figsize=(6, 3.2))
    for shift, name in ((0.0, "equal laws"), (0.5, "0.5 apart")):
        shares = []
        for size in sizes:
            found = 0
            for _ in range(repeats):
                x, y = torch.randn(2, size, 1, generator=draws)
                h = pair_values(lambda a, b: torch.exp(-(a - b).square().sum(1) / 2), x, y + shift)
                found += float(linear_test(h)[2]) <= 0.05
            shares.append(found / repeats)
        ax.plot(sizes, shares, "o-", label=name)
    ax.axhline(0.05, color="black", linestyle=":", linewidth=1, label="0.05")
    ax.set(xscale="log", xlabel="points of each sample", ylabel="share of p ≤ 0.05", ylim=(0, 1.02))
    ax.legend(loc="upper left")
    plt.show()

# %% [markdown]
# ## Task 4 · A test, and the honest best of several
#
# *35 minutes, 7 points*
#
# $S$ kernels have been evaluated on the pool of $P$ points: `K` is $(S, P, P)$. As the pool stands, its first $n$ points are x and the other $m = P - n$ are y. Each row of
# `deals`, $(R, P)$, is an order of the pool: in deal $r$ the points with the numbers `deals[r, :n]` are x, the rest are y. `dealt_mmd2` returns
# the **biased** MMD² of each kernel, $(S, R + 1)$: column 0 for the pool as it stands, then one column for each deal.
#
# `p_values` gets this table $v$ and returns two things. First, for each kernel alone,
#
# $$p_s = \frac{1 + \#\{r : v_{s,r} \ge v_{s,0} - 10^{-9}\}}{1 + R}, \qquad (S,),$$
#
# where $10^{-9}$ makes sure, in float64, that a deal which is as good counts in spite of rounding. Second, one $p$ for *the best of all kernels*, (). The smallest $p_s$ promises too much. But
# $b_r = \max_s v_{s,r}$ is a statistic like any other, **if every deal may choose its best kernel too**: put $b$ in the place of $v_s$.


# %% nbgrader={"grade": false, "grade_id": "permutation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dealt_mmd2(K, n, deals):
    """Biased MMD^2 of each kernel, as the pool stands and after each deal.

    Args:
        K: kernel values of the pool, (S, P, P), symmetric. n: points of x, 0 < n < P. deals: orders, int64, (R, P).

    Returns:
        (S, R + 1)
    """
    ### BEGIN SOLUTION
    size = K.shape[1]
    orders = torch.cat([torch.arange(size)[None], deals])
    w = torch.full(orders.shape, -1 / (size - n), dtype=K.dtype)
    w = w.scatter(1, orders[:, :n], 1 / n)
    return ((w @ K) * w).sum(2)
    ### END SOLUTION


def p_values(values):
    """p of each kernel alone, and of the best of all.

    Args:
        values: (S, R + 1), column 0 as the pool stands.

    Returns:
        (S,), ()
    """
    ### BEGIN SOLUTION
    best = values.amax(0)
    deals = values.shape[1] - 1
    each = (values[:, 1:] >= values[:, :1] - 1e-9).sum(1)
    together = (best[1:] >= best[0] - 1e-9).sum()
    return (1 + each.to(values)) / (1 + deals), (1 + together.to(values)) / (1 + deals)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "permutation-values", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.check_dealt_mmd2(dealt_mmd2)
### BEGIN HIDDEN TESTS
for seed, kernels, n, m, count in ((0, 3, 4, 5, 6), (1, 1, 2, 7, 3), (2, 2, 3, 1, 1)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    K = torch.rand(kernels, n + m, n + m, generator=draws, dtype=torch.float64)
    K = K + K.mT
    deals = torch.stack([torch.randperm(n + m, generator=draws) for _ in range(count)])
    kept = K.clone(), deals.clone()
    got = dealt_mmd2(K, n, deals)
    assert torch.equal(K, kept[0]), "changed what it was given"
    assert torch.equal(deals, kept[1]), "changed what it was given"
    assert got.shape == (kernels, count + 1)
    for r, order in enumerate([list(range(n + m)), *deals.tolist()]):
        x, y = order[:n], order[n:]
        for s in range(kernels):
            expected = K[s][x][:, x].mean() - 2 * K[s][x][:, y].mean() + K[s][y][:, y].mean()
            assert abs(float(got[s, r] - expected)) < 1e-9
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "permutation-p", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_p_values(p_values)
### BEGIN HIDDEN TESTS
for seed, kernels, count in ((3, 3, 20), (4, 1, 9), (5, 5, 60)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    values = torch.randint(30, (kernels, count + 1), generator=draws).double() / 64
    values[:, 0] += 0.2 * torch.rand(kernels, generator=draws, dtype=torch.float64).mul(4).floor() / 4
    kept = values.clone()
    each, together = p_values(values)
    assert torch.equal(values, kept), "changed what it was given"
    rows = values.tolist()
    for s, row in enumerate(rows):
        assert abs(float(each[s]) - (1 + sum(v >= row[0] - 1e-9 for v in row[1:])) / (1 + count)) < 1e-6
    best = [max(column) for column in zip(*rows, strict=True)]
    assert abs(float(together) - (1 + sum(v >= best[0] - 1e-9 for v in best[1:])) / (1 + count)) < 1e-6
each, together = p_values(torch.tensor([[0.5, 0.5 - 8e-10, 0.5 - 2e-9]], dtype=torch.float64))
assert abs(float(each[0]) - 2 / 3) < 1e-6, "as good, but for rounding"
assert abs(float(together) - 2 / 3) < 1e-6, "as good, but for rounding"
### END HIDDEN TESTS

# %% [markdown]
# Two samples of *one* law, many times, with ten bandwidths. Which way of using all ten finds a difference that is not there?

# %%
with checks.when_done("Task 4"):
    draws = torch.Generator().manual_seed(SEED)
    factors, repeats = torch.logspace(-1.5, 1, 10), budget.pick(smoke=100, laptop=2000)
    found = torch.zeros(12)
    for _ in range(repeats):
        pool = torch.randn(40, 2, generator=draws)
        squares = (pool[:, None] - pool[None]).square().sum(2)
        K = torch.exp(-squares / (2 * (2 * factors[:, None, None]) ** 2))
        deals = torch.stack([torch.randperm(40, generator=draws) for _ in range(59)])
        each, best = p_values(dealt_mmd2(K, 20, deals))
        found += torch.cat([each, torch.stack([each.min(), best])]) <= 0.05
    _, ax = plt.subplots(figsize=(6.4, 3.2))
    names = [f"σ = {2 * factor:.2g}" for factor in factors.tolist()] + ["the smallest p", "the best of each deal"]
    ax.barh(names, (found / repeats).tolist(), color=["C0"] * 10 + ["C3", "C2"])
    ax.axvline(0.05, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel="share of p ≤ 0.05; dotted: 0.05")
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=8)
    plt.show()

# %% [markdown]
# ## Task 5 · Forces of another kernel, by hand
#
# *35 minutes, 6 points*
#
# A Gaussian kernel does not feel points that are many σ away. The rational quadratic kernel reaches further:
#
# $$k(x, y) = \sum_a \Bigl(1 + \frac{\lVert x - y\rVert^2}{2a}\Bigr)^{-a} .$$
#
# `mmd2_slope` returns $\partial\,\mathrm{MMD}^2/\partial y$ of the **biased** MMD², of the shape of y, **without autograd**; its check runs it under
# `torch.no_grad()`. Find $\partial k(x, y)/\partial y$ first. In the third sum of MMD² each $y_j$ occurs twice.


# %% nbgrader={"grade": false, "grade_id": "slope", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mmd2_slope(x, y, alphas):
    """The gradient of the biased MMD^2 of rational quadratic kernels in the points y.

    Args:
        x: (N, D). y: (M, D). alphas: a list of numbers, more than 0.

    Returns:
        (M, D)
    """

    ### BEGIN SOLUTION
    def towards(z):  # the mean over z of dk(z, y)/dy
        way = z[None] - y[:, None]
        squares = way.square().sum(2, keepdim=True)
        near = sum((1 + squares / (2 * a)) ** (-a - 1) for a in alphas)
        return (near * way).mean(1)

    return 2 / len(y) * (towards(y) - towards(x))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "slope-values", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
checks.check_mmd2_slope(mmd2_slope)
### BEGIN HIDDEN TESTS
for seed, n, m, d, alphas, dtype in (
    (0, 5, 7, 2, [0.5, 2.0], torch.float64),
    (1, 6, 1, 3, [1.0], torch.float64),
    (2, 1, 4, 1, [0.2, 1.0, 5.0], torch.float64),
    (3, 8, 3, 4, [1.5], torch.float32),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(n, d, generator=draws, dtype=dtype)
    y = torch.randn(m, d, generator=draws, dtype=dtype) + 0.5
    y[-1] = x[0]
    kept, leaf, data = (x.clone(), y.clone()), y.double().requires_grad_(), x.double()
    total = 0.0
    for one, two, sign in ((data, data, 1), (data, leaf, -2), (leaf, leaf, 1)):
        squares = (one[:, None] - two[None]).square().sum(2)
        total = total + sign * sum((1 + squares / (2 * a)) ** -a for a in alphas).mean()
    (expected,) = torch.autograd.grad(total, leaf)
    with torch.no_grad():
        got = mmd2_slope(x, y, alphas)
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(y, kept[1]), "changed what it was given"
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# Sixty points start beside the data and follow a slope downhill, left a Gaussian kernel's (σ = 1), right yours. Which of them arrive at the three heaps?

# %%
with checks.when_done("Task 5"):
    draws = torch.Generator().manual_seed(SEED)
    centres = torch.tensor([[0.0, 2.0], [-1.7, -1.0], [1.7, -1.0]])
    x = centres.repeat(20, 1) + 0.15 * torch.randn(60, 2, generator=draws)
    start = torch.tensor([5.0, 0.0]) + 0.1 * torch.randn(60, 2, generator=draws)

    def gaussian_slope(x, y):
        leaf = y.clone().requires_grad_()
        return torch.autograd.grad(mmd2(x, leaf, (1.0,), biased=True), leaf)[0]

    _, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, sharey=True)
    for ax, name, slope in (
        (axes[0], "Gaussian", gaussian_slope),
        (axes[1], "rational quadratic", lambda x, y: mmd2_slope(x, y, [0.2, 1.0])),
    ):
        y = start
        for _ in range(budget.pick(smoke=100, laptop=1000)):
            y = y - 10.0 * slope(x, y)
        ax.plot(*x.T, ".", label="data")
        ax.plot(*start.T, ".", markersize=2, color="black", label="start")
        ax.plot(*y.T, ".", label="points")
        ax.set(title=name, aspect="equal")
    axes[0].legend(fontsize=8, loc="lower left")
    plt.show()

# %% [markdown]
# ## Task 6 · A root that is safe at 0, and one step
#
# *35 minutes, 6 points*
#
# A GMMN descends $\sqrt{\mathrm{MMD}^2}$, and the slope of a root is infinite at 0. `root_mmd` returns the root of the biased MMD² with one Gaussian kernel, with
# a graph, and can be trusted there, too. In float64:
#
# - where MMD² is 0, or differs from 0 by rounding only, the value lies between 0 and $10^{-5}$, and **no slope is NaN**: all are 0 to $10^{-5}$;
# - where MMD² is more than $10^{-6}$, value and slope are those of the root, to a relative $10^{-4}$.
#
# To choose between two branches *after* the root is too late: the branch that was not chosen has a slope too, and $0 \cdot \infty$ is NaN.
#
# `gmmn_step` does one step of plain gradient descent, $w \leftarrow w - \text{rate} \cdot \partial\sqrt{\mathrm{MMD}^2}/\partial w$ for each weight $w$ of the net, in place, where the samples are `net(noise)`. It returns
# the root *before* the step, without a graph. The step must not depend on what was in `.grad` before.


# %% nbgrader={"grade": false, "grade_id": "root", "locked": false, "schema_version": 3, "solution": true, "task": false}
def root_mmd(x, y, sigma):
    """The root of the biased MMD^2 with a Gaussian kernel, safe at 0.

    Args:
        x: (N, D). y: (M, D). sigma: more than 0.

    Returns:
        (), with a graph where x or y has one
    """

    ### BEGIN SOLUTION
    def kernel(a, b):
        return torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * sigma**2))

    squared = kernel(x, x).mean() - 2 * kernel(x, y).mean() + kernel(y, y).mean()
    return squared.clamp(min=1e-12).sqrt()
    ### END SOLUTION


def gmmn_step(net, data, noise, sigma, rate):
    """One step of plain descent of the root of MMD^2.

    Args:
        net: module, noise (M, Z) -> samples (M, D). data: (N, D). noise: (M, Z). sigma, rate: numbers, more than 0.

    Returns:
        the root before the step, (), without a graph
    """
    ### BEGIN SOLUTION
    root = root_mmd(data, net(noise), sigma)
    weights = list(net.parameters())
    slopes = torch.autograd.grad(root, weights)
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            weight.sub_(rate * slope)
    return root.detach()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "root-values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_root_mmd(root_mmd)
### BEGIN HIDDEN TESTS
for seed, n, m, d, sigma in ((0, 5, 8, 2, 0.9), (1, 1, 3, 3, 2.0), (2, 7, 2, 1, 0.5)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = torch.randn(n, d, generator=draws, dtype=torch.float64)
    y = (3.0 + torch.rand(m, d, generator=draws, dtype=torch.float64)).requires_grad_()
    x = x.clamp(-1, 1).requires_grad_()  # so x and y are 2 or more apart, and MMD^2 is far from 0
    data, other = x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
    total = checks.mmd2_by_tables(data, other, sigma)
    total.sqrt().backward()
    got = root_mmd(x, y, sigma)
    got.backward()
    torch.testing.assert_close(got.detach(), total.detach().sqrt(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(y.grad, other.grad, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(x.grad, data.grad, rtol=1e-3, atol=1e-6)
    x = x.detach()
    # Points so far apart that k is exactly 0 between them, and MMD² exactly 0.
    apart = 100.0 * torch.arange(4, dtype=torch.float64)[:, None] + x[:1]
    for one, two in ((x, x), (x, x.flip(0)), (apart, apart)):
        again = two.clone().requires_grad_()
        at_zero = root_mmd(one, again, sigma)
        at_zero.backward()
        assert 0 <= float(at_zero.detach()) <= 1.001e-5, "0 where the samples are equal"
        assert again.grad.abs().max() <= 1.001e-5, "its slope is 0 where the samples are equal"
draws = torch.Generator().manual_seed(checks.fresh(8))
x = torch.rand(5, 2, generator=draws, dtype=torch.float64)
step, total = 1.0, torch.ones(())
while float(total.detach()) > 3e-6:  # near 0, MMD² falls with the square of the step: by 0.64 each time
    step = 0.8 * step
    near = (x + torch.tensor([step, 0.5 * step])).requires_grad_()
    total = checks.mmd2_by_tables(x, near, 1.0)
assert float(total.detach()) > 1.5e-6
expected = torch.autograd.grad(total.sqrt(), near)[0]
again = near.detach().clone().requires_grad_()
got = root_mmd(x, again, 1.0)
got.backward()
torch.testing.assert_close(got.detach(), total.detach().sqrt(), rtol=2e-4, atol=0)
torch.testing.assert_close(again.grad, expected, rtol=1e-3, atol=1e-5)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "root-step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_gmmn_step(gmmn_step)
### BEGIN HIDDEN TESTS
for seed, n, m, rate in ((3, 6, 9, 0.3), (4, 5, 2, 1.0)):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    net = checks.small_generator(checks.fresh(seed + 10))
    data = 4.0 + torch.rand(n, 2, generator=draws, dtype=torch.float64)  # the net draws between -1 and 1
    noise = 2 * torch.rand(m, 3, generator=draws, dtype=torch.float64) - 1
    ours, kept = copy.deepcopy(net), (data.clone(), noise.clone())
    root = checks.mmd2_by_tables(data, ours(noise), 3.0).sqrt()
    slopes = torch.autograd.grad(root, list(ours.parameters()))
    got = gmmn_step(net, data, noise, 3.0, rate)
    assert torch.equal(data, kept[0]), "changed what it was given"
    assert torch.equal(noise, kept[1]), "changed what it was given"
    assert not getattr(got, "requires_grad", False)
    assert abs(float(got) - float(root.detach())) < 1e-4
    for weight, before, slope in zip(net.parameters(), ours.parameters(), slopes, strict=True):
        torch.testing.assert_close(weight.detach(), (before - rate * slope).detach(), rtol=1e-3, atol=1e-5)
net = checks.small_generator(checks.fresh(15))
noise = 2 * torch.rand(8, 3, generator=draws, dtype=torch.float64) - 1
data, ours = net(noise).detach() + 0.025, copy.deepcopy(net)  # near, in units of a small width: a steep root
root = checks.mmd2_by_tables(data, ours(noise), 0.05).sqrt()
slopes = torch.autograd.grad(root, list(ours.parameters()))
gmmn_step(net, data, noise, 0.05, 0.1)
for weight, before, slope in zip(net.parameters(), ours.parameters(), slopes, strict=True):
    torch.testing.assert_close(weight.detach(), (before - 0.1 * slope).detach(), rtol=1e-3, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# Near the goal the root's slope does not fade, so at a fixed rate the steps do not either. One net learns the lecture's eight heaps at a rate of 0.6, another at a rate
# that falls from 0.6 to 0. Dotted: where two samples of the data stand, on average. Who gets below it has learnt these 100 points better than their law.

# %%
with checks.when_done("Task 6"):
    heaps, steps = ring(8, std=0.15), budget.pick(smoke=120, laptop=2000)
    draws = torch.Generator().manual_seed(SEED)
    data = heaps.sample(100, generator=draws)[0]
    _, axes = plt.subplots(1, 3, figsize=(11, 3.3))
    for ax, fall, name in ((axes[1], 0, "fixed rate"), (axes[2], 1, "falling rate")):
        torch.manual_seed(SEED)
        net = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
        roots = []
        for i in range(steps):
            noise = 2 * torch.rand(100, 2, generator=draws) - 1
            roots.append(float(gmmn_step(net, data, noise, 0.5, 0.6 * (1 - fall * i / steps))))
        drawn = net(2 * torch.rand(400, 2, generator=draws) - 1).detach()
        axes[0].plot(roots, linewidth=0.8, label=name)
        ax.plot(*data.T, ".", label="data")
        ax.plot(*drawn.T, ".", markersize=3, label="drawn")
        ax.set(title=name, aspect="equal")
    others = [root_mmd(data, heaps.sample(100, generator=draws)[0], 0.5) for _ in range(20)]
    axes[0].axhline(float(sum(others)) / 20, color="black", linestyle=":", linewidth=1)
    axes[0].set(xlabel="step", ylabel="root of MMD²", ylim=(0, 0.5))
    axes[0].legend(fontsize=8, loc="upper right")
    axes[1].legend(fontsize=8, loc="center")
    plt.show()

# %% [markdown]
# ## Task 7 · A window that does not see itself
#
# *30 minutes, 5 points*
#
# A Parzen window puts a Gaussian of width σ on each of $M$ samples:
#
# $$\log p_\sigma(x) = \log\sum_{j=1}^M e^{-\lVert x - s_j\rVert^2/(2\sigma^2)} - \log M - \frac D2\log(2\pi\sigma^2).$$
#
# `parzen` returns it for each of several σ and each point, $(S, T)$. Far from all samples every exponential is 0 in the computer; the log density is finite all the same (`torch.logsumexp`).
#
# The lecture chose σ on validation data. Where there are none, let the samples judge each other: take the mean over the samples $s_i$ of $\log p_\sigma(s_i)$, with the window on
# **the other** $M - 1$ samples. `leave_one_out` returns this mean for each σ, $(S,)$. Two samples at one place are still two.


# %% nbgrader={"grade": false, "grade_id": "parzen", "locked": false, "schema_version": 3, "solution": true, "task": false}
def parzen(x, samples, sigmas):
    """The log density of a Parzen window, for several widths.

    Args:
        x: (T, D). samples: (M, D). sigmas: a list of S numbers, more than 0.

    Returns:
        nats, (S, T)
    """
    ### BEGIN SOLUTION
    width = torch.tensor(sigmas, dtype=x.dtype)[:, None]
    squares = (x[:, None] - samples[None]).square().sum(2)
    heaps = torch.logsumexp(-squares / (2 * width[..., None] ** 2), dim=2)
    return heaps - math.log(len(samples)) - x.shape[1] / 2 * torch.log(2 * math.pi * width**2)
    ### END SOLUTION


def leave_one_out(samples, sigmas):
    """The mean log density of each sample in the window on the others, for several widths.

    Args:
        samples: (M, D), M at least 2. sigmas: a list of S numbers, more than 0.

    Returns:
        nats, (S,)
    """
    ### BEGIN SOLUTION
    spread = torch.tensor(sigmas, dtype=samples.dtype)
    apart = (samples[:, None] - samples[None]).square().sum(2)
    apart = apart + torch.full_like(apart[0], math.inf).diag()  # never itself
    others = torch.logsumexp(-apart / (2 * spread[:, None, None] ** 2), dim=2)
    constant = math.log(len(samples) - 1) + samples.shape[1] / 2 * torch.log(2 * math.pi * spread**2)
    return others.mean(1) - constant
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "parzen-density", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.check_parzen(parzen)
### BEGIN HIDDEN TESTS
for seed, t, m, d, sigmas, far in (
    (0, 4, 6, 3, [0.5, 2.0], 0.0),
    (1, 1, 1, 1, [0.1], 0.0),
    (2, 3, 5, 8, [0.01, 0.3, 1.0], 50.0),
):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    x = far + torch.randn(t, d, generator=draws, dtype=torch.float64)
    samples = torch.randn(m, d, generator=draws, dtype=torch.float64)
    kept = x.clone(), samples.clone()
    got = parzen(x, samples, sigmas)
    assert torch.equal(x, kept[0]), "changed what it was given"
    assert torch.equal(samples, kept[1]), "changed what it was given"
    expected = torch.zeros(len(sigmas), t, dtype=torch.float64)
    for i, sigma in enumerate(sigmas):
        for j in range(t):
            powers = [-float((x[j] - s).square().sum()) / (2 * sigma**2) for s in samples]
            top = max(powers)
            total = top + math.log(sum(math.exp(power - top) for power in powers) / m)
            expected[i, j] = total - d / 2 * math.log(2 * math.pi * sigma**2)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    doubled = parzen(x, samples.repeat(2, 1), sigmas)
    torch.testing.assert_close(doubled, expected, rtol=1e-6, atol=1e-6, msg="every sample twice: the same density")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "parzen-others", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.check_leave_one_out(leave_one_out)
### BEGIN HIDDEN TESTS
for seed, m, d, sigmas in ((3, 6, 2, [0.2, 1.0]), (4, 2, 1, [0.5]), (5, 7, 5, [0.01, 0.1, 3.0])):
    draws = torch.Generator().manual_seed(checks.fresh(seed))
    samples = torch.randn(m, d, generator=draws, dtype=torch.float64)
    if m > 2:
        samples[1] = samples[0].clone()  # two at one place
    kept = samples.clone()
    got = leave_one_out(samples, sigmas)
    assert torch.equal(samples, kept), "changed what it was given"
    for i, sigma in enumerate(sigmas):
        mean = 0.0
        for j in range(m):
            powers = [-float((samples[j] - samples[k]).square().sum()) / (2 * sigma**2) for k in range(m) if k != j]
            top = max(powers)
            mean += (top + math.log(sum(math.exp(power - top) for power in powers) / (m - 1))) / m
        mean -= d / 2 * math.log(2 * math.pi * sigma**2)
        assert abs(float(got[i]) - mean) < 1e-7 * max(1.0, abs(mean))
lonely = leave_one_out(torch.tensor([[0.0], [1e6], [3e6]], dtype=torch.float64), [1.0])
assert abs(float(lonely[0]) / -1e12 - 1) < 1e-7, "never itself, however far the others are"
### END HIDDEN TESTS

# %% [markdown]
# Which σ is best for 60 samples of two heaps? Ask new points, the samples with themselves in the window, and the samples without.

# %%
with checks.when_done("Task 7"):
    draws = torch.Generator().manual_seed(SEED)

    def two_heaps(n):
        return 0.5 * torch.randn(n, 2, generator=draws) + 2.0 * torch.randint(2, (n, 1), generator=draws)

    samples, new, sigmas = two_heaps(60), two_heaps(2000), torch.logspace(-1.5, 0.5, 30).tolist()
    _, ax = plt.subplots(figsize=(6, 3.2))
    for values, style, name in (
        (parzen(new, samples, sigmas).mean(1), "-", "2000 new points"),
        (parzen(samples, samples, sigmas).mean(1), "-", "the samples, seeing themselves"),
        (leave_one_out(samples, sigmas), "--", "leave one out"),
    ):
        (line,) = ax.plot(sigmas, values, style, label=name)
        ax.axvline(sigmas[int(values.argmax())], color=line.get_color(), linestyle=":", linewidth=1)
    ax.set(xscale="log", xlabel="σ; dotted: the best", ylabel="nats", ylim=(-8, 2))
    ax.legend(fontsize=8)
    plt.show()

# %% [markdown]
# ## Task 8 · Written: the best of forty bandwidths
#
# *10 minutes, 3 points*
#
# A report: "We compared our samples with the test images by a permutation test, with 40 bandwidths and 19 deals for each. The smallest $p$ was 0.05. So our generator differs from the data at the level
# of 5 %." (a) What is wrong with the conclusion? (b) Which of the two numbers, 40 or 19, makes $p = 0.01$ impossible whatever the data, and why? (c) Name two ways to use several bandwidths that keep the level. Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-bandwidths", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) The level holds for one kernel that was chosen without looking; if the laws are equal, the smallest of 40 p is at most 0.05 more often than in 5 % of all cases. [1 point]
#
# (b) 19: p is at least 1/(1 + R) = 1/20; to reach 0.01 takes 99 deals or more. [1 point]
#
# (c) Two of these: one mixture of all bandwidths, which is one kernel; the maximum over bandwidths as the statistic, with every deal choosing its best as well; the bandwidth chosen on other
# points than those that are tested; 0.05/40 as the bound for each (with 799 deals or more, or it is never reached). [1 point]

# %% [markdown]
# ## Task 9 · Written: a loss that does not fall
#
# *10 minutes, 3 points*
#
# A GMMN is trained on images of 64 pixels, with one Gaussian kernel and batches of $N = M = 100$. From the first step on, the biased MMD² stands at 0.02. "It has converged", says one; "the net is too small", says another.
# (a) Explain the number 0.02 and the missing slope. (b) What would you see with a kernel 50 times as wide as the data? (c) What do you change, and which number do you report in place of the biased MMD²? Five sentences at most.

# %% [markdown] nbgrader={"grade": true, "grade_id": "written-loss", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# (a) The kernel is far narrower than all distances: k is 1 for a point with itself and about 0 otherwise, so MMD² = 1/N + 1/M = 0.02 whatever the samples are, and forces between points so far apart are 0. [1 point]
#
# (b) A very small loss that soon compares means only: samples with the right mean image, and a wrong or no spread. [1 point]
#
# (c) A mixture of widths about the median distance (of pixels, or of codes); report the unbiased MMD² *with these widths* on test images, which is 0 on average where the laws are equal. (With the old width it would be 0 for any samples.) [1 point]
