"""Divergences against torch.distributions, numerical integrals and their limits."""

import math

import pytest
import torch
from torch.distributions import Categorical, MultivariateNormal, kl_divergence

from course_lib.errors import CourseError
from course_lib.losses.divergences import cross_entropy, entropy, gaussian_kl, js, kl, kl_estimate


def logs(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def random_logs(seed, *shape):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draws, dtype=torch.float64).log_softmax(-1)


def gaussian(seed, d, batch=()):
    draws = torch.Generator().manual_seed(seed)
    root = torch.randn(*batch, d, d, generator=draws, dtype=torch.float64)
    mean = torch.randn(*batch, d, generator=draws, dtype=torch.float64)
    return mean, root @ root.mT + 0.1 * torch.eye(d, dtype=torch.float64)


def test_discrete_ones_equal_torchs():
    p, q = random_logs(0, 3, 5), random_logs(1, 3, 5)
    one, other = Categorical(logits=p), Categorical(logits=q)
    torch.testing.assert_close(kl(p, q), kl_divergence(one, other))
    torch.testing.assert_close(entropy(p), one.entropy())
    torch.testing.assert_close(cross_entropy(p, q), one.entropy() + kl_divergence(one, other))
    assert not torch.allclose(kl(p, q), kl(q, p))


def test_zeros_count_as_they_should():
    half, first, second = logs([0.5, 0.5, 0]), logs([1.0, 0, 0]), logs([0.0, 1, 0])
    assert kl(first, half).item() == pytest.approx(math.log(2))
    assert kl(half, first).item() == math.inf
    assert kl(half, half).item() == js(half, half).item() == entropy(first).item() == 0
    assert js(first, second).item() == pytest.approx(math.log(2))
    assert js(half, first).item() == js(first, half).item() < math.log(2)
    assert cross_entropy(first, second).item() == math.inf


def test_gradients_are_finite_beside_zeros():
    p = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (kl(p.log(), logits.log_softmax(-1)) + js(p.log(), logits.log_softmax(-1))).sum().backward()
    assert torch.isfinite(logits.grad).all() and logits.grad.abs().sum() > 0


@pytest.mark.parametrize("batch", [(), (2,)])
def test_gaussians_equal_torchs(batch):
    (mean_p, p), (mean_q, q) = gaussian(0, 4, batch), gaussian(1, 4, batch)
    expected = kl_divergence(MultivariateNormal(mean_p, p), MultivariateNormal(mean_q, q))
    torch.testing.assert_close(gaussian_kl(mean_p, p, mean_q, q), expected)
    torch.testing.assert_close(gaussian_kl(mean_p, p, mean_p, p), torch.zeros(batch, dtype=torch.float64))


def test_a_flat_covariance_is_one_sentence():
    mean, covariance = gaussian(0, 3)
    with pytest.raises(CourseError, match="covariance of q is not positive definite"):
        gaussian_kl(mean, covariance, mean, torch.ones(3, 3, dtype=torch.float64))


def test_the_estimate_and_its_error_are_right():
    mean_p, mean_q, one = torch.zeros(1), torch.ones(1), torch.eye(1)
    true, off = gaussian_kl(mean_p, one, mean_q, one).item(), []
    for seed in range(200):
        x = torch.randn(500, generator=torch.Generator().manual_seed(seed))
        found = kl_estimate(-x.square() / 2, -(x - 1).square() / 2)
        off.append((found.mean - true) / found.error)
    off = torch.tensor(off)
    assert true == pytest.approx(0.5)
    assert off.mean().abs() < 0.3  # 1/sqrt(200) = 0.07 is its spread
    assert 0.8 < off.std() < 1.2
