"""How different two distributions are, in nats, from their log-probabilities or in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import CourseError


class Estimate(NamedTuple):
    """Attributes: an estimated mean, and its standard error."""

    mean: float
    error: float


def entropy(log_p: Tensor) -> Tensor:
    """H(p) = −Σ p log p, in nats.

    Args:
        log_p: log-probabilities (…, K), −inf where p is 0; they sum to 1 over the last axis.

    Returns:
        (…), from 0 to log K.
    """
    return -_expected(log_p, log_p)


def cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """H(p, q) = −Σ p log q = H(p) + KL(p ‖ q), in nats: infinite where q is 0 and p is not.

    Args:
        log_p, log_q: log-probabilities, (…, K) or what broadcasts to it, −inf for 0.

    Returns:
        (…), at least H(p).
    """
    return -_expected(log_p, log_q)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p log(p/q), in nats: infinite where q is 0 and p is not. Not symmetric.

    Args:
        log_p, log_q: log-probabilities, (…, K) or what broadcasts to it, −inf for 0.

    Returns:
        (…), at least 0, and 0 only where p = q.

    Kullback & Leibler 1951, On Information and Sufficiency.
    """
    return _expected(log_p, log_p - log_q)


def js(log_p: Tensor, log_q: Tensor) -> Tensor:
    """JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q)/2, in nats: symmetric, never infinite.

    Args:
        log_p, log_q: log-probabilities, (…, K) or what broadcasts to it, −inf for 0.

    Returns:
        (…), from 0 to log 2, which it is wherever p and q nowhere are both more than 0, however near or far.

    Lin 1991, Divergence Measures Based on the Shannon Entropy.
    """
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (kl(log_p, log_m) + kl(log_q, log_m)) / 2


def gaussian_kl(mean_p: Tensor, covariance_p: Tensor, mean_q: Tensor, covariance_q: Tensor) -> Tensor:
    """KL(p ‖ q) of two Gaussians, in nats.

    ½ [tr(C_q⁻¹ C_p) + (μ_q − μ_p)ᵀ C_q⁻¹ (μ_q − μ_p) − D + log det C_q − log det C_p]

    Args:
        mean_p, mean_q: (…, D).
        covariance_p, covariance_q: (…, D, D), symmetric and positive definite.

    Returns:
        (…), at least 0.

    Raises:
        CourseError: a covariance is not positive definite.
    """
    roots = []
    for name, covariance in (("p", covariance_p), ("q", covariance_q)):
        root, failed = torch.linalg.cholesky_ex(covariance)  # (…, D, D), lower triangular
        if bool(failed.any()):
            raise CourseError(f"The covariance of {name} is not positive definite; a divergence needs both to be.")
        roots.append(root)
    root_p, root_q = roots
    off = (mean_q - mean_p)[..., None]  # (…, D, 1)
    spread = torch.linalg.solve_triangular(root_q, root_p, upper=False).square().sum((-2, -1))
    distance = torch.linalg.solve_triangular(root_q, off, upper=False).square().sum((-2, -1))
    log_det = 2 * (_log_diagonal(root_q) - _log_diagonal(root_p))
    return (spread + distance - mean_p.shape[-1] + log_det) / 2


def kl_estimate(log_p: Tensor, log_q: Tensor) -> Estimate:
    """KL(p ‖ q) from samples of p: the mean of log p(x) − log q(x), in nats, and its standard error.

    Unbiased. Its error falls as 1/√N, but its variance may be large, or infinite, where q has the lighter tails.

    Args:
        log_p, log_q: the log-densities at N ≥ 2 samples of p, (N,).
    """
    ratio = log_p - log_q
    return Estimate(float(ratio.mean()), float(ratio.std() / math.sqrt(len(ratio))))


def _expected(log_p: Tensor, value: Tensor) -> Tensor:
    """Σ p·value, where 0 · anything is 0."""
    log_p, value = torch.broadcast_tensors(log_p, value)
    none = log_p == -math.inf
    return (log_p.exp() * torch.where(none, 0, value)).sum(-1)


def _log_diagonal(root: Tensor) -> Tensor:
    return root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
