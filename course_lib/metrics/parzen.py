"""The Parzen window: a density made of a sampler's samples, and what it says of test data. Much used, and misleading.

What to know before a number is believed (Theis, van den Oord & Bethge 2016, A Note on the Evaluation of Generative
Models, section 3.2): with as many samples as one can afford it is far from the sampler's own log-likelihood, already in
some dozens of dimensions; it prefers blurred prototypes (the means of k-means) to samples of the true distribution, so
that a higher score need not be a better sampler; and it says nothing about whether the samples were copied from the
training data. Report it beside other measures, with the number of samples and the range of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.mmd import squared_distances

ROWS = 1000  # points at a time, so that the table of distances to the samples stays small


class Parzen(NamedTuple):
    """What `parzen_log_likelihood` returns.

    Attributes:
        mean: of log p over the test data, nats for each point.
        error: standard error of that mean, from the test data alone: the samples are taken as they are.
        bandwidth: the σ that was chosen, in units of the points.
    """

    mean: float
    error: float
    bandwidth: float


def parzen_log_density(x: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """log p(x) for p = the mean, over the samples s_j, of Gaussians N(s_j, σ² I).

        log p(x) = log Σ_j exp(−‖x − s_j‖² / (2σ²)) − log M − (D/2) log(2πσ²)

    It is a density in the units of the points: if all of them are multiplied by a, it falls by D log a.

    Args:
        x: (N, …), D numbers each, flattened here. samples: (M, …).
        bandwidth: σ, more than 0.

    Returns:
        nats, (N,), float64 (float32 where the device has no other).

    Raises:
        CourseError: a bandwidth of 0 or less, no samples, or points of different sizes.

    Parzen 1962, On Estimation of a Probability Density Function and Mode; as a score, Breuleux et al. 2011.
    """
    return _densities(x, samples, [bandwidth])[0]


def bandwidth_candidates(validation: Tensor, samples: Tensor, *, count: int = 40) -> list[float]:
    """Bandwidths worth trying, a geometric row: from a quarter of what one nearest sample would ask for to more than is
    right for one Gaussian about all samples.

    About one centre at distance r the likelihood is greatest at σ = r/√D; so the row begins at a quarter of (median
    distance to the nearest sample)/√D, and ends at twice (root mean squared distance to all samples)/√D.

    Args:
        validation: (N, …). samples: (M, …). count: at least 2.

    Raises:
        CourseError: more than half of the (first thousand) validation points are samples: no bandwidth is small enough
            for them.
    """
    size = math.sqrt(validation[0].numel())
    squares = _squares(validation[:ROWS], samples)
    nearest, spread = float(squares.amin(1).sqrt().median()), float(squares.mean().sqrt())
    if nearest <= 1e-5 * spread:
        raise CourseError(
            "More than half of the validation points are among the samples, where every smaller bandwidth is better; "
            "validate on other points."
        )
    low, high = nearest / size / 4, 2 * spread / size
    return [low * (high / low) ** (k / (count - 1)) for k in range(count)]


def parzen_log_likelihood(
    test: Tensor, samples: Tensor, validation: Tensor, *, bandwidths: Sequence[float] | None = None
) -> Parzen:
    """The mean log density of test data in the Parzen window about samples, the bandwidth chosen on validation data.

    The bandwidth is that of `bandwidths` with the largest mean log density of `validation`; the test data have no part
    in the choice. The validation data must be neither the test data nor what the sampler was trained on.

    Args:
        test: (N, …), D numbers each, flattened here. samples: (M, …); 10,000 in the literature.
        validation: (V, …).
        bandwidths: to choose from, each more than 0; `bandwidth_candidates` unless given.

    Returns:
        Parzen(mean, error, bandwidth).

    Raises:
        CourseError: the best bandwidth is the first or the last of several: the row must be longer; or there are too
            few points.

    Goodfellow et al. 2014, Generative Adversarial Nets, section 5; Li et al. 2015, section 5.
    """
    if len(test) < 2:
        raise CourseError(f"A standard error needs two test points; there are {len(test)}.")
    row = sorted(bandwidth_candidates(validation, samples) if bandwidths is None else map(float, bandwidths))
    best = int(_densities(validation, samples, row).mean(1).argmax())
    if len(row) > 1 and best in (0, len(row) - 1):
        raise CourseError(f"The best bandwidth, {row[best]:.3g}, is at the end of those tried; try more on that side.")
    density = parzen_log_density(test, samples, row[best])
    return Parzen(float(density.mean()), float(density.std()) / math.sqrt(len(density)), row[best])


def _densities(x: Tensor, samples: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """log p(x) for each bandwidth, (B, N)."""
    if not bandwidths or min(bandwidths) <= 0:
        raise CourseError("A Parzen window needs a bandwidth of more than 0.")
    parts = []
    for squares in (_squares(rows, samples) for rows in x.split(ROWS)):
        part = [torch.logsumexp(-squares / (2 * bandwidth**2), 1) for bandwidth in bandwidths]
        parts.append(torch.stack(part))  # (B, rows)
    volumes = [
        math.log(len(samples)) + x[0].numel() / 2 * math.log(2 * math.pi * bandwidth**2) for bandwidth in bandwidths
    ]
    return torch.cat(parts, 1) - parts[0].new_tensor(volumes)[:, None]


def _squares(x: Tensor, samples: Tensor) -> Tensor:
    """‖x − s‖² for all pairs, (N, M)."""
    if not len(x) or not len(samples):
        raise CourseError(f"A Parzen window needs points and samples; there are {len(x)} and {len(samples)}.")
    x, samples = x.detach().flatten(1), samples.detach().flatten(1)
    if x.shape[1] != samples.shape[1]:
        raise CourseError(f"The points have {x.shape[1]} numbers each and the samples {samples.shape[1]}.")
    if x.device.type != "mps":  # which has no float64
        x, samples = x.double(), samples.double()
    return squared_distances(x, samples)
