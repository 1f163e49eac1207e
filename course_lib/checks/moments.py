"""The visible checks of problem set 06, moment matching.

Each check takes the student's own function, tries it on one small example and, where the result is wrong, compares it
with what the usual mistakes would have given. References are double sums, autograd's slopes, and sorting.
`checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.checks.core import draw, expect, expect_close, expect_shape, expect_tensor, parts_of, unchanged, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something


def small_generator(seed: int) -> nn.Sequential:
    """Noise (M, 3) -> samples (M, 2) between -1 and 1, float64, with weights drawn from `seed`."""
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2), nn.Tanh()).double()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=draws, dtype=torch.float64))
    return net


def _squares(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] - y[None]).square().sum(2)


def _gauss(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    return torch.exp(-_squares(x, y) / (2 * sigma**2))


# ------------------------------------------------------------------------------------------ task 1


@visible("1, features", "the features of a quadratic kernel")
def check_quadratic_features(quadratic_features: Callable[..., Any]) -> None:
    x, c = draw(0, 4, 3), 0.7
    inner, squares = x @ x.T, x.square() @ x.square().T  # (4, 4)
    wrong = {
        "x_i x_j occurs twice in the square for i ≠ j: its column needs the root of 2": c**2
        + 2 * c * inner
        + (inner**2 + squares) / 2,
        "the columns x_i x_j have the factor 2; in an inner product it is squared": c**2
        + 2 * c * inner
        + 2 * inner**2
        - squares,
        "the squares x_i² have the root of 2 as well; they occur once": c**2 + 2 * c * inner + inner**2 + squares,
        "the columns x_i lack their factor, the root of 2c": c**2 + inner + inner**2,
        "the columns x_i have the root of c as their factor; it is the root of 2c": c**2 + c * inner + inner**2,
        "the columns x_i have the factor 2c; its root is to be": c**2 + 4 * c**2 * inner + inner**2,
        "the constant column is the root of c; its square is to be c²": c + 2 * c * inner + inner**2,
        "the constant column is 1; its square is to be c²": 1 + 2 * c * inner + inner**2,
    }
    shapes = {
        (4, 13): "x_i x_j and x_j x_i have a column each; they are one product",
        (4, 7): "the products of two different coordinates are missing",
        (4, 9): "the constant column is missing",
    }
    given = x.clone()
    got = quadratic_features(given, c)
    expect_shape("the table of features", got, (4, 10), shapes)
    expect_tensor("the table of features", got, x.dtype)
    expect_close("the table of inner products φ(x)ᵀφ(y)", got @ got.T, (c + inner) ** 2, mistakes=wrong)
    unchanged("quadratic_features", {"x": x}, {"x": given})


@visible("1, moments", "MMD² from moments")
def check_mmd2_by_moments(mmd2_by_moments: Callable[..., Any]) -> None:
    x, y, c = draw(1, 5, 3), draw(2, 4, 3) + 0.5, 0.8
    off = x.mean(0) - y.mean(0)
    first = off.square().sum()
    s, t = x.T @ x / 5, y.T @ y / 4
    second = (s - t).square().sum()
    centred = s - torch.outer(x.mean(0), x.mean(0)) - t + torch.outer(y.mean(0), y.mean(0))
    wrong = {
        "the first moments are missing": second,
        "the second moments are missing": 2 * c * first,
        "the first moments have the factor c; it is 2c": c * first + second,
        "the first moments have the factor 2; it is 2c": 2 * first + second,
        "S is the mean of x xᵀ as it is; no mean is subtracted": 2 * c * first + centred.square().sum(),
        "S is the mean of x xᵀ as it is; torch.cov subtracts the mean and divides by N - 1": 2 * c * first
        + (torch.cov(x.T) - torch.cov(y.T)).square().sum(),
        "S is divided by N - 1; it is a mean over N": 2 * c * first + (x.T @ x / 4 - y.T @ y / 3).square().sum(),
        "each product of two coordinates counts once; in S it stands twice": 2 * c * first
        + (s - t).triu().square().sum(),
        "S is a sum over the points; it is a mean": 2 * c * first + (x.T @ x - y.T @ y).square().sum(),
        "only the squares of coordinates; S holds the products of two as well": 2 * c * first
        + (s - t).diagonal().square().sum(),
        "the two lengths are not squared": 2 * c * first.sqrt() + second.sqrt(),
    }
    given = x.clone(), y.clone()
    got = mmd2_by_moments(*given, c)
    expect_shape("MMD²", got, (), {(3,): "the coordinates are not summed"})
    expect_close("MMD²", got, 2 * c * first + second, mistakes=wrong)
    expect_tensor("MMD²", got, x.dtype)
    unchanged("mmd2_by_moments", {"x": x, "y": y}, {"x": given[0], "y": given[1]})


# ------------------------------------------------------------------------------------------ task 2


@visible("2, estimates", "biased and unbiased")
def check_estimates(estimates: Callable[..., Any]) -> None:
    x, y = 0.8 * draw(3, 5, 2), draw(4, 4, 2) + 0.4
    sigmas, shares = [0.6, 1.5], [0.3, 1.2]
    n, m, own = 5, 4, 1.5

    def tables(
        x: Tensor, y: Tensor, exponent: Callable[[Tensor, float], Tensor], shares: Sequence[float]
    ) -> list[Tensor]:
        return [
            sum(p * torch.exp(-exponent(_squares(a, b), s)) for s, p in zip(sigmas, shares, strict=True))
            for a, b in ((x, x), (x, y), (y, y))
        ]

    def usual(squares: Tensor, sigma: float) -> Tensor:
        return squares / (2 * sigma**2)

    def square(tables: list[Tensor], factor: float = 2.0) -> Tensor:
        return tables[0].mean() - factor * tables[1].mean() + tables[2].mean()

    right = tables(x, y, usual, shares)
    xx, xy, yy = right
    across = 2 * xy.mean()

    def less(own_x: float, own_y: float, by_x: float, by_y: float) -> Tensor:
        return (xx.sum() - n * own_x) / by_x - across + (yy.sum() - m * own_y) / by_y

    unbiased = less(own, own, n * (n - 1), m * (m - 1))
    wrong = {
        "the shares are ignored": square(tables(x, y, usual, [1.0, 1.0])),
        "the shares are divided by their sum; they are taken as they are": square(right) / own,
        "the exponent lacks the factor 1/2": square(tables(x, y, lambda q, s: q / s**2, shares)),
        "the exponent is divided by 2σ; it is 2σ²": square(tables(x, y, lambda q, s: q / (2 * s), shares)),
        "the exponent has the distance in place of its square": square(
            tables(x, y, lambda q, s: q.sqrt() / (2 * s**2), shares)
        ),
        "the middle term counts twice": square(right, 1.0),
        "the order is biased, unbiased": unbiased,
    }
    wrong_unbiased = {
        "k(x, x) is the sum of the shares, not 1": less(1, 1, n * (n - 1), m * (m - 1)),
        "k(x, x) is the sum of the shares, not the number of kernels": less(2, 2, n * (n - 1), m * (m - 1)),
        "the pairs of a point with itself are out of the sum, but it is still divided by the number of all": less(
            own, own, n * n, m * m
        ),
        "the pairs of a point with itself are still in the sum": less(0, 0, n * (n - 1), m * (m - 1)),
        "x_i and y_i are two different points; no pair is left out of the middle sum": (xx.sum() - n * own)
        / (n * (n - 1))
        - 2 * (xy.sum() - xy.diagonal().sum()) / (n * m - m)
        + (yy.sum() - m * own) / (m * (m - 1)),
        "the second sample has M points, not N": less(own, own, n * (n - 1), n * (n - 1)),
    }
    given = x.clone(), y.clone()
    got = parts_of("estimates", estimates(*given, sigmas, shares), 2)
    expect_close("the biased MMD²", got[0], square(right), mistakes=wrong)
    expect_close("the unbiased MMD²", got[1], unbiased, mistakes=wrong_unbiased)
    expect_tensor("the biased MMD²", got[0], x.dtype)
    expect_tensor("the unbiased MMD²", got[1], x.dtype)
    unchanged("estimates", {"x": x, "y": y}, {"x": given[0], "y": given[1]})
    x, y = (4096 + (64 * draw(seed, 30, 2)).round() / 64 for seed in (5, 6))  # exact in float32
    right = square(tables(x, y, usual, shares))
    got = parts_of("estimates", estimates(x.float(), y.float(), sigmas, shares), 2)
    expect(
        abs(float(got[0]) - float(right)) < 1e-3,
        f"the biased MMD² of float32 points near 4096 is {float(got[0]):.4g}, expected {float(right):.4g}. Likely "
        "mistake: the squared distance is a small difference of large numbers; subtract first, square afterwards.",
    )


@visible("2, widths", "multiples of the median distance")
def check_median_widths(median_widths: Callable[..., Any]) -> None:
    x, y, factors = draw(7, 5, 2), draw(8, 3, 2) + 0.5, [0.5, 2.0]
    f = torch.tensor(factors).double()

    def middle(values: Tensor) -> Tensor:
        ordered = values.flatten().sort().values
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    pool = torch.cat([x, y])
    pairs = nn.functional.pdist(pool)
    wrong = {
        "the lower of the two middle ones; their mean is asked": f * pairs.median(),
        "squared distances": f * middle(pairs.square()),
        "pairs of a point with itself count too": f * middle(_squares(pool, pool).sqrt()),
        "only pairs of an x and a y; the pool has others": f * middle(_squares(x, y).sqrt()),
        "only pairs within x and within y; the pool has pairs of an x and a y": f
        * middle(torch.cat([nn.functional.pdist(x), nn.functional.pdist(y)])),
        "the root of the median of the squares; between two middle ones that is another number": f
        * middle(pairs.square()).sqrt(),
        "only pairs of two x; the pool has others": f * middle(nn.functional.pdist(x)),
        "the mean distance in place of the median": f * pairs.mean(),
        "the factors divide; they multiply": middle(pairs) / f,
    }
    given = x.clone(), y.clone()
    got = median_widths(*given, factors)
    expect_shape("the list of widths", got, (2,), {(): "the factors are missing"})
    expect_close("the list of widths", got, f * middle(pairs), mistakes=wrong)
    expect_tensor("the list of widths", got, x.dtype)
    unchanged("median_widths", {"x": x, "y": y}, {"x": given[0], "y": given[1]})
    pool[:6] = pool[0].clone()
    apart = nn.functional.pdist(pool)
    expect_close(
        "the list of widths, where most points are equal",
        median_widths(pool[:5], pool[5:], factors),
        f * middle(apart[apart > 0]),
        mistakes={
            "the median is 0 there; take that of the distances that are not 0": 0 * f,
            "d = 1 only if all distances are 0; here some are not": f,
        },
    )
    expect_close("the list of widths, where all points are equal", median_widths(pool[:3], pool[3:5], factors), f)


# ------------------------------------------------------------------------------------------ task 3


@visible("3, pairs", "the terms of the linear-time estimate")
def check_pair_values(pair_values: Callable[..., Any]) -> None:
    x, y, rows = draw(9, 7, 2), draw(10, 9, 2) + 0.5, []

    def k(a: Tensor, b: Tensor) -> Tensor:
        rows.append(len(a))
        return torch.exp(-(a - b).square().sum(1) / 2)

    x1, x2, y1, y2 = x[0:6:2], x[1:6:2], y[0:6:2], y[1:6:2]
    own, mixed = k(x1, x2) + k(y1, y2), k(x1, y2) + k(x2, y1)
    a, b, s, t = x[:3], x[3:6], y[:3], y[3:6]
    wrong = {
        "the mixed terms are added; they are subtracted": own + mixed,
        "x meets the y of the same number; it meets the other one of the pair": own - k(x1, y1) - k(x2, y2),
        "the first half is paired with the second half; neighbours are pairs": k(a, b) + k(s, t) - k(a, t) - k(b, s),
        "one of the two mixed terms is missing": own - k(x1, y2),
        "one mixed term twice; there are two different ones": own - 2 * k(x1, y2),
    }
    shapes = {
        (): "the terms are averaged already; all of them are asked",
        (6,): "every point is in two pairs; it is used once",
    }
    rows.clear()
    given = x.clone(), y.clone()
    got = pair_values(k, *given)
    used = sum(rows)
    expect_shape("the list of terms", got, (3,), shapes)
    expect_close("the list of terms", got, own - mixed, mistakes=wrong)
    expect(used <= 12, f"k was called on {used} rows; 4n = 12 are enough.")
    expect_tensor("the list of terms", got, x.dtype)
    unchanged("pair_values", {"x": x, "y": y}, {"x": given[0], "y": given[1]})


@visible("3, test", "the estimate with its error")
def check_linear_test(linear_test: Callable[..., Any]) -> None:
    h = draw(11, 6) + 0.3
    mean, s = h.mean(), h.std()
    error = s / math.sqrt(6)

    def tail(t: Tensor) -> Tensor:
        return torch.erfc(t / math.sqrt(2)) / 2

    given = h.clone()
    got = parts_of("linear_test", linear_test(given), 3)
    expect_close("the estimate", got[0], mean, mistakes={"a sum; a mean is asked": h.sum()})
    expect_close(
        "the error",
        got[1],
        error,
        mistakes={
            "the deviation of one term; the mean's is smaller by the root of n": s,
            "divided by n where n - 1 is asked": h.std(unbiased=False) / math.sqrt(6),
            "the variance of the mean; its root is asked": error**2,
            "divided by n in place of its root": s / 6,
            "the variance in place of the deviation": s**2 / math.sqrt(6),
        },
    )
    expect_close(
        "p",
        got[2],
        tail(mean / error),
        mistakes={
            "two-sided; only large estimates speak against equal laws": 2 * tail((mean / error).abs()),
            "the lower tail; the upper is asked": 1 - tail(mean / error),
            "erfc counts in units of the root of 2 standard deviations": torch.erfc(mean / error) / 2,
            "the deviation of one term in place of the error of the mean": tail(mean / s),
        },
    )
    unchanged("linear_test", {"h": h}, {"h": given})
    for level, p in ((0.25, 0.0), (0.0, 1.0), (-0.5, 1.0)):
        got = parts_of("linear_test", linear_test(torch.full((4,), level).double()), 3)
        expect_close(f"p where all terms are {level:g}", got[2], torch.tensor(p))


# ------------------------------------------------------------------------------------------ task 4


@visible("4, values", "MMD² of every deal")
def check_dealt_mmd2(dealt_mmd2: Callable[..., Any]) -> None:
    pool, n, m = draw(12, 7, 2), 3, 4
    K = torch.stack([_gauss(pool, pool, sigma) for sigma in (0.5, 1.5)])
    draws = torch.Generator().manual_seed(13)
    deals = torch.stack([torch.randperm(7, generator=draws) for _ in range(4)])
    orders = torch.cat([torch.arange(7)[None], deals])

    def values(
        orders: Tensor, *, middle: float = 2.0, by_y: int = m, diagonal: bool = True, kernels: Tensor = K
    ) -> Tensor:
        found = []
        for order in orders:
            dealt = kernels[:, order][:, :, order]
            xx, xy, yy = dealt[:, :n, :n], dealt[:, :n, n:], dealt[:, n:, n:]
            if diagonal:
                v = xx.mean((1, 2)) - middle * xy.sum((1, 2)) / (n * by_y) + yy.sum((1, 2)) / by_y**2
            else:
                v = (xx.sum((1, 2)) - n) / (n * (n - 1)) - middle * xy.mean((1, 2))
                v = v + (yy.sum((1, 2)) - m) / (m * (m - 1))
            found.append(v)
        return torch.stack(found, 1)

    right = values(orders)
    wrong = {
        "the unbiased MMD²; the biased one is asked": values(orders, diagonal=False),
        "deals[r, :n] are the points that become x; here a deal says of each point where it goes": values(
            orders.argsort(1)
        ),
        "the middle term counts twice": values(orders, middle=1.0),
        "y has P - n points, not n": values(orders, by_y=n),
        "the pool as it stands comes first, not last": right.roll(-1, 1),
        "the last n points of a deal are x; the first n are": values(orders.flip(1)),
    }
    shapes = {(2, 4): "the pool as it stands is missing", (5, 2): "kernels and deals are exchanged"}
    given = K.clone(), deals.clone()
    got = dealt_mmd2(given[0], n, given[1])
    expect_shape("the table of MMD²", got, (2, 5), shapes)
    expect_close("the table of MMD²", got, right, mistakes=wrong)
    expect_tensor("the table of MMD²", got, K.dtype)
    unchanged("dealt_mmd2", {"K": K, "deals": deals}, {"K": given[0], "deals": given[1]})


@visible("4, p", "p of each kernel and of the best")
def check_p_values(p_values: Callable[..., Any]) -> None:
    rows = [[5, 1, 7, 5, 2, 3, 0, 4, 6], [6, 2, 1, 9, 3, 6, 4, 8, 0], [4, 4, 3, 1, 5, 2, 2, 1, 3]]
    values = torch.tensor(rows).double() / 8

    def share(v: Tensor) -> Tensor:  # v: (..., 9)
        return (1 + (v[..., 1:] >= v[..., :1]).sum(-1).double()) / 9

    as_good = (values[:, 1:] >= values[:, :1]).sum(1).double()
    better = (values[:, 1:] > values[:, :1]).sum(1).double()
    each = share(values)
    given = values.clone()
    got = parts_of("p_values", p_values(given), 2)
    expect_shape("p of each kernel", got[0], (3,), {(): "one p for all; every kernel has its own"})
    expect_close(
        "p of each kernel",
        got[0],
        each,
        mistakes={
            "1 is added neither above nor below: p could be 0": as_good / 8,
            "1 is added above, but not below": (1 + as_good) / 8,
            "deals that are as good as ours do not count; they do": (1 + better) / 9,
            "the deals that are less than ours are counted": (9 - as_good) / 9,
            "the pool as it stands is counted twice: in column 0 and by the 1": (2 + as_good) / 10,
        },
    )
    expect_shape("p of the best", got[1], (), {(3,): "one p for each kernel; the best of all has one"})
    expect_close(
        "p of the best",
        got[1],
        share(values.amax(0)),
        mistakes={
            "the smallest p of all kernels; it promises too much": each.min(),
            "the smallest p times the number of kernels; a test of the maximum is asked": (3 * each.min()).clamp(max=1),
            "the kernel that is best for the pool is used for all deals; every deal may choose its own": each[
                values[:, 0].argmax()
            ],
            "the mean over the kernels; the maximum is asked": share(values.sum(0)),
        },
    )
    unchanged("p_values", {"values": values}, {"values": given})
    tie = torch.tensor([[0.5, 0.5 - 1e-12, 0.25]], dtype=torch.float64)
    nearly = parts_of("p_values", p_values(tie), 2)
    for name, p in (("p of each kernel", nearly[0]), ("p of the best", nearly[1])):
        value = float(torch.as_tensor(p).sum())  # of one kernel
        expect(
            abs(value - 2 / 3) < 1e-6,
            f"{name} is {value:.4g} where a deal equals ours up to rounding, expected 0.6667. "
            "Likely mistake: the 1e-9 is missing, or has the wrong sign.",
        )


# ------------------------------------------------------------------------------------------ task 5


@visible("5", "the slope of MMD² by hand")
def check_mmd2_slope(mmd2_slope: Callable[..., Any]) -> None:
    x, y, alphas = draw(14, 5, 2), draw(15, 4, 2) + 0.3, [0.5, 2.0]
    m = 4

    def towards(z: Tensor, front: Callable[[float], float] = lambda a: 1.0, lower: float = 1.0) -> Tensor:
        way = z[None] - y[:, None]
        squares = way.square().sum(2, keepdim=True)
        return (sum(front(a) * (1 + squares / (2 * a)) ** (-a - lower) for a in alphas) * way).mean(1)

    pull, push = towards(x), towards(y)
    expected = 2 / m * (push - pull)
    wrong = {
        "the sign: this is the way down": -expected,
        "only the pull of the data; the samples push one another": -2 / m * pull,
        "only the push of the samples; the data pull": 2 / m * push,
        "y_j occurs twice in the third sum, once on either side": 2 / m * (push / 2 - pull),
        "the second sum has a factor of 2": 2 / m * (push - pull / 2),
        "the power is -a; the derivative lowers it to -a - 1": 2 / m * (towards(y, lower=0.0) - towards(x, lower=0.0)),
        "a is in front; the 1/(2a) inside cancels it": 2 / m * (towards(y, lambda a: a) - towards(x, lambda a: a)),
        "1/M is missing: each y has its share of the means": 2 * (push - pull),
        "1/N in front; a single y has the share 1/M": 2 / 5 * (push - pull),
        "twice too much: the 1/(2a) inside cancels the 2 of the square": 2 * expected,
        "half of it: the kernels are summed, not averaged, and no other 2 is lost": expected / 2,
        "this is the unbiased MMD²'s slope": 2 / m * (push * m / (m - 1) - pull),
    }
    given = x.clone(), y.clone()
    try:
        with torch.no_grad():
            got = mmd2_slope(*given, alphas)
    except RuntimeError as error:
        expect(
            "grad" not in str(error),
            "it asks autograd, and here autograd is off. Write the slope down by hand, for the second sum and for the "
            "third.",
        )
        raise
    expect_shape("the slope", got, (4, 2), {(2,): "the points are summed; each y has a slope of its own"})
    expect_close("the slope", got, expected, mistakes=wrong)
    expect_tensor("the slope", got, x.dtype)
    unchanged("mmd2_slope", {"x": x, "y": y}, {"x": given[0], "y": given[1]})


# ------------------------------------------------------------------------------------------ task 6


def mmd2_by_tables(x: Tensor, y: Tensor, sigma: float, unbiased: bool = False) -> Tensor:
    """MMD² with a Gaussian kernel from the three tables of its values, with its graph, ()."""
    xx, xy, yy = _gauss(x, x, sigma), _gauss(x, y, sigma), _gauss(y, y, sigma)
    if unbiased:
        n, m = len(x), len(y)
        return (xx.sum() - n) / (n * (n - 1)) - 2 * xy.mean() + (yy.sum() - m) / (m * (m - 1))
    return xx.mean() - 2 * xy.mean() + yy.mean()


@visible("6, root", "a root that is safe at 0")
def check_root_mmd(root_mmd: Callable[..., Any]) -> None:
    x, y, sigma = draw(16, 4, 2), draw(17, 5, 2) + 2.0, 0.8
    wrong = {
        "MMD² itself; its root is asked": mmd2_by_tables(x, y, sigma),
        "the root of the unbiased MMD², which may be below 0": mmd2_by_tables(x, y, sigma, unbiased=True)
        .clamp(min=0)
        .sqrt(),
        "the exponent is divided by σ²; it is 2σ²": mmd2_by_tables(x, y, sigma / math.sqrt(2)).sqrt(),
        "the middle term counts twice": (mmd2_by_tables(x, y, sigma) + _gauss(x, y, sigma).mean()).sqrt(),
    }
    leaf = y.clone().requires_grad_()
    got = root_mmd(x, leaf, sigma)
    expect_shape("the root", got, ())
    expect_close("the root", got, mmd2_by_tables(x, y, sigma).sqrt(), atol=1e-6, rtol=1e-4, mistakes=wrong)
    expect(
        bool(getattr(got, "requires_grad", False)),
        "the root has no slope in y. Likely mistake: .detach(), .item() or no_grad.",
    )
    (slope,) = torch.autograd.grad(got, leaf)
    other = y.clone().requires_grad_()
    (expected,) = torch.autograd.grad(mmd2_by_tables(x, other, sigma).sqrt(), other)
    expect_close("the slope of the root", slope, expected, atol=1e-6, rtol=1e-3)
    far = 100.0 * draw(24, 4, 1).sign() * torch.arange(1.0, 5.0).double()[:, None]  # MMD² is 0 there without rounding
    for equal in (x, x.flip(0), far):
        same = equal.clone().requires_grad_()
        got = root_mmd(far if equal is far else x, same, sigma)
        value = float(torch.as_tensor(got).detach())
        expect(
            not math.isnan(value),
            "the root of the MMD² of equal samples is NaN. Likely mistake: rounding makes MMD² a little less than 0.",
        )
        expect(0 <= value <= 1.001e-5, f"the root of the MMD² of equal samples is {value:.3g}; at most 1e-5 is asked.")
        expect(
            bool(getattr(got, "requires_grad", False)),
            "the root has no graph where the samples are equal. A constant 0 has no slope; 0 * MMD² has one.",
        )
        (slope,) = torch.autograd.grad(got, same)
        expect(
            bool(torch.isfinite(slope).all()),
            "the slope of the root is NaN or infinite where the samples are equal. Likely mistake: the root is taken "
            "of 0 somewhere, even if torch.where discards it afterwards; make its argument safe first.",
        )
        expect(
            float(slope.abs().max()) <= 1.001e-5,
            f"the slope of the root reaches {float(slope.abs().max()):.3g} where the samples are equal; 0 is asked.",
        )


@visible("6, step", "one step of a GMMN")
def check_gmmn_step(gmmn_step: Callable[..., Any]) -> None:
    net, rate, sigma = small_generator(18), 0.5, 2.0
    data, noise = draw(19, 6, 2) + 2.0, draw(20, 4, 3)
    weights = list(net.parameters())

    def flat(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([tensor.detach().flatten() for tensor in tensors])

    before, squared = flat(weights), mmd2_by_tables(data, net(noise), sigma)
    root = squared.sqrt()
    slope = flat(torch.autograd.grad(root, weights, retain_graph=True))
    slope_of_square = flat(torch.autograd.grad(squared, weights))
    junk = [0.1 * torch.ones_like(weight) for weight in weights]
    for weight, old in zip(weights, junk, strict=True):
        weight.grad = old.clone()
    given = data.clone(), noise.clone()
    got = gmmn_step(net, *given, sigma, rate)
    after = flat(list(net.parameters()))
    with torch.no_grad():
        later = mmd2_by_tables(data, net(noise), sigma).sqrt()
    expect_close(
        "the vector of all weights after the step",
        after,
        before - rate * slope,
        atol=1e-6,
        rtol=1e-4,
        mistakes={
            "the weights have not changed; the step is taken in place": before,
            "along the slope; it goes against it": before + rate * slope,
            "the slope of MMD², not of its root": before - rate * slope_of_square,
            "what was in .grad before the step is added to the slope": before - rate * (slope + 0.1),
            "the rate is missing": before - slope,
        },
    )
    expect_shape("the root", got, ())
    expect_close(
        "the root",
        got,
        root.detach(),
        atol=1e-5,
        rtol=1e-4,
        mistakes={
            "that after the step; the one before is asked": later,
            "MMD² is returned; its root is asked": squared.detach(),
        },
    )
    expect(
        not getattr(got, "requires_grad", False),
        "the root that is returned has a graph, which keeps the whole step in memory. Return it with .detach().",
    )
    unchanged("gmmn_step", {"data": data, "noise": noise}, {"data": given[0], "noise": given[1]})


# ------------------------------------------------------------------------------------------ task 7


@visible("7, density", "the log density of a Parzen window")
def check_parzen(parzen: Callable[..., Any]) -> None:
    x, samples, sigmas = draw(21, 3, 2), draw(22, 5, 2), [0.4, 1.5]
    width = torch.tensor(sigmas, dtype=torch.float64)[:, None]  # (S, 1)
    powers = -_squares(x, samples) / (2 * width[..., None] ** 2)  # (S, 3, 5)
    heaps, volume = powers.logsumexp(2), torch.log(2 * math.pi * width**2)
    wrong = {
        "log M is missing: the density is a mean over the samples": heaps - volume,
        "the volume of a Gaussian, (D/2) log(2πσ²), is missing": heaps - math.log(5),
        "D is missing: the volume has one factor for each coordinate": heaps - math.log(5) - volume / 2,
        "the volume has σ in place of σ²": heaps - math.log(5) - torch.log(2 * math.pi * width),
        "the exponent lacks the factor 1/2": (2 * powers).logsumexp(2) - math.log(5) - volume,
        "the mean of logarithms; the logarithm of the mean is asked": powers.mean(2) - volume,
    }
    shapes = {(3, 2): "widths and points are exchanged", (2,): "the points are summed; each has its density"}
    given = x.clone(), samples.clone()
    got = parzen(*given, sigmas)
    expect_shape("the table of log densities", got, (2, 3), shapes)
    expect_close("the table of log densities", got, heaps - math.log(5) - volume, mistakes=wrong)
    expect_tensor("the table of log densities", got, x.dtype)
    unchanged("parzen", {"x": x, "samples": samples}, {"x": given[0], "samples": given[1]})
    far = torch.as_tensor(parzen(x + 1000.0, samples, [0.4]))
    expect(
        bool(torch.isfinite(far).all()),
        "far from all samples the log density is infinite or NaN. Likely mistake: every exponential is 0 there before "
        "the logarithm comes; torch.logsumexp takes both in one.",
    )


@visible("7, others", "a window that does not see itself")
def check_leave_one_out(leave_one_out: Callable[..., Any]) -> None:
    sigmas = [0.4, 1.5]
    width = torch.tensor(sigmas, dtype=torch.float64)
    volume = torch.log(2 * math.pi * width**2)

    def powers(samples: Tensor) -> Tensor:  # (S, M, M)
        return -_squares(samples, samples) / (2 * width[:, None, None] ** 2)

    def without(samples: Tensor) -> Tensor:  # log of the sum over the others, (S, M)
        itself = torch.eye(len(samples), dtype=torch.bool)
        return powers(samples).masked_fill(itself, -math.inf).logsumexp(2)

    samples = draw(23, 6, 2)
    others, everyone = without(samples), powers(samples).logsumexp(2)
    wrong = {
        "each sample sees itself": everyone.mean(1) - math.log(6) - volume,
        "each sample sees itself: a distance of 0 gives 1, it does not leave the sample out": everyone.mean(1)
        - math.log(5)
        - volume,
        "there are M - 1 others, not M": others.mean(1) - math.log(6) - volume,
        "the logarithm of the mean density; the mean of the logarithms is asked": others.logsumexp(1)
        - math.log(30)
        - volume,
        "a sum over the samples; their mean is asked": 6 * (others.mean(1) - math.log(5) - volume),
        "the volume is missing": others.mean(1) - math.log(5),
    }
    given = samples.clone()
    got = leave_one_out(given, sigmas)
    expect_shape("the list of means", got, (2,), {(2, 6): "the mean over the samples is missing"})
    expect_close("the list of means", got, others.mean(1) - math.log(5) - volume, mistakes=wrong)
    expect_tensor("the list of means", got, samples.dtype)
    unchanged("leave_one_out", {"samples": samples}, {"samples": given})
    samples[1] = samples[0].clone()
    apart = powers(samples)
    expect_close(
        "the list of means, with two samples at one place",
        leave_one_out(samples, sigmas),
        without(samples).mean(1) - math.log(5) - volume,
        mistakes={
            "all pairs with distance 0 are left out; two samples at one place are still two": apart.masked_fill(
                apart == 0, -math.inf
            )
            .logsumexp(2)
            .mean(1)
            - math.log(5)
            - volume
        },
    )
