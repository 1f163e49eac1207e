"""Fréchet distance and inception score against closed forms, and what each of them must notice."""

import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.metrics.frechet import Moments, RunningMoments, frechet_distance, moments
from course_lib.metrics.inception import inception_score


def features(seed, n, d):
    draws = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=draws, dtype=torch.float64)
    return torch.randn(n, d, generator=draws, dtype=torch.float64) @ mix + torch.randn(d, generator=draws)


def test_moments_are_those_of_numpys_definition_however_they_come():
    x = 1000 + features(0, 50, 4)
    running = RunningMoments()
    for part in (x[:1], x[1:1], x[1:20], x[20:]):
        running.update(part)
    for found in (running.moments(), moments(x), moments(x.view(50, 2, 2))):
        torch.testing.assert_close(found.mean, x.mean(0))
        torch.testing.assert_close(found.covariance, x.T.cov(), rtol=1e-9, atol=1e-9)
    with pytest.raises(CourseError, match="There were 4 features before, and now there are 3"):
        running.update(x[:, :3])
    with pytest.raises(CourseError, match="two or more images; there are 1"):
        moments(x[:1])


def test_gaussians_that_commute_have_a_simple_distance():
    a = Moments(torch.tensor([0.0, 1.0]).double(), torch.tensor([[4.0, 0], [0, 9]]).double())
    b = Moments(torch.tensor([3.0, 1.0]).double(), torch.tensor([[1.0, 0], [0, 0]]).double())
    assert frechet_distance(a, b) == pytest.approx(9 + (2 - 1) ** 2 + 3**2)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_the_root_is_that_of_the_product():
    a, b = moments(features(1, 40, 6)), moments(features(2, 40, 6))
    roots = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp(min=0).sqrt().sum()
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_fewer_images_than_features_are_no_trouble():
    x = features(3, 10, 64)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6 * x.var().item())
    turned = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).double()).Q
    assert frechet_distance(x @ turned, features(4, 12, 64) @ turned) == pytest.approx(
        frechet_distance(x, features(4, 12, 64)), rel=1e-6
    )


def test_few_images_make_it_too_large_and_it_falls_as_one_over_n():
    truth = Moments(torch.zeros(8).double(), torch.eye(8).double())

    def mean_distance(n):
        draws = torch.Generator().manual_seed(n)
        return sum(frechet_distance(torch.randn(n, 8, generator=draws), truth) for _ in range(50)) / 50

    few, many = mean_distance(100), mean_distance(400)
    assert few > 0.1  # 0 is true
    assert few / many == pytest.approx(4, rel=0.25)


def test_what_cannot_be_compared_is_one_sentence():
    with pytest.raises(CourseError, match="One side has 3 features and the other 4"):
        frechet_distance(features(0, 9, 3), features(0, 9, 4))
    with pytest.raises(CourseError, match="NaN or infinity"):
        frechet_distance(features(0, 9, 3), torch.full((9, 3), math.nan))


def test_the_score_goes_from_1_to_the_number_of_classes():
    certain = 1000 * torch.eye(5).repeat(20, 1)
    assert inception_score(certain, splits=10) == pytest.approx((5, 0))
    assert inception_score(certain.log_softmax(1), splits=1).mean == pytest.approx(5)
    assert inception_score(certain[:1].expand(40, 5), splits=4).mean == pytest.approx(1)
    assert inception_score(torch.zeros(40, 5), splits=4).mean == pytest.approx(1)
    half = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log().repeat(10, 1)
    expected = math.exp(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5))
    assert inception_score(half, splits=2) == pytest.approx((expected, 0), abs=1e-6)


def test_parts_have_marginals_of_their_own():
    sorted_ones = 1000 * torch.eye(4).repeat_interleave(10, 0)
    assert inception_score(sorted_ones, splits=1).mean == pytest.approx(4)
    assert inception_score(sorted_ones, splits=2).mean == pytest.approx(2)
    uneven = torch.cat([sorted_ones[:20], 1000 * torch.eye(4).repeat(5, 1)])
    assert inception_score(uneven, splits=2) == pytest.approx((3, 1))


@pytest.mark.parametrize(
    ("logits", "splits", "words"),
    [
        (torch.zeros(4), 1, r"shape \(N, K\), not \(4,\)"),
        (torch.zeros(4, 2), 5, "4 images cannot be split into 5 parts"),
        (torch.full((4, 2), math.nan), 2, "NaN or infinity"),
    ],
)
def test_bad_logits_are_one_sentence(logits, splits, words):
    with pytest.raises(CourseError, match=words):
        inception_score(logits, splits=splits)
