"""Toy distributions with exact densities, to check what a network learned against what is true."""

from __future__ import annotations

import math

import torch


class GaussianMixture:
    """A mixture of K isotropic Gaussians in D dimensions, with its exact density.

    p(x) = sum_k w_k N(x; mu_k, sigma_k² I)

    Args:
        means: (K, D).
        stds: (K,) or one number.
        weights: (K,), positive; normalised here; equal unless given.
    """

    def __init__(self, means: torch.Tensor, stds: torch.Tensor | float, weights: torch.Tensor | None = None) -> None:
        self.means = torch.as_tensor(means, dtype=torch.float32)
        k = len(self.means)
        self.stds = torch.as_tensor(stds, dtype=torch.float32).expand(k)
        weights = torch.ones(k) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        self.weights = weights / weights.sum()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """n points (n, D) and the component each came from (n,), int64. Uses the global generator unless given one."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator)
        return self.means[k] + self.stds[k, None] * noise, k

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (N,), for x (N, D)."""
        x = x.to(torch.float64)
        means, stds = self.means.to(x), self.stds.to(x)
        squared = ((x[:, None] - means[None]) ** 2).sum(-1)  # (N, K)
        d = x.shape[1]
        log_normal = -squared / (2 * stds**2) - d * torch.log(stds) - d / 2 * math.log(2 * math.pi)
        return torch.logsumexp(log_normal + self.weights.to(x).log(), dim=1)


def ring(modes: int = 8, *, radius: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """`modes` equal Gaussians on a circle: the usual test of mode collapse.

    The radius and standard deviation are free here; papers differ, so state them with every result.
    """
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return GaussianMixture(radius * torch.stack([angle.cos(), angle.sin()], dim=1), std)
