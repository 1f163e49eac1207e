"""Losses that compare statistics of two batches."""

from __future__ import annotations

from torch import Tensor


def feature_matching(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """The squared distance between the mean features of real and of generated points.

    || mean f(x) - mean f(G(z)) ||²

    Args:
        real_features: (N, F); a constant for the generator, detach it or let `descend` ignore it.
        fake_features: (M, F).

    Returns:
        (), in squared units of the features, at least 0; summed over features, as the paper writes it.

    Salimans et al. 2016, Improved Techniques for Training GANs, section 3.1.
    """
    return (real_features.mean(0) - fake_features.mean(0)).square().sum()
