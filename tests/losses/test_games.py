"""The games against closed forms: probabilities, extreme logits, the optimal critic, smoothed and flipped labels."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from course_lib.data import GaussianMixture
from course_lib.errors import CourseError
from course_lib.losses.games import flipped, non_saturating, optimal_logits, saturating, smoothed, value


def logits(n: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_losses_are_the_papers_formulas_in_probabilities():
    r, f = logits(7, 1), logits(5, 2)
    d_real, d_fake = torch.sigmoid(r), torch.sigmoid(f)
    v = d_real.log().mean() + (1 - d_fake).log().mean()
    torch.testing.assert_close(value(r, f), v)
    for game in (saturating, non_saturating):
        torch.testing.assert_close(game.critic(r, f), -v)
    torch.testing.assert_close(saturating.generator(f), (1 - d_fake).log().mean())
    torch.testing.assert_close(non_saturating.generator(f), -d_fake.log().mean())


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_extreme_logits_give_finite_losses_and_exact_slopes(size):
    """Catches log(sigmoid(a)): it is -inf from a = -104 on in float32, and its gradient NaN."""
    for game in (saturating, non_saturating, smoothed(saturating), flipped(saturating)):
        for sign in (1, -1):
            a = torch.tensor([sign * size], requires_grad=True)
            b = torch.tensor([-sign * size], requires_grad=True)
            loss = game.critic(a, b)
            assert torch.isfinite(loss)
            loss.backward()
            assert torch.isfinite(a.grad).all()
            assert torch.isfinite(b.grad).all()
    fake = torch.tensor([-size], requires_grad=True)  # the critic is sure that it is a fake
    (slope,) = torch.autograd.grad(saturating.generator(fake), fake)
    assert abs(slope.item()) < 1e-40
    (slope,) = torch.autograd.grad(non_saturating.generator(fake), fake)
    assert slope.item() == -1.0
    torch.testing.assert_close(non_saturating.generator(fake).item(), float(torch.tensor(size)))


def test_the_slope_in_the_logit_is_d_for_one_game_and_one_minus_d_for_the_other():
    f = logits(9, 3).requires_grad_()
    (slope,) = torch.autograd.grad(saturating.generator(f), f)
    torch.testing.assert_close(slope, -torch.sigmoid(f.detach()) / 9)
    (slope,) = torch.autograd.grad(non_saturating.generator(f), f)
    torch.testing.assert_close(slope, -(1 - torch.sigmoid(f.detach())) / 9)


def test_a_critic_that_knows_nothing_is_worth_minus_log_four():
    zeros = torch.zeros(3, dtype=torch.float64)
    assert value(zeros, zeros).item() == pytest.approx(-math.log(4), abs=1e-15)


def test_the_optimal_critic_is_p_over_p_plus_q_and_worth_two_jsd_minus_log_four():
    p = GaussianMixture(torch.tensor([[-1.0], [2.0]]), torch.tensor([0.5, 1.0]), torch.tensor([1.0, 2.0]))
    q = GaussianMixture(torch.tensor([[0.5]]), 1.5)
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    log_p, log_q = p.log_density(x), q.log_density(x)
    best = optimal_logits(log_p, log_q)
    torch.testing.assert_close(torch.sigmoid(best), log_p.exp() / (log_p.exp() + log_q.exp()))

    width = 24 / 4000

    def play(a):  # V by the trapezium rule, with the losses themselves at each point
        log_d, log_1_d = -torch.nn.functional.softplus(-a), -torch.nn.functional.softplus(a)
        return width * (log_p.exp() * log_d + log_q.exp() * log_1_d).sum()

    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    jsd = width / 2 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum()
    assert play(best).item() == pytest.approx(-math.log(4) + 2 * jsd.item(), abs=1e-6)  # the mixture stores float32
    for bump in (0.1 * torch.sin(x[:, 0]), -0.1 * torch.ones(4001, dtype=torch.float64)):
        assert play(best + bump) < play(best)  # and no other critic is worth more


def test_value_by_sampling_agrees_with_the_integral():
    """On equal densities V of the optimal critic is -log 4 whatever the points."""
    log_p = logits(20)
    assert value(optimal_logits(log_p, log_p), optimal_logits(log_p, log_p)).item() == pytest.approx(-math.log(4))


def test_smoothing_is_cross_entropy_with_a_soft_label_on_real_points_only():
    r, f = logits(6, 4), logits(8, 5)
    game = smoothed(non_saturating, 0.8)
    torch.testing.assert_close(
        game.critic(r, f), bce(r, torch.full_like(r, 0.8)) + bce(f, torch.zeros_like(f)), msg="one-sided"
    )
    torch.testing.assert_close(game.generator(f), non_saturating.generator(f))
    torch.testing.assert_close(smoothed(saturating, 1.0).critic(r, f), saturating.critic(r, f))


def test_smoothing_bounds_the_best_logit():
    """The minimum over a of .9 softplus(-a) + .1 softplus(a) lies at log 9, not at infinity."""
    a = torch.tensor([math.log(9.0)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(smoothed(saturating).critic(a, torch.zeros(1, dtype=torch.float64)), a)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)


def test_flipped_labels_are_cross_entropy_with_those_labels():
    r, f = logits(400, 6), logits(300, 7)
    torch.manual_seed(0)
    loss = flipped(saturating, 0.2).critic(r, f)
    torch.manual_seed(0)
    real_label = (torch.rand_like(r) >= 0.2).double()
    fake_label = (torch.rand_like(f) < 0.2).double()
    assert 0 < (1 - real_label).sum() < 150
    torch.testing.assert_close(loss, bce(r, real_label) + bce(f, fake_label))
    torch.testing.assert_close(flipped(saturating, 0.0).critic(r, f), saturating.critic(r, f))


def test_flipped_labels_are_drawn_anew():
    game, r = flipped(saturating, 0.3), logits(100)
    assert game.critic(r, r) != game.critic(r, r + 0)


@pytest.mark.parametrize("real", [0.0, -0.1, 1.1])
def test_smoothing_refuses_what_is_not_a_probability(real):
    with pytest.raises(CourseError, match="probability"):
        smoothed(saturating, real)


@pytest.mark.parametrize("share", [-0.1, 0.5, 1.0])
def test_flipping_refuses_half_or_more(share):
    with pytest.raises(CourseError, match="share"):
        flipped(saturating, share)
