"""MMD against its definition, closed forms and expectations; the two-sample test against its promise."""

import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.losses.mmd import GMMN, gaussian_kernel, median_bandwidth, mmd2, mmd2_linear, mmd2_of_features
from course_lib.metrics.two_sample import two_sample_test


def points(seed, n, d=3, shift=0.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def by_definition(x, y, bandwidths, biased):
    def k(a, b):
        return sum(math.exp(-float((a - b).square().sum()) / (2 * s * s)) for s in bandwidths)

    n, m = len(x), len(y)
    xx = [k(x[i], x[j]) for i in range(n) for j in range(n) if biased or i != j]
    yy = [k(y[i], y[j]) for i in range(m) for j in range(m) if biased or i != j]
    xy = [k(a, b) for a in x for b in y]
    return sum(xx) / len(xx) - 2 * sum(xy) / len(xy) + sum(yy) / len(yy)


def expected(shift, sigma, d):
    """MMD² of N(0, I) and N(shift, I), |shift| given: Gaussians integrate to Gaussians."""
    scale = (sigma**2 / (sigma**2 + 2)) ** (d / 2)
    return 2 * scale * (1 - math.exp(-(shift**2) / (2 * (sigma**2 + 2))))


@pytest.mark.parametrize("biased", [True, False])
def test_it_is_its_definition(biased):
    x, y = points(0, 6, shift=50.0), points(1, 4, shift=50.5)
    assert mmd2(x, y, (0.5, 2.0), biased=biased).item() == pytest.approx(by_definition(x, y, (0.5, 2.0), biased))
    images = x.view(6, 1, 3, 1)
    torch.testing.assert_close(mmd2(images, images, (1.0,), biased=True), torch.zeros(()).double(), atol=1e-12, rtol=0)


def test_points_far_from_the_origin_keep_their_distances():
    x, y = ((64 * points(seed, 6)).round().float() / 64 for seed in (0, 1))  # exact in float32, moved or not
    moved = gaussian_kernel(x + 4096, y + 4096, (1.0,))
    torch.testing.assert_close(moved, gaussian_kernel(x, y, (1.0,)), rtol=0, atol=1e-5)
    x = points(2, 60, 20).float()
    assert gaussian_kernel(x, x, (1e-4,)).max() <= 1  # rounding makes no square negative


def test_linear_time_looks_at_its_own_pairs():
    x, y = points(0, 7), points(1, 7, shift=0.5)

    def k(a, b):
        return math.exp(-float((a - b).square().sum()) / 2)

    terms = [
        k(x[i], x[i + 1]) + k(y[i], y[i + 1]) - k(x[i], y[i + 1]) - k(x[i + 1], y[i]) for i in (0, 2, 4)
    ]  # the seventh is left out
    assert mmd2_linear(x, y, (1.0,)).item() == pytest.approx(sum(terms) / 3)


def test_the_papers_bandwidths_are_roots_of_its_numbers():
    one = torch.zeros(1, 1), torch.full((1, 1), 3.0)
    papers = sum(math.exp(-9 / (2 * sigma)) for sigma in (2, 5, 10, 20, 40, 80))  # exp(−‖x − y‖² / (2σ))
    assert gaussian_kernel(*one, GMMN).item() == pytest.approx(papers)


def test_the_kernels_form_is_that_of_its_features():
    """Between finitely many points, a Gaussian kernel is a product of as many features."""
    x, y = points(2, 5), points(3, 7)
    both = torch.cat([x, y])
    values, vectors = torch.linalg.eigh(gaussian_kernel(both, both, (1.0,)))
    features = vectors * values.clamp(min=0).sqrt()
    torch.testing.assert_close(mmd2_of_features(features[:5], features[5:]), mmd2(x, y, (1.0,), biased=True))


def test_without_bias_it_is_right_on_average_and_with_it_too_large():
    def mean(f):
        found = torch.tensor([float(f(points(2 * s, 20), points(2 * s + 1, 20, shift=0.8))) for s in range(400)])
        return found.mean().item(), (found.std() / math.sqrt(len(found))).item()

    true = expected(0.8 * math.sqrt(3), 1.0, 3)
    for f in (lambda x, y: mmd2(x, y, (1.0,)), lambda x, y: mmd2_linear(x, y, (1.0,))):
        found, error = mean(f)
        assert abs(found - true) < 4 * error < 0.5 * true
    found, error = mean(lambda x, y: mmd2(x, y, (1.0,), biased=True))
    assert found - true > 10 * error


def test_descent_on_it_moves_points_to_where_the_others_are():
    x, y = points(4, 50, shift=2.0).requires_grad_(), points(5, 50)
    optimizer = torch.optim.SGD([x], lr=50.0)
    before = mmd2(x, y, (1.0, 4.0)).item()
    for _ in range(100):
        optimizer.zero_grad()
        mmd2(x, y, (1.0, 4.0)).backward()
        optimizer.step()
    assert mmd2(x, y, (1.0, 4.0)).item() < 0.1 * before
    assert (x.mean(0) - y.mean(0)).norm() < 0.5


def test_the_median_is_of_distances_between_different_points():
    line = torch.tensor([[0.0], [1.0], [3.0]])
    assert median_bandwidth(line) == 2
    assert median_bandwidth(line[:1], line[1:]) == 2
    with pytest.raises(CourseError, match="half of all pairs"):
        median_bandwidth(torch.zeros(4, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mmd2(points(0, 1), points(1, 5), (1.0,)), "needs 2 or more points on either side; there are 1 and 5"),
        (lambda: mmd2_linear(points(0, 4), points(1, 5), (1.0,)), "equally many points"),
        (lambda: mmd2(points(0, 4), points(1, 5), (1.0, 0.0)), "each is more than 0"),
        (lambda: median_bandwidth(points(0, 1)), "two points"),
        (lambda: two_sample_test(points(0, 1), points(1, 5), (1.0,)), "two or more points"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_the_test_errs_as_often_as_it_says_and_sees_a_difference():
    def share(shift, sigma=1.0, n=25):
        found = [
            two_sample_test(points(2 * s, n), points(2 * s + 1, n + 5, shift=shift), (sigma,), permutations=60, seed=s)
            for s in range(150)
        ]
        return sum(test.p <= 0.1 for test in found) / len(found)

    assert share(0.0) <= 0.18  # 0.1, and three standard errors
    assert share(0.7) > 0.8
    assert share(0.7, sigma=0.05) < 0.4  # a bandwidth at which all points are equally far


def test_its_statistic_is_mmd2():
    x, y = points(6, 9), points(7, 12, shift=1.0)
    assert two_sample_test(x, y, (1.0, 2.0), permutations=5).statistic == pytest.approx(mmd2(x, y, (1.0, 2.0)).item())
    assert two_sample_test(x, y, (1.0,), permutations=19) == two_sample_test(x, y, (1.0,), permutations=19)


def test_its_p_counts_the_deals_that_give_as_much():
    apart = two_sample_test(points(0, 8), points(1, 8, shift=100.0), (1.0,), permutations=9)
    assert apart.p == pytest.approx(1 / 10)  # as the paper: the deal that was seen is one of them
    equal = two_sample_test(torch.ones(4, 2), torch.ones(5, 2), (1.0,), permutations=9)
    assert equal == (0.0, 1.0)
    close = two_sample_test(points(0, 4), points(0, 4), (1.0,), permutations=99)  # less than nearly all deals
    assert close.p > 0.9
