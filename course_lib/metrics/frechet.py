"""The Fréchet distance between features: FID, when the features are Inception's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.device import in_float64
from course_lib.errors import CourseError


class Moments(NamedTuple):
    """Mean (D,) and covariance (D, D) of features, float64."""

    mean: Tensor
    covariance: Tensor


class RunningMoments:
    """Mean and covariance of features that come batch by batch, on the device they are on, without keeping them.

    Batches are joined by their means and their scatter about them (Chan, Golub & LeVeque 1983), so that a large mean
    costs no digits. The sum is in float64 (on MPS, which has none, on the CPU).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None  # (D, D)

    def update(self, features: Tensor) -> None:
        """Add a batch, (N, D), or (N, …), flattened here; N may be 0."""
        features = in_float64(features).flatten(1)
        n = len(features)
        if n == 0:
            return
        mean = features.mean(0)
        off = features - mean
        scatter = off.T @ off
        if self._mean is None or self._scatter is None:
            self._mean, self._scatter = mean, scatter
        else:
            if mean.shape != self._mean.shape:
                raise CourseError(f"There were {len(self._mean)} features before, and now there are {len(mean)}.")
            apart, share = mean - self._mean, n / (self.count + n)
            self._mean = self._mean + share * apart
            self._scatter = self._scatter + scatter + self.count * share * torch.outer(apart, apart)
        self.count += n

    def moments(self) -> Moments:
        """Mean and covariance, the latter divided by N − 1.

        Raises:
            CourseError: there were fewer than two features.
        """
        if self.count < 2 or self._mean is None or self._scatter is None:
            raise CourseError(f"A covariance needs two or more images; there are {self.count}.")
        return Moments(self._mean, self._scatter / (self.count - 1))


def moments(features: Tensor) -> Moments:
    """Mean and covariance (divided by N − 1) of features (N, D), or (N, …), flattened here; N at least 2."""
    running = RunningMoments()
    running.update(features)
    return running.moments()


def frechet_distance(a: Moments | Tensor, b: Moments | Tensor) -> float:
    """The squared Fréchet distance between Gaussians with these moments.

        ‖μ_a − μ_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½)

    It is 2-Wasserstein's distance between the Gaussians, squared. The trace of the root is computed as the sum of the
    singular values of C_a^½ C_b^½, which are the roots of the eigenvalues of C_a C_b: no complex numbers, and nothing
    to add to the diagonal where there are fewer images than features.

    From N images it is biased upwards by about c/N, with c depending on the distribution: compare only distances
    from equally many images.

    Args:
        a, b: moments, or features (N, D) of which to take them.

    Returns:
        At least 0, in squared units of the features; 0 where mean and covariance are equal.

    Raises:
        CourseError: different numbers of features; features or moments that are not finite.

    Dowson & Landau 1982, The Fréchet Distance between Multivariate Normal Distributions; Heusel et al. 2017, GANs
    Trained by a Two Time-Scale Update Rule, eq. 6.
    """
    a, b = (moments(x) if isinstance(x, Tensor) else x for x in (a, b))
    if a.mean.shape != b.mean.shape:
        raise CourseError(f"One side has {len(a.mean)} features and the other {len(b.mean)}; take the same network.")
    if not all(bool(torch.isfinite(x).all()) for x in (*a, *b)):
        raise CourseError("Features or moments hold NaN or infinity; look at the images and at the network first.")
    root = torch.linalg.svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * root
    return max(float((a.mean - b.mean).square().sum() + spread), 0.0)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root; eigenvalues that rounding has made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
