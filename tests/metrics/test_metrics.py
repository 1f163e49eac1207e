"""The measures in closed form: mode coverage, precision and recall, gradient norms."""

import math

import pytest
import torch
from torch import nn

from course_lib.data import GaussianMixture, ring
from course_lib.errors import CourseError
from course_lib.metrics.gradients import gradient_norm
from course_lib.metrics.modes import mode_coverage
from course_lib.metrics.neighbours import precision_recall


def test_the_mixture_itself_covers_every_mode_and_has_the_share_of_good_samples_of_a_gaussian():
    mixture = ring(8)
    points, _ = mixture.sample(20_000, generator=torch.Generator().manual_seed(0))
    coverage = mode_coverage(points, mixture)
    assert coverage.modes == 8
    assert coverage.good == pytest.approx(1 - math.exp(-9 / 2), abs=0.004)  # 5 standard errors
    assert coverage.counts.sum().item() == round(coverage.good * 20_000)


def test_collapse_to_one_mode_and_noise():
    mixture = ring(8)
    assert mode_coverage(mixture.means[3].expand(100, 2), mixture)[:2] == (1, 1.0)
    assert mode_coverage(torch.zeros(100, 2), mixture)[:2] == (0, 0.0)


def test_a_mode_needs_a_tenth_of_its_due():
    mixture = GaussianMixture(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), 1.0, torch.tensor([3.0, 1.0]))
    points = torch.zeros(1000, 2)  # 250 are due at the second mode
    points[:24, 0] = 10.0
    assert mode_coverage(points, mixture).modes == 1
    points[24, 0] = 10.0
    assert mode_coverage(points, mixture).modes == 2
    assert mode_coverage(points, mixture, least=0.5).modes == 1
    assert mode_coverage(points, mixture).counts.tolist() == [975, 25]


def test_the_distance_is_in_each_components_own_deviations():
    mixture = GaussianMixture(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([0.1, 3.0]))
    points = torch.tensor([[0.29, 0.0], [2.0, 0.0], [0.31, 0.0]])  # 2.9 of its own; 2.7 of the wide one's; 3.1
    assert mode_coverage(points[:1], mixture).counts.tolist() == [1, 0]
    assert mode_coverage(points[1:2], mixture).counts.tolist() == [0, 1]
    assert mode_coverage(points[2:], mixture).good == 0.0


def test_precision_and_recall_on_a_line():
    real = torch.arange(10.0)[:, None]  # with k = 1 every ball has radius 1
    assert precision_recall(real, real, k=1) == (1.0, 1.0)
    fake = torch.tensor([[4.0], [4.5], [20.0], [30.0]])  # two inside; balls of .5, .5, 10 and 10 around them
    precision, recall = precision_recall(real, fake, k=1)
    assert precision == 0.5
    assert recall == pytest.approx(0.2)  # 4 and 5 lie within .5 of the first two, nothing within 10 of 20 and 30


def test_collapse_costs_recall_and_noise_costs_precision():
    torch.manual_seed(0)
    real = torch.randn(300, 4)
    assert precision_recall(real, torch.randn(300, 4)).precision > 0.85
    assert precision_recall(real, torch.randn(300, 4)).recall > 0.85
    collapsed = precision_recall(real, real[:1] + 0.01 * torch.randn(300, 4))
    assert collapsed.precision == 1.0
    assert collapsed.recall < 0.02
    noise = precision_recall(real, 10 * torch.randn(300, 4))
    assert noise.precision < 0.1


def test_features_far_from_zero_keep_their_distances():
    draws = torch.Generator().manual_seed(0)
    real, fake = ((256 * torch.randn(200, 4, generator=draws)).round() / 256 for _ in range(2))
    assert precision_recall(real + 4096, fake + 4096) == precision_recall(real, fake)  # both sums are exact in float32


def test_precision_takes_images_and_refuses_too_few_points():
    images = torch.randn(20, 1, 8, 8)
    assert precision_recall(images, images).precision == 1.0
    with pytest.raises(CourseError, match="3-th neighbour"):
        precision_recall(images[:3], images)


def test_gradient_norm_is_the_length_of_all_gradients_as_one_vector():
    net = nn.Linear(2, 1)
    x = torch.tensor([[3.0, 4.0]])
    norm = gradient_norm(net(x).sum(), net)  # d/dw = (3, 4), d/db = 1
    assert norm.item() == pytest.approx(math.sqrt(26))
    assert net.weight.grad is None
    assert gradient_norm(net(x).sum(), [net.bias]).item() == 1.0
