"""Feature matching, the naming game of MAD-GAN and AdaGAN's weights against closed forms."""

import math

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.losses.boosting import boosting_weights
from course_lib.losses.games import non_saturating
from course_lib.losses.matching import feature_matching
from course_lib.losses.naming import looks_real, naming_critic


def test_feature_matching_is_the_squared_distance_of_means():
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # mean (2, 3)
    fake = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 3.0]])  # mean (1, 1)
    assert feature_matching(real, fake).item() == pytest.approx(1 + 4)
    assert feature_matching(real, real.flip(0)).item() == 0.0


def test_feature_matching_pulls_every_fake_alike():
    """The slope is -2 (difference of means) / M at each fake: it cannot pull two fakes apart by itself."""
    fake = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    real = torch.ones(2, 3, dtype=torch.float64)
    (slope,) = torch.autograd.grad(feature_matching(real, fake), fake)
    torch.testing.assert_close(slope, (-2 * (1 - fake.detach().mean(0)) / 4).expand(4, 3))


def test_the_naming_game_with_one_generator_is_the_ordinary_game():
    a, b = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    pair = lambda x: torch.stack([torch.zeros_like(x), x], 1)  # noqa: E731
    author = torch.zeros(6, dtype=torch.int64)
    torch.testing.assert_close(naming_critic(pair(a), pair(b), author), non_saturating.critic(a, b))
    torch.testing.assert_close(looks_real(pair(b)), non_saturating.generator(b))


def test_the_naming_critic_knowing_nothing_pays_log_k_plus_one_twice():
    zeros = torch.zeros(5, 4, dtype=torch.float64)
    loss = naming_critic(zeros, zeros, torch.tensor([0, 1, 2, 0, 1]))
    assert loss.item() == pytest.approx(2 * math.log(4))


def test_naming_the_right_author_is_rewarded():
    fake = torch.full((2, 3), -20.0)
    fake[0, 0] = fake[1, 1] = 20.0
    real = torch.tensor([[-20.0, -20.0, 20.0]])
    assert naming_critic(real, fake, torch.tensor([0, 1])) < 1e-6
    assert naming_critic(real, fake, torch.tensor([1, 0])) > 10


@pytest.mark.parametrize("size", [200.0, 1e30])
def test_naming_is_finite_for_extreme_logits(size):
    logits = torch.tensor([[size, -size, 0.0]], requires_grad=True)
    loss = naming_critic(logits, logits, torch.tensor([1])) + looks_real(logits)
    assert torch.isfinite(loss)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_boosting_weights_are_a_distribution_that_satisfies_the_papers_equation():
    logits = 2 * torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for beta in (0.1, 0.5, 1.0):
        w = boosting_weights(logits, beta)
        assert w.min() >= 0
        assert w.sum().item() == pytest.approx(1)
        cost = (1 - beta) * torch.exp(-logits)
        level = (beta * 500 * w + cost)[w > 0]  # lambda, one number wherever the weight is positive
        assert (level.max() - level.min()).item() < 1e-9
        assert (cost[w == 0] >= level[0] - 1e-9).all()


def test_boosting_weights_go_to_what_the_mixture_misses():
    """Half of the data is drawn twice too often (h = 2), half never (h = 0); with beta = 1/2 all weight goes there."""
    logits = torch.cat([torch.full((50,), -math.log(2.0)), torch.full((50,), 40.0)])
    w = boosting_weights(logits, 0.5)
    torch.testing.assert_close(w[:50], torch.zeros(50), atol=1e-7, rtol=0)
    torch.testing.assert_close(w[50:], torch.full((50,), 0.02))


def test_boosting_weights_are_uniform_for_a_perfect_mixture_and_for_the_first_component():
    uniform = torch.full((10,), 0.1)
    torch.testing.assert_close(boosting_weights(torch.zeros(10), 0.3), uniform)
    torch.testing.assert_close(boosting_weights(torch.randn(10), 1.0), uniform)


def test_boosting_weights_survive_a_critic_that_is_sure():
    w = boosting_weights(torch.tensor([-90.0, 90.0, 0.0]), 0.5)
    assert torch.isfinite(w).all()
    assert w[0] == 0


@pytest.mark.parametrize("beta", [0.0, 1.5])
def test_boosting_refuses_a_weight_that_is_none(beta):
    with pytest.raises(CourseError, match="component"):
        boosting_weights(torch.zeros(3), beta)
