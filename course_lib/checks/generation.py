"""The visible checks of problem set 05, what it is to generate and how to tell.

Each check takes the student's own function, tries it on one small example and, where the result is wrong, compares it
with what the usual mistakes would have given. References are sums over terms, counting, and closed forms.
`checks.fresh(1)`, `checks.fresh(2)`, … are the seeds of the hidden tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.checks.core import draw, expect, expect_close, expect_shape, parts_of, unchanged, visible
from course_lib.checks.core import fresh as fresh  # for the hidden tests
from course_lib.checks.core import when_done as when_done  # for the cells that only show something

# ------------------------------------------------------------------------------------------ task 1


def _error(terms: Tensor) -> Tensor:
    return terms.std() / math.sqrt(len(terms))


@visible("1, KL", "KL that is never negative")
def check_kl_never_negative(kl_never_negative: Callable[..., Any]) -> None:
    log_p = draw(0, 12)
    log_q = log_p + 0.7 * draw(1, 12)
    u = log_q - log_p
    terms = torch.expm1(u) - u
    given = {"log_p": log_p.clone(), "log_q": log_q.clone()}
    got, error = parts_of("kl_never_negative", kl_never_negative(*given.values()), 2)
    wrong = {
        "the plain mean of log p/q; q/p - 1 is missing": (-u).mean(),
        "q/p - 1 alone; its mean is 0 but for chance": torch.expm1(u).mean(),
        "the sign of the logarithm: the term is q/p - 1 - log q/p": (torch.expm1(u) + u).mean(),
        "p and q are exchanged; the samples are of p": (torch.expm1(-u) + u).mean(),
        "1 is not subtracted": terms.mean() + 1,
        "a sum over the samples; a mean is asked": terms.sum(),
    }
    shapes = {(12,): "one term for each sample; their mean is asked"}
    expect_shape("the estimate of KL", got, (), shapes)
    expect_close("the estimate of KL", got, terms.mean(), mistakes=wrong)
    wrong = {
        "the deviation of one term; that of the mean is smaller by the root of N": terms.std(),
        "the variance over N; the standard error is its root": terms.var() / 12,
        "the error of the mean of log p/q; here the terms are others": _error(u),
        "N in the variance of the terms; N - 1 is asked": terms.std(correction=0) / math.sqrt(12),
        "divided by N; by its root": terms.std() / 12,
    }
    expect_close("the standard error of KL", error, _error(terms), mistakes=wrong)
    unchanged("kl_never_negative", {"log_p": log_p, "log_q": log_q}, given)
    near = log_p + 1e-6 * draw(2, 12)
    got, _ = parts_of("kl_never_negative", kl_never_negative(log_p, near), 2)
    small = (torch.expm1(near - log_p) - (near - log_p)).mean()
    expect(
        abs(float(got) - float(small)) < 1e-6 * float(small),
        f"for q very near to p the estimate is {float(got):.6g}, expected {float(small):.6g}. Likely mistake: "
        "exp(u) - 1 is rounded; torch.expm1(u) is not.",
    )


@visible("1, JS", "JS by samples")
def check_js_by_samples(js_by_samples: Callable[..., Any]) -> None:
    def share(own: Tensor, other: Tensor) -> Tensor:
        return math.log(2) - torch.logaddexp(torch.zeros_like(own), other - own)

    p_x, q_x, p_y, q_y = draw(3, 9), draw(4, 9), 0.5 * draw(5, 5), 2 * draw(6, 5)
    a, b = share(p_x, q_x), share(q_y, p_y)
    swapped = (share(q_x, p_x).mean() + share(p_y, q_y).mean()) / 2
    expected = (a.mean() + b.mean()) / 2
    wrong = {
        "the half in front is missing": 2 * expected,
        "all samples in one mean; each of the two means counts one half": torch.cat([a, b]).mean(),
        "the mixture lacks its half: m = (p + q)/2": expected - math.log(2),
        "log q/m at the samples of p, and log p/m at those of q": swapped,
        "only the samples of p; the other half is missing": a.mean() / 2,
        "at the samples of q it is log q/m; this is log p/m": (a.mean() + share(p_y, q_y).mean()) / 2,
        "the mean of the two logarithms in place of the logarithm of the mean": (
            (p_x - q_x).mean() / 2 + (q_y - p_y).mean() / 2
        )
        / 2,
    }
    before = {"log_p_x": p_x, "log_q_x": q_x, "log_p_y": p_y, "log_q_y": q_y}
    given = {name: part.clone() for name, part in before.items()}
    got, error = parts_of("js_by_samples", js_by_samples(*given.values()), 2)
    expect_close("the estimate of JS", got, expected, mistakes=wrong)
    squares = a.var() / 9 + b.var() / 5
    wrong = {
        "the two errors are added; their squares are": (_error(a) + _error(b)) / 2,
        "the half in front of JS is missing in its error": squares.sqrt(),
        "the half is inside the root; there it is a quarter": (squares / 2).sqrt(),
        "all samples as if they were of one kind; each variance is divided by its own number": _error(
            torch.cat([a, b])
        ),
        "N and M in the variances of the terms; N - 1 and M - 1 are asked": (
            a.var(correction=0) / 9 + b.var(correction=0) / 5
        ).sqrt()
        / 2,
    }
    expect_close("the standard error of JS", error, squares.sqrt() / 2, mistakes=wrong)
    unchanged("js_by_samples", before, given)
    p_x, q_x, p_y, q_y = (part - 5000 for part in (p_x, q_x, p_y, q_y))
    q_x[0] = p_y[1] = -math.inf
    a, b = share(p_x, q_x), share(q_y, p_y)
    got, error = parts_of("js_by_samples", js_by_samples(p_x, q_x, p_y, q_y), 2)
    expect_close("JS of densities near e^-5000, two of them 0,", got, (a.mean() + b.mean()) / 2)
    expect_close("its standard error", error, (a.var() / 9 + b.var() / 5).sqrt() / 2)


# ------------------------------------------------------------------------------------------ task 2


def some_gaussians(draws: torch.Generator, count: int, dimensions: int) -> tuple[Tensor, Tensor]:
    """Means (count, dimensions) and covariances with eigenvalues of at least ½, float64."""
    means = torch.randn(count, dimensions, generator=draws, dtype=torch.float64)
    root = torch.randn(count, dimensions, dimensions, generator=draws, dtype=torch.float64)
    return means, root @ root.mT / dimensions + 0.5 * torch.eye(dimensions, dtype=torch.float64)


def _kl_terms(a: Tensor, A: Tensor, b: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The log-ratio of determinants, the trace and the distance of the means, each (K, J)."""
    inverse = torch.linalg.inv(B)
    ratio = torch.linalg.slogdet(B).logabsdet[None] - torch.linalg.slogdet(A).logabsdet[:, None]
    off = b[None] - a[:, None]
    return ratio, torch.einsum("jab,kba->kj", inverse, A), torch.einsum("kja,jab,kjb->kj", off, inverse, off)


@visible("2, KL", "all Gaussians against all")
def check_kl_of_gaussians(kl_of_gaussians: Callable[..., Any]) -> None:
    draws = torch.Generator().manual_seed(10)
    (a, A), (b, B) = some_gaussians(draws, 3, 4), some_gaussians(draws, 2, 4)
    ratio, trace, distance = _kl_terms(a, A, b, B)
    back = _kl_terms(b, B, a, A)
    expected = (ratio + trace + distance - 4) / 2
    wrong = {
        "p and q are exchanged": ((sum(back) - 4) / 2).T,
        "D is not subtracted": expected + 2,
        "the logarithms of the determinants count twice: 2 Σ log P is all of log det A": expected + ratio / 2,
        "the logarithms of the determinants count half: log det A is 2 Σ log P": expected - ratio / 4,
        "the sign of the determinants' ratio": expected - ratio,
        "the half in front is missing": 2 * expected,
        "the distance of the means is missing": expected - distance / 2,
        "the determinants are missing": expected - ratio / 2,
    }
    before = {"means": a, "covariances": A, "other_means": b, "other_covariances": B}
    given = {name: part.clone() for name, part in before.items()}
    got = kl_of_gaussians(*given.values())
    shapes = {(2, 3): "the rows belong to q; the first index is that of p"}
    expect_shape("the matrix of KL", got, (3, 2), shapes)
    expect_close("the matrix of KL", got, expected, mistakes=wrong)
    unchanged("kl_of_gaussians", before, given)
    (a, A), (b, B) = some_gaussians(draws, 2, 64), some_gaussians(draws, 1, 64)
    expected = (sum(_kl_terms(a, A, b, B)) - 64) / 2
    got = kl_of_gaussians(1e-7 * a, 1e-14 * A, 1e-7 * b, 1e-14 * B)
    expect_close("KL in 64 dimensions and in a small unit", got, expected)


@visible("2, covering", "the Gaussian that covers")
def check_covering_gaussian(covering_gaussian: Callable[..., Any]) -> None:
    a, A = some_gaussians(torch.Generator().manual_seed(11), 3, 4)
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    a = a + 2
    mean = shares @ a
    within, off = torch.einsum("k,kab->ab", shares, A), a - mean
    between = torch.einsum("k,ka,kb->ab", shares, off, off)
    before = {"shares": shares, "means": a, "covariances": A}
    given = {name: part.clone() for name, part in before.items()}
    got, C = parts_of("covering_gaussian", covering_gaussian(*given.values()), 2)
    wrong = {
        "all Gaussians have the same share": a.mean(0),
        "the sum of the means": a.sum(0),
    }
    expect_close("the mean that covers", got, mean, mistakes=wrong)
    wrong = {
        "the spread between the means is missing": within,
        "the spread within the Gaussians is missing": between,
        "the mean is not taken off the means": within + torch.einsum("k,ka,kb->ab", shares, a, a),
        "the spread between the means forgets the shares": within + off.T @ off / 3,
        "the spread within forgets the shares": A.mean(0) + between,
        "the spread within is multiplied by the squared shares, as for a mean of independent variables": between
        + torch.einsum("k,kab->ab", shares**2, A),
    }
    expect_close("the covariance that covers", C, within + between, mistakes=wrong)
    unchanged("covering_gaussian", before, given)


# ------------------------------------------------------------------------------------------ task 3


def information(logits: Tensor) -> float:
    """The information between image and label, nats."""
    p = logits.softmax(1)
    mean = p.mean(0)
    return float(torch.xlogy(p, p).sum(1).mean() - torch.xlogy(mean, mean).sum())


@visible("3, parts", "the inception score of each part")
def check_inception_scores(inception_scores: Callable[..., Any]) -> None:
    logits = 2 * draw(20, 10, 4)
    runs = list(logits.tensor_split(4))

    def scores(parts: list[Tensor]) -> Tensor:
        return torch.tensor([math.exp(information(part)) for part in parts], dtype=torch.float64)

    p = logits.softmax(1)
    everything = p.mean(0).log()
    own = torch.xlogy(p, p).sum(1)
    of_all = [
        o.mean() - (part.mean(0) * everything).sum()
        for o, part in zip(own.tensor_split(4), p.tensor_split(4), strict=True)
    ]
    entropy = [-torch.xlogy(part.mean(0), part.mean(0)).sum() for part in p.tensor_split(4)]
    expected = scores(runs)
    wrong = {
        "the images left over are lost": scores(list(logits.split(2))[:4]),
        "torch.chunk makes the last part much shorter; sizes differ by at most one": scores(list(logits.chunk(4))),
        "dealt like cards; each part is a run of images": scores([logits[i::4] for i in range(4)]),
        "e to the power of the information is missing": expected.log(),
        "the images left over are all in the last part; sizes differ by at most one": scores(
            [*logits.split(2)[:3], logits[6:]]
        ),
        "the sign of the information": 1 / expected,
        "the mean over all images; each part has its own": torch.stack(of_all).exp(),
        "each image's own entropy is missing": torch.stack(entropy).exp(),
    }
    shapes = {
        (): "one score for all; one for each part",
        (5,): "the images left over have become a part of their own",
    }
    given = logits.clone()
    got = inception_scores(given, 4)
    expect_shape("the row of scores", got, (4,), shapes)
    expect_close("the row of scores", got, expected, mistakes=wrong)
    unchanged("inception_scores", {"logits": logits}, {"logits": given})
    got = inception_scores(3000 * torch.eye(5, dtype=torch.float64), 1)
    expect_close("the score of five sure and different images", got, torch.tensor([5.0], dtype=torch.float64))
    got = inception_scores(3000 * torch.eye(5, dtype=torch.float64)[:3], 1)
    expect_close("the score of sure images of 3 classes of 5", got, torch.tensor([3.0], dtype=torch.float64))


@visible("3, jackknife", "the information without its bias")
def check_jackknife(jackknife: Callable[..., Any]) -> None:
    n, logits = 8, 2 * draw(21, 8, 3)

    def all_but_one(logits: Tensor) -> Tensor:
        rows = range(len(logits))
        return torch.tensor([information(torch.cat([logits[:i], logits[i + 1 :]])) for i in rows], dtype=torch.float64)

    whole, without = information(logits), all_but_one(logits)
    middle = float(without.mean())
    expected = n * whole - (n - 1) * middle
    p = logits.softmax(1)
    own, mean = torch.xlogy(p, p).sum(1), p.mean(0)
    wrong = {
        "the plain information; its bias is still there": whole,
        "the mean of those without one image; it has more bias still": middle,
        "the bias alone; it is to be taken off": (n - 1) * (middle - whole),
        "the bias is added, not taken off": whole - (n - 1) * (whole - middle),
        "the factors are N + 1 and N; N and N - 1 are asked": (n + 1) * whole - n * middle,
        "e to the power of the information; nats are asked": math.exp(expected),
        "the sums without one image are still divided by N": n * whole
        - (n - 1) * float((own.mean() - own / n - torch.xlogy((n * mean - p) / n, (n * mean - p) / n).sum(1)).mean()),
    }
    given = logits.clone()
    got, error = parts_of("jackknife", jackknife(given), 2)
    expect_close("the corrected information", got, expected, mistakes=wrong)
    squares = (without - middle).square().sum()
    wrong = {
        "the standard deviation of the values without one image; they share nearly all images": without.std(),
        "the error of a mean of independent values; these share nearly all images": without.std() / math.sqrt(n),
        "the factor (N - 1)/N is missing": squares.sqrt(),
        "the root is missing": (n - 1) / n * squares,
    }
    expect_close("the jackknife's standard error", error, ((n - 1) / n * squares).sqrt(), mistakes=wrong)
    unchanged("jackknife", {"logits": logits}, {"logits": given})
    alone = torch.zeros(49, 3, dtype=torch.float64)  # 49 times 1/49 is less than 1 in the computer
    alone[:, 2], alone[0] = -3000.0, torch.tensor([0.0, 0.0, 3000.0])
    without = all_but_one(alone)
    got, error = parts_of("jackknife", jackknife(alone), 2)
    expect_close(
        "the information where one image has a class for itself",
        got,
        49 * information(alone) - 48 * float(without.mean()),
    )


# ------------------------------------------------------------------------------------------ task 4


def frechet_by_roots(x: Tensor, y: Tensor) -> float:
    """The squared Fréchet distance by symmetric roots of the covariances, in float64."""
    x, y = x.double(), y.double()

    def root(z: Tensor) -> Tensor:
        w, V = torch.linalg.eigh(z.T.cov().reshape(z.shape[1], z.shape[1]))
        return (V * w.clamp(min=0).sqrt()) @ V.T

    A, B = root(x), root(y)
    off = x.mean(0) - y.mean(0)
    return float(off.square().sum() + A.square().sum() + B.square().sum() - 2 * torch.linalg.svdvals(B @ A).sum())


@visible("4, values", "the Fréchet distance of samples")
def check_frechet(frechet_of_samples: Callable[..., Any]) -> None:
    x, y = draw(30, 9, 3) @ (draw(31, 3, 3) + torch.eye(3)), 0.6 * draw(32, 7, 3) + 0.4
    a, b = x.mean(0), y.mean(0)
    X, Y = (x - a) / math.sqrt(8), (y - b) / math.sqrt(6)
    sigma = torch.linalg.svdvals(X @ Y.T)
    means, traces = (a - b).square().sum(), X.square().sum() + Y.square().sum()
    expected = means + traces - 2 * sigma.sum()
    raw, raw_y = x / math.sqrt(8), y / math.sqrt(6)
    wrong = {
        "the means are not taken off before X and Y are made": means
        + raw.square().sum()
        + raw_y.square().sum()
        - 2 * torch.linalg.svdvals(raw @ raw_y.T).sum(),
        "N in place of N - 1 in the covariances": means
        + X.square().sum() * 8 / 9
        + Y.square().sum() * 6 / 7
        - 2 * sigma.sum() * math.sqrt(8 / 9 * 6 / 7),
        "the distance of the means is missing": expected - means,
        "the distance of the means is not squared": expected - means + means.sqrt(),
        "the singular values count once; twice is asked": expected + sigma.sum(),
        "the singular values are squared": means + traces - 2 * sigma.square().sum(),
        "the roots of the singular values; they are roots already": means + traces - 2 * sigma.sqrt().sum(),
        "this is d; its square is asked": expected.sqrt(),
        "only the largest singular value": means + traces - 2 * sigma[0],
        "R of X times R of Y, one of them transposed on the wrong side: R_X R_Yᵀ is asked": means
        + traces
        - 2 * torch.linalg.svdvals(torch.linalg.qr(X, mode="r").R.T @ torch.linalg.qr(Y, mode="r").R).sum(),
    }
    given = {"x": x.clone(), "y": y.clone()}
    got = frechet_of_samples(*given.values())
    expect_shape("the distance", got, ())
    expect_close("the distance", got, expected, mistakes=wrong)
    unchanged("frechet_of_samples", {"x": x, "y": y}, given)
    got = frechet_of_samples(x[:, :1], y[:, :1])
    expected = (a[0] - b[0]) ** 2 + (x[:, 0].std() - y[:, 0].std()) ** 2
    expect_close("the distance with a single feature", got, expected)


@visible("4, extremes", "few samples, still features, float32")
def check_frechet_extremes(frechet_of_samples: Callable[..., Any]) -> None:
    x = draw(33, 5, 12)
    x[:, 3] = 0.25
    spread = float((x - x.mean(0)).square().sum()) / 4
    y = (2 * (x - x.mean(0)) + x.mean(0) + 0.5).flip(0)
    got = frechet_of_samples(x, y)
    expect_close("the distance with fewer samples than features", got, 12 * 0.25 + spread)
    same = float(frechet_of_samples(x, x.flip(0)))
    expect(
        same >= 0,
        f"the distance of a set from itself is {same:.3g}. Likely mistake: rounding; clamp the result at 0.",
    )
    expect(same < 1e-6, f"the distance of a set from itself is {same:.3g}, expected 0.")
    far, other = (4096 + x).float(), (4096 + y).float()
    got, expected = float(frechet_of_samples(far, other)), frechet_by_roots(far, other)
    expect(
        abs(got - expected) < 1e-6 * (1 + expected),
        f"for float32 features near 4096 the distance is {got:.8g}, expected {expected:.8g}. Likely mistake: computed "
        "in float32; convert to float64 first.",
    )


# ------------------------------------------------------------------------------------------ task 5


@visible("5, measured", "means over disjoint parts")
def check_measured(measured: Callable[..., Any]) -> None:
    x, sizes = draw(40, 23, 2), [5, 5, 23]
    x[:, 0] = torch.arange(23)
    asked: list[Tensor] = []

    def measure(part: Tensor) -> float:
        asked.append(part.clone())
        return float(len(asked) ** 2)

    given = x.clone()
    got = measured(measure, given, sizes, torch.Generator().manual_seed(41))
    unchanged("measured", {"x": x}, {"x": given})
    lengths = [len(part) for part in asked]
    expect(
        3 not in lengths,
        "a part of 3 rows was measured for n = 5. Likely mistake: the rows left over are a part of their own.",
    )
    expect(
        lengths == [5] * 8 + [23],
        f"parts of {lengths} rows were measured; for 23 rows and n = 5, 5, 23 four parts of 5, four of 5 and one of 23 "
        "are asked.",
    )
    rows = [[int(row) for part in group for row in part[:, 0].tolist()] for group in (asked[:4], asked[4:8])]
    expect(
        all(len(set(group[k : k + 5])) == 5 for group in rows for k in range(0, 20, 5)),
        "a row occurs twice in one part. Likely mistake: drawn with replacement; cut one random order into parts.",
    )
    expect(
        all(len(set(group)) == 20 for group in rows),
        "the parts of one n share rows. Likely mistake: drawn anew for each part; cut one random order into parts.",
    )
    expect(
        all(torch.equal(part, x[part[:, 0].long()]) for part in asked),
        "rows were taken apart. Likely mistake: the columns are shuffled too.",
    )
    expect(
        all(group != sorted(group) for group in rows), "the rows are in their old order. Likely mistake: no randperm."
    )
    expect(
        rows[0] != rows[1],
        "both times the same order. Likely mistake: one order for all sizes; draw a new one for each.",
    )
    wrong = {
        "the sum over the parts; their mean is asked": torch.tensor([30.0, 174.0, 81.0]).double(),
        "the last part alone; the mean of all is asked": torch.tensor([16.0, 64.0, 81.0]).double(),
        "the first part alone; the mean of all is asked": torch.tensor([1.0, 25.0, 81.0]).double(),
    }
    expect_shape("the row of means", got, (3,), {(9,): "one value for each part; one for each size is asked"})
    expect_close("the row of means", got, torch.tensor([7.5, 43.5, 81.0]).double(), mistakes=wrong)
    before = [part.clone() for part in asked]
    asked.clear()
    measured(measure, x, sizes, torch.Generator().manual_seed(41))
    expect(
        all(torch.equal(a, b) for a, b in zip(before, asked, strict=True)),
        "a generator with the same seed gave other parts. Likely mistake: the generator is not used; pass "
        "generator=generator.",
    )


@visible("5, limit", "a line in 1/n")
def check_limit(limit: Callable[..., Any]) -> None:
    sizes = [10, 20, 40, 100]
    n = torch.tensor(sizes).double()
    values = 2 + 3 / n + 0.1 * draw(42, 4)

    def fit(t: Tensor) -> tuple[Tensor, Tensor]:
        off = t - t.mean()
        gamma = (off * values).sum() / off.square().sum()
        return values.mean() - gamma * t.mean(), gamma

    t = 1 / n
    alpha, gamma = fit(t)
    squares, spread = (values - alpha - gamma * t).square().sum(), (t - t.mean()).square().sum()
    factor = 1 / 4 + t.mean() ** 2 / spread
    wrong = {
        "a line in n; in 1/n is asked": fit(n)[0],
        "alpha and gamma are exchanged": gamma,
        "the mean of the values": values.mean(),
        "the sign: alpha is the mean of the values minus gamma times that of t": values.mean() + gamma * t.mean(),
    }
    given = values.clone()
    got = parts_of("limit", limit(sizes, given), 3)
    expect_close("alpha", got[0], alpha, mistakes=wrong)
    expect_close("gamma", got[1], gamma, mistakes={"the sign of the slope": -gamma})
    wrong = {
        "the error of gamma": (squares / 2 / spread).sqrt(),
        "S in place of S - 2": (squares / 4 * factor).sqrt(),
        "S - 1 in place of S - 2: two numbers have been fitted": (squares / 3 * factor).sqrt(),
        "the squared error; its root is asked": squares / 2 * factor,
        "the error of the mean of the values; the line is read off elsewhere": (squares / 2 / 4).sqrt(),
        "the deviation of the values from the line": (squares / 2).sqrt(),
    }
    expect_close("the standard error of alpha", got[2], (squares / 2 * factor).sqrt(), mistakes=wrong)
    unchanged("limit", {"values": values}, {"values": given})
    _, exact, _ = parts_of("limit", limit(sizes, 7 / n - 0.5), 3)
    expect(
        abs(float(exact) - 7) < 3e-8,
        f"for values exactly on -0.5 + 7/n gamma is {float(exact):.10g}, expected 7. Likely mistake: 1/n in float32; "
        "torch.tensor of integers, and then a division, gives float32. Say dtype=torch.float64.",
    )


# ------------------------------------------------------------------------------------------ task 6


def scores_by_counting(
    real: list[list[float]], fake: list[list[float]], k: int, own: int = 0
) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, pair by pair. `own` = 1 counts a point as its own first neighbour."""

    def square(a: list[float], b: list[float]) -> float:
        return sum((s - t) ** 2 for s, t in zip(a, b, strict=True))

    def radii(z: list[list[float]]) -> list[float]:
        return [sorted(square(a, b) for j, b in enumerate(z) if own or j != i)[k - 1] for i, a in enumerate(z)]

    of_real, of_fake = radii(real), radii(fake)
    n, m = len(real), len(fake)
    held = [[square(a, b) <= r for b in fake] for a, r in zip(real, of_real, strict=True)]
    precision = sum(any(row[j] for row in held) for j in range(m)) / m
    recall = sum(any(square(a, b) <= r for b, r in zip(fake, of_fake, strict=True)) for a in real) / n
    return precision, recall, sum(map(sum, held)) / (k * m), sum(map(any, held)) / n


def some_points(draws: torch.Generator, count: int, dimensions: int, low: float, high: float, far: int) -> Tensor:
    """Points (count, dimensions) from low to high, plus far; float32 where far is not 0.

    In one dimension they are integers: distances tie, exactly. In more they lie on a fine grid, so that only equal rows
    tie: the last digit of a root depends on how it is computed, and a tie must not.
    """
    unit = 1 if dimensions == 1 else 512
    drawn = torch.randint(int(low * unit), int(high * unit), (count, dimensions), generator=draws)
    points = far + drawn.double() / unit
    return points.float() if far else points


def _two_clouds() -> tuple[Tensor, Tensor]:
    return draw(56, 24, 2), 1.5 * draw(61, 17, 2) + 1


def _expect_far(what: str, neighbour_scores: Callable[..., Any], which: slice) -> None:
    """Float32 features far from 0, on a grid on which they are exact, each row there twice."""
    real, fake = ((40_000 + (256 * part).round() / 256).float().repeat(2, 1) for part in _two_clouds())
    got = parts_of("neighbour_scores", neighbour_scores(real, fake, 3), 4)[which]
    expected = scores_by_counting(real.tolist(), fake.tolist(), 3)[which]
    expect(
        all(abs(float(a) - b) < 1e-6 for a, b in zip(got, expected, strict=True)),
        f"for float32 features near 40 000 {what} are {[round(float(v), 4) for v in got]}, expected "
        f"{[round(v, 4) for v in expected]}. Likely mistake: distances in float32, or a point is left out by its "
        "distance 0; leave it out by its place, and convert to float64.",
    )


@visible("6, precision and recall", "the lecture's two questions")
def check_precision_recall(neighbour_scores: Callable[..., Any]) -> None:
    real, fake = _two_clouds()
    k = 2
    precision, recall, _, _ = scores_by_counting(real.tolist(), fake.tolist(), k)
    itself = scores_by_counting(real.tolist(), fake.tolist(), k, own=1)
    further = scores_by_counting(real.tolist(), fake.tolist(), k + 1)
    distance = torch.cdist(real, fake)

    def radius(z: Tensor) -> Tensor:
        return torch.cdist(z, z).kthvalue(k + 1, dim=1).values

    around_fake = (distance <= radius(fake)[None]).any(0).double().mean()
    given = {"real": real.clone(), "fake": fake.clone()}
    got = parts_of("neighbour_scores", neighbour_scores(*given.values(), k), 4)
    pair = torch.tensor([float(got[0]), float(got[1])])
    wrong = {
        "a point counts as its own neighbour": itself[:2],
        "the (k + 1)-th neighbour": further[:2],
        "precision and recall are exchanged": (recall, precision),
        "for precision the balls lie around the real points": (float(around_fake), recall),
    }
    expect_close("the pair of precision and recall", pair, torch.tensor([precision, recall]), mistakes=wrong)
    unchanged("neighbour_scores", {"real": real, "fake": fake}, given)
    line = torch.tensor([[0.0], [1.0], [3.0]]).double()
    got = parts_of("neighbour_scores", neighbour_scores(line, torch.tensor([[2.0], [5.0], [9.0]]).double(), 1), 4)
    pair = torch.tensor([float(got[0]), float(got[1])])
    expected = scores_by_counting(line.tolist(), [[2.0], [5.0], [9.0]], 1)
    wrong = {"a point on the surface of a ball counts as outside; it is inside": (1 / 3, 1.0)}
    expect_close("precision and recall with points on the surface", pair, torch.tensor(expected[:2]), mistakes=wrong)
    _expect_far("precision and recall", neighbour_scores, slice(0, 2))


@visible("6, density and coverage", "the two further questions")
def check_density_coverage(neighbour_scores: Callable[..., Any]) -> None:
    real, fake = _two_clouds()
    k = 2
    _, recall, density, coverage = scores_by_counting(real.tolist(), fake.tolist(), k)
    got = parts_of("neighbour_scores", neighbour_scores(real, fake, k), 4)
    wrong = {
        "it is not divided by k": k * density,
        "divided by the number of real points; by that of generated ones": density * 17 / 24,
        "a sum over the generated points; the mean is asked": density * 17,
        "density and coverage are exchanged": coverage,
    }
    expect_close("the density", got[2], density, mistakes=wrong)
    wrong = {
        "this is recall: coverage looks at real balls": recall,
        "divided by the number of generated points; by that of real ones": coverage * 24 / 17,
    }
    expect_close("the coverage", got[3], coverage, mistakes=wrong)
    _expect_far("density and coverage", neighbour_scores, slice(2, 4))


# ------------------------------------------------------------------------------------------ task 7


@visible("7, copies", "nearer than new data")
def check_copying_test(copying_test: Callable[..., Any]) -> None:
    train, held_out = torch.tensor([[0.0], [10.0]]).double(), torch.tensor([[1.0], [13.0], [5.0]]).double()
    fake = torch.tensor([[0.0], [11.0], [8.0], [-4.0], [14.0]]).double()
    # distances: held out 1, 3, 5; samples 0, 1, 2, 4, 4
    share = (3 + 2.5 + 2 + 1 + 1) / 15
    variance = (5 + 3 + 1) / (12 * 15)
    before = {"train": train, "held_out": held_out, "fake": fake}
    given = {name: part.clone() for name, part in before.items()}
    got, z = parts_of("copying_test", copying_test(*given.values()), 2)
    wrong = {
        "a tie counts nothing; it counts one half": 9 / 15,
        "a tie counts one; it counts one half": 10 / 15,
        "the share in which the held-out point is nearer": 1 - share,
        "the number of pairs; their share is asked": 15 * share,
    }
    expect_close("the share of pairs", got, share, mistakes=wrong)
    wrong = {
        "divided by the variance; by its root": (share - 0.5) / variance,
        "1/2 is not taken off": share / math.sqrt(variance),
        "the share is not divided by its deviation": share - 0.5,
        "the deviation of independent pairs; the pairs share points": (share - 0.5) / math.sqrt(0.25 / 15),
        "the 12 is missing": (share - 0.5) / math.sqrt(12 * variance),
        "n + m + 1, not n + m, in the variance": (share - 0.5) / math.sqrt(8 / (12 * 15)),
        "multiplied by the deviation": (share - 0.5) * math.sqrt(variance),
    }
    expect_close("the number z", z, (share - 0.5) / math.sqrt(variance), mistakes=wrong)
    unchanged("copying_test", before, given)


@visible("7, birthdays", "how many different images")
def check_birthdays(birthdays: Callable[..., Any]) -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [20.0, 0.0], [0.0, 0.0], [20.0, 1.0]]).double()
    # pairs at most 5 apart: three among the equal rows, three to (3, 4), one at the right
    given = x.clone()
    got = birthdays(given, 5.0)
    wrong = {
        "each pair is counted twice": 15 / 14,
        "every row is a pair with itself": 15 / 13,
        "every row is a pair with itself, and each pair is counted twice": 15 / 20,
        "the number of pairs; the estimate is N (N - 1)/2 divided by it": 7.0,
        "N squared in place of N (N - 1)": 18 / 7,
        "a distance of exactly the radius counts as far; it is near": 15 / 4,
        "N (N - 1) in place of N (N - 1)/2": 30 / 7,
    }
    expect_close("the estimate of how many", got, 15 / 7, mistakes=wrong)
    unchanged("birthdays", {"x": x}, {"x": given})
    try:
        none = float(birthdays(10 * torch.arange(4).double()[:, None], 1.0))
    except ZeroDivisionError:
        none = math.nan
    expect(none == math.inf, f"with no pair that is near the estimate is {none}, expected inf.")
