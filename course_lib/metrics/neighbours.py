"""Precision and recall of a sampler by nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.device import in_float64
from course_lib.errors import CourseError


class PrecisionRecall(NamedTuple):
    """Attributes: precision and recall, each a share in [0, 1]."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> PrecisionRecall:
    """Precision: the share of fakes that look real. Recall: the share of real points that the sampler could draw.

    The support of a set of points is estimated as the union of balls around each, the radius of which is the distance
    to that point's k-th nearest neighbour in the same set. Precision is the share of fakes inside the support of the
    real points; recall is the share of real points inside the support of the fakes. A sampler of noise has a precision
    near 0; one that has collapsed to a few good images has a recall near 0.

    Args:
        real: (N, ...), points, images or a network's features of them; flattened here.
        fake: (M, ...); take M = N, for both numbers depend on how many points there are.
        k: neighbours; the paper's 3. Less than N and M.

    Raises:
        CourseError: too few points for k.

    Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, eq. 1 and 2.
    """
    real, fake = in_float64(real).flatten(1), in_float64(fake).flatten(1)  # float32 loses distances far from 0
    if not 1 <= k < min(len(real), len(fake)):
        raise CourseError(f"The {k}-th neighbour needs more than {k} points; there are {len(real)} and {len(fake)}.")
    between = torch.cdist(fake, real)  # (M, N)
    precision = (between <= _radius(real, k)[None, :]).any(1).float().mean()
    recall = (between <= _radius(fake, k)[:, None]).any(0).float().mean()
    return PrecisionRecall(float(precision), float(recall))


def _radius(x: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest neighbour, itself not counted, (N,)."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values
