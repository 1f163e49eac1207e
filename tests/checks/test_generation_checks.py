# ruff: noqa: E501
"""The visible checks of problem set 05, measuring generation: each hint comes from the mistake it names, right answers pass, stubs do not raise."""

from __future__ import annotations

import math

import pytest
import torch

from course_lib.checks import generation as checks
from tests.checks.visible_checks import VisibleChecks

# What the visible check says to a mutant: (task, mutant, part of the message). Where it ends in a full stop, the whole hint.
OF_MUTANTS = [
    ("by-samples", "kl: plain mean", "the plain mean of log p/q; q/p - 1 is missing."),
    ("by-samples", "kl: q/p - 1 alone", "q/p - 1 alone; its mean is 0 but for chance."),
    ("by-samples", "kl: sign of the logarithm", "the sign of the logarithm: the term is q/p - 1 - log q/p."),
    ("by-samples", "kl: p and q exchanged", "p and q are exchanged; the samples are of p."),
    ("by-samples", "kl: 1 not subtracted", "1 is not subtracted."),
    ("by-samples", "kl: rounded", "exp(u) - 1 is rounded; torch.expm1(u) is not."),
    ("by-samples", "kl: error of one term", "the deviation of one term; that of the mean is smaller by the root of N."),
    ("by-samples", "kl: variance over N", "the variance over N; the standard error is its root."),
    ("by-samples", "kl: error of log p/q", "the error of the mean of log p/q; here the terms are others."),
    ("by-samples", "kl: N in the variance", "N in the variance of the terms; N - 1 is asked."),
    ("by-samples", "kl: divided by N", "divided by N; by its root."),
    ("by-samples", "js: half missing", "the half in front is missing."),
    ("by-samples", "js: one mean for all", "all samples in one mean; each of the two means counts one half."),
    ("by-samples", "js: mixture without half", "the mixture lacks its half: m = (p + q)/2."),
    ("by-samples", "js: q where p belongs", "log q/m at the samples of p, and log p/m at those of q."),
    ("by-samples", "js: errors added", "the two errors are added; their squares are."),
    ("by-samples", "js: half missing in the error", "the half in front of JS is missing in its error."),
    ("by-samples", "js: half inside the root", "the half is inside the root; there it is a quarter."),
    ("by-samples", "js: densities underflow", "holds NaN or infinity"),
    ("gaussians", "kl: p and q exchanged", "p and q are exchanged."),
    ("gaussians", "kl: transposed", "the rows belong to q; the first index is that of p."),
    ("gaussians", "kl: D not subtracted", "D is not subtracted."),
    ("gaussians", "kl: determinants twice", "the logarithms of the determinants count twice: 2 Σ log P is all of log det A."),
    ("gaussians", "kl: determinants half", "the logarithms of the determinants count half: log det A is 2 Σ log P."),
    ("gaussians", "kl: sign of the determinants", "the sign of the determinants' ratio."),
    ("gaussians", "kl: half missing", "the half in front is missing."),
    ("gaussians", "kl: means missing", "the distance of the means is missing."),
    ("gaussians", "kl: determinants missing", "the determinants are missing."),
    ("gaussians", "kl: determinants underflow", "holds NaN or infinity"),
    ("gaussians", "covering: equal shares", "all Gaussians have the same share."),
    ("gaussians", "covering: nothing between", "the spread between the means is missing."),
    ("gaussians", "covering: nothing within", "the spread within the Gaussians is missing."),
    ("gaussians", "covering: mean not taken off", "the mean is not taken off the means."),
    ("gaussians", "covering: shares forgotten between", "the spread between the means forgets the shares."),
    ("gaussians", "covering: shares forgotten within", "the spread within forgets the shares."),
    ("gaussians", "covering: shares squared", "the spread within is multiplied by the squared shares, as for a mean of independent variables."),
    ("score", "parts: the rest is lost", "the images left over are lost."),
    ("score", "parts: one part too many", "the images left over have become a part of their own."),
    ("score", "parts: chunk", "torch.chunk makes the last part much shorter; sizes differ by at most one."),
    ("score", "parts: like cards", "dealt like cards; each part is a run of images."),
    ("score", "parts: the rest in the last", "the images left over are all in the last part; sizes differ by at most one."),
    ("score", "parts: a class that is not shown", "holds NaN or infinity"),
    ("score", "parts: no power", "e to the power of the information is missing."),
    ("score", "parts: sign", "the sign of the information."),
    ("score", "parts: one mean for all", "the mean over all images; each part has its own."),
    ("score", "parts: own entropy missing", "each image's own entropy is missing."),
    ("score", "parts: 0 log 0", "holds NaN or infinity"),
    ("score", "parts: their mean", "one score for all; one for each part."),
    ("score", "jackknife: plain", "the plain information; its bias is still there."),
    ("score", "jackknife: the same mean throughout", "the plain information; its bias is still there."),
    ("score", "jackknife: mean of those without one", "the mean of those without one image; it has more bias still."),
    ("score", "jackknife: bias added", "the bias is added, not taken off."),
    ("score", "jackknife: N + 1", "the factors are N + 1 and N; N and N - 1 are asked."),
    ("score", "jackknife: power", "e to the power of the information; nats are asked."),
    ("score", "jackknife: sums still over N", "the sums without one image are still divided by N."),
    ("score", "jackknife: a logarithm of less than 0", "holds NaN or infinity"),
    ("score", "jackknife: deviation as error", "the standard deviation of the values without one image; they share nearly all images."),
    ("score", "jackknife: error of a mean", "the error of a mean of independent values; these share nearly all images."),
    ("score", "jackknife: factor missing", "the factor (N - 1)/N is missing."),
    ("score", "jackknife: root missing", "the root is missing."),
    ("frechet", "means not taken off", "the means are not taken off before X and Y are made."),
    ("frechet", "N in the covariance", "N in place of N - 1 in the covariances."),
    ("frechet", "distance of the means missing", "the distance of the means is missing."),
    ("frechet", "distance of the means not squared", "the distance of the means is not squared."),
    ("frechet", "singular values once", "the singular values count once; twice is asked."),
    ("frechet", "singular values squared", "the singular values are squared."),
    ("frechet", "roots of the singular values", "the roots of the singular values; they are roots already."),
    ("frechet", "the root", "this is d; its square is asked."),
    ("frechet", "largest only", "only the largest singular value."),
    ("frechet", "transposed on the wrong side", "R of X times R of Y, one of them transposed on the wrong side: R_X R_Yᵀ is asked."),
    ("frechet", "float32", "computed in float32; convert to float64 first."),
    ("infinity", "measured: the rest too", "the rows left over are a part of their own."),
    ("infinity", "measured: one part only", "four parts of 5, four of 5 and one of 23"),
    ("infinity", "measured: drawn anew for each part", "drawn anew for each part; cut one random order into parts."),
    ("infinity", "measured: old order", "no randperm."),
    ("infinity", "measured: one order for all", "one order for all sizes; draw a new one for each."),
    ("infinity", "measured: no generator", "the generator is not used; pass generator=generator."),
    ("infinity", "measured: sum", "the sum over the parts; their mean is asked."),
    ("infinity", "measured: with replacement", "drawn with replacement; cut one random order into parts."),
    ("infinity", "measured: last part", "the last part alone; the mean of all is asked."),
    ("infinity", "measured: columns shuffled too", "the columns are shuffled too."),
    ("infinity", "limit: a line in n", "a line in n; in 1/n is asked."),
    ("infinity", "limit: exchanged", "alpha and gamma are exchanged."),
    ("infinity", "limit: 1/n in float32", "Say dtype=torch.float64."),
    ("infinity", "limit: mean of the values", "the mean of the values."),
    ("infinity", "limit: S", "S in place of S - 2."),
    ("infinity", "limit: S - 1", "S - 1 in place of S - 2: two numbers have been fitted."),
    ("infinity", "limit: error of gamma", "the error of gamma."),
    ("infinity", "limit: squared error", "the squared error; its root is asked."),
    ("infinity", "limit: error of the mean", "the error of the mean of the values; the line is read off elsewhere."),
    ("neighbours", "its own neighbour", "a point counts as its own neighbour."),
    ("neighbours", "one neighbour too far", "the (k + 1)-th neighbour."),
    ("neighbours", "precision and recall exchanged", "precision and recall are exchanged."),
    ("neighbours", "precision by generated balls", "for precision the balls lie around the real points."),
    ("neighbours", "the surface is outside", "a point on the surface of a ball counts as outside; it is inside."),
    ("neighbours", "float32", "leave it out by its place, and convert to float64."),
    ("neighbours", "equal rows are left out", "leave it out by its place, and convert to float64."),
    ("neighbours", "density not divided by k", "it is not divided by k."),
    ("neighbours", "density divided by the real", "divided by the number of real points; by that of generated ones."),
    ("neighbours", "density summed", "a sum over the generated points; the mean is asked."),
    ("neighbours", "density and coverage exchanged", "density and coverage are exchanged."),
    ("neighbours", "coverage is recall", "this is recall: coverage looks at real balls."),
    ("neighbours", "coverage divided by the generated", "divided by the number of generated points; by that of real ones."),
    ("copies", "ties count nothing", "a tie counts nothing; it counts one half."),
    ("copies", "ties count one", "a tie counts one; it counts one half."),
    ("copies", "the other way", "the share in which the held-out point is nearer."),
    ("copies", "a number of pairs", "the number of pairs; their share is asked."),
    ("copies", "z: divided by the variance", "divided by the variance; by its root."),
    ("copies", "z: half not taken off", "1/2 is not taken off."),
    ("copies", "z: not divided", "the share is not divided by its deviation."),
    ("copies", "z: independent pairs", "the deviation of independent pairs; the pairs share points."),
    ("copies", "z: 12 missing", "the 12 is missing."),
    ("copies", "z: 1 missing", "n + m + 1, not n + m, in the variance."),
    ("copies", "z: multiplied", "multiplied by the deviation."),
    ("copies", "birthdays: pairs twice", "each pair is counted twice."),
    ("copies", "birthdays: with itself", "every row is a pair with itself."),
    ("copies", "birthdays: with itself and twice", "every row is a pair with itself, and each pair is counted twice."),
    ("copies", "birthdays: number of pairs", "the number of pairs; the estimate is N (N - 1)/2 divided by it."),
    ("copies", "birthdays: N squared", "N squared in place of N (N - 1)."),
    ("copies", "birthdays: half missing", "N (N - 1) in place of N (N - 1)/2."),
    ("copies", "birthdays: radius is far", "a distance of exactly the radius counts as far; it is near."),
    ("copies", "birthdays: none is none", "with no pair that is near"),
]  # fmt: skip

KL = "return terms.mean(), terms.std() / math.sqrt(len(terms))"
JS_ERROR = "(a.var() / len(a) + b.var() / len(b)).sqrt() / 2"
MEASURE = "found.append(sum(float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)) / parts)"
LIMIT = "return alpha, gamma, (noise * (1 / len(t) + t.mean() ** 2 / off.square().sum())).sqrt()"

# Mistakes that no mutant makes: (task, (old, new), …, part of the message).
FURTHER = [
    ("by-samples", ("log_p_y - log_q_y", "log_q_y - log_p_y"), "at the samples of q it is log q/m; this is log p/m."),
    ("by-samples", ("a.var() / len(a) + b.var() / len(b)", "a.var(correction=0) / len(a) + b.var(correction=0) / len(b)"), "N and M in the variances of the terms; N - 1 and M - 1 are asked."),
    ("score", ("return n * whole - (n - 1) * without.mean(), error", "return (n - 1) * (without.mean() - whole), error"), "the bias alone; it is to be taken off."),
    ("copies", ("return n * (n - 1) / 2 / same if same else math.inf", "return n * (n - 1) / 2 / same"), "with no pair that is near"),
    ("by-samples", (KL, KL.replace("terms.mean()", "terms.sum()")), "a sum over the samples; a mean is asked."),
    ("by-samples", (KL, KL.replace("terms.mean()", "terms")), "one term for each sample; their mean is asked."),
    ("by-samples", (KL, "terms.mean()"), "did you forget to return the result?"),
    ("by-samples", ("return (a.mean() + b.mean()) / 2,", "return a.mean() / 2,"), "only the samples of p; the other half is missing."),
    ("by-samples", ("a = math.log(2) - torch.logaddexp(zero, log_q_x - log_p_x)", "a = (log_p_x - log_q_x) / 2"), ("b = math.log(2) - torch.logaddexp(zero, log_p_y - log_q_y)", "b = (log_q_y - log_p_y) / 2"), "the mean of the two logarithms in place of the logarithm of the mean."),
    ("by-samples", (JS_ERROR, "torch.cat([a, b]).std() / math.sqrt(len(a) + len(b))"), "all samples as if they were of one kind; each variance is divided by its own number."),
    ("gaussians", ("mean = shares @ means", "mean = means.sum(0)"), "the sum of the means."),
    ("gaussians", ("off = means - mean", "off = means.sub_(mean)"), "an operation in place (+=, *=, add_, out=)."),
    ("frechet", ("x, y = x.double(), y.double()", "x, y = x.double(), y.double()\n    x -= 0.5\n    y -= 0.5"), "an operation in place (+=, *=, add_, out=)."),
    ("infinity", (MEASURE, "found += [float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)]"), "one value for each part; one for each size is asked."),
    ("infinity", (MEASURE, "found.append([float(measure(shuffled[i * n : (i + 1) * n])) for i in range(parts)][0])"), "the first part alone; the mean of all is asked."),
    ("infinity", ("alpha = values.mean() - gamma * t.mean()", "alpha = values.mean() + gamma * t.mean()"), "the sign: alpha is the mean of the values minus gamma times that of t."),
    ("infinity", (LIMIT, LIMIT.replace("alpha, gamma,", "alpha, -gamma,")), "the sign of the slope."),
    ("infinity", (LIMIT, "return alpha, gamma, noise.sqrt()"), "the deviation of the values from the line."),
    ("infinity", (LIMIT, "return alpha, gamma"), "3 results were expected"),
]  # fmt: skip


class TestHints(
    VisibleChecks,
    problem_set="ps05_generation",
    checks=checks,
    names={"torch": torch, "math": math},
    of_mutants=OF_MUTANTS,
    further=FURTHER,
):
    """Of this problem set."""


# ------------------------------------------------------------------- the references of the hidden tests


def test_scores_by_counting_on_a_line() -> None:
    """Balls of the real points 0, 1, 3 reach 1, 1, 2 far; those of the generated 2, 5, 9 reach 3, 3, 4 far."""
    scores = checks.scores_by_counting([[0.0], [1.0], [3.0]], [[2.0], [5.0], [9.0]], 1)
    assert scores == pytest.approx((2 / 3, 1.0, 3 / 3, 2 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_frechet_by_roots_is_the_closed_form_for_common_axes(seed: int) -> None:
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    factors = torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
    _, V = torch.linalg.eigh(x.T.cov())
    along = (x - x.mean(0)) @ V  # uncorrelated
    y = along * factors @ V.T + x.mean(0) + 0.3
    expected = 5 * 0.09 + float((along.var(0) * (1 - factors) ** 2).sum())
    assert checks.frechet_by_roots(x, y) == pytest.approx(expected, rel=1e-6)


def test_information_of_sure_and_of_equal_images() -> None:
    assert checks.information(5000 * torch.eye(6, dtype=torch.float64)) == pytest.approx(math.log(6))
    assert checks.information(torch.ones(4, 6, dtype=torch.float64)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_some_gaussians_are_well_conditioned(seed: int) -> None:
    _, covariances = checks.some_gaussians(torch.Generator().manual_seed(seed), 3, 20)
    values = torch.linalg.eigvalsh(covariances)
    assert bool((values > 0.49).all())
    assert bool((values < 20).all())
