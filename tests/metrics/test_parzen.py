"""The Parzen window against the density it is, its choice of bandwidth, and what is known to be wrong with it."""

import math

import pytest
import torch

from course_lib.data import GaussianMixture
from course_lib.errors import CourseError
from course_lib.metrics.parzen import bandwidth_candidates, parzen_log_density, parzen_log_likelihood


def points(seed, n, d=2):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_it_is_a_mixture_of_gaussians_about_the_samples():
    samples, x = points(0, 7, 3), points(1, 5, 3)
    torch.testing.assert_close(
        parzen_log_density(x, samples, 0.4), GaussianMixture(samples, 0.4).log_density(x), atol=1e-6, rtol=1e-6
    )
    images = x.view(5, 1, 3, 1)
    assert torch.equal(parzen_log_density(images, samples.view(7, 1, 3, 1), 0.4), parzen_log_density(x, samples, 0.4))


def test_it_integrates_to_one_and_a_change_of_units_costs_d_log_a():
    grid = torch.linspace(-6, 6, 2001)[:, None]
    samples = points(0, 9, 1)
    assert parzen_log_density(grid, samples, 0.3).exp().sum().item() * 12 / 2000 == pytest.approx(1, abs=1e-6)
    x, s = points(2, 4, 5), points(3, 6, 5)
    torch.testing.assert_close(
        parzen_log_density(2 * x, 2 * s, 0.6), parzen_log_density(x, s, 0.3) - 5 * math.log(2), atol=1e-6, rtol=0
    )


def test_points_far_from_the_origin_and_from_every_sample_keep_their_digits():
    samples, x = points(0, 6), points(1, 4)
    far = parzen_log_density(x.double() + 1e4, samples.double() + 1e4, 0.5)
    torch.testing.assert_close(far, parzen_log_density(x, samples, 0.5), atol=1e-4, rtol=0)
    far = parzen_log_density(x.double() + 1e8, samples.double() + 1e8, 0.5)
    torch.testing.assert_close(far, parzen_log_density(x, samples, 0.5), atol=1e-4, rtol=0)
    one = parzen_log_density(torch.full((1, 2), 100.0), torch.zeros(1, 2), 1.0)
    assert one.item() == pytest.approx(-10_000 - math.log(2 * math.pi))  # not minus infinity


def test_more_points_than_fit_a_table_are_cut_and_joined():
    samples, x = points(0, 5), points(1, 2345)
    whole = GaussianMixture(samples, 0.5).log_density(x)
    torch.testing.assert_close(parzen_log_density(x, samples, 0.5), whole, atol=1e-5, rtol=1e-5)


def test_the_bandwidth_is_the_validation_datas_and_the_score_the_test_datas():
    samples, validation, test = points(0, 200), points(1, 300), 3 * points(2, 400)
    row = [0.1, 0.2, 0.4, 0.8, 1.6]
    score = parzen_log_likelihood(test, samples, validation, bandwidths=row)
    means = {sigma: parzen_log_density(validation, samples, sigma).mean() for sigma in row}
    assert score.bandwidth == max(means, key=means.get) == 0.4
    density = parzen_log_density(test, samples, 0.4)
    assert score.mean == pytest.approx(density.mean().item())
    assert score.error == pytest.approx(density.std().item() / 20)
    assert parzen_log_likelihood(test, samples, validation, bandwidths=[1.6]).mean > score.mean, "not chosen on test"


@pytest.mark.parametrize("d", [1, 2, 64])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_the_candidates_hold_the_best_bandwidth_in_any_units_and_dimension(d, scale):
    samples, validation = scale * points(0, 500, d), scale * points(1, 200, d)
    row = bandwidth_candidates(validation, samples)
    assert row == sorted(row) and len(row) == 40
    score = parzen_log_likelihood(validation, samples, validation)  # raises where the best is an end
    finer = [score.bandwidth * 1.03**k for k in range(-10, 11)]
    best = max(parzen_log_density(validation, samples, sigma).mean().item() for sigma in finer)
    assert score.mean == pytest.approx(best, abs=0.02 * d)


def test_in_one_dimension_it_comes_near_the_truth_and_in_many_it_does_not():
    for d, least, most in ((1, -0.03, 0.01), (64, -60.0, -3.0)):
        truth = GaussianMixture(torch.zeros(1, d), 1.0)
        x = points(2, 500, d)
        gap = parzen_log_likelihood(x, points(0, 2000, d), points(1, 500, d)).mean - truth.log_density(x).mean().item()
        assert least < gap < most


def test_copies_of_the_validation_data_have_no_bandwidth():
    x = points(0, 50)
    with pytest.raises(CourseError, match="More than half of the validation points are among the samples"):
        parzen_log_likelihood(points(1, 50), x, x)
    with pytest.raises(CourseError, match="is at the end of those tried"):
        parzen_log_likelihood(points(1, 50), x, x, bandwidths=[0.1, 0.01, 1.0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: parzen_log_density(x, x, 0.0), "more than 0"),
        (lambda x: parzen_log_density(x, x[:0], 1.0), "needs points and samples"),
        (lambda x: parzen_log_density(x, points(0, 3, 5), 1.0), "2 numbers each and the samples 5"),
        (lambda x: parzen_log_likelihood(x[:1], x, x, bandwidths=[1.0]), "two test points"),
        (lambda x: parzen_log_likelihood(x, x, x, bandwidths=[]), "more than 0"),
    ],
)
def test_what_cannot_be_computed_is_a_sentence(call, sentence):
    with pytest.raises(CourseError, match=sentence):
        call(points(0, 4))
