"""Copying: are samples nearer to the training data than new data are?"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.errors import CourseError


def copying(train: Tensor, held_out: Tensor, fake: Tensor) -> float:
    """How often a sample lies nearer to its nearest training point than a held-out point does to its own.

        P( d(fake, train) < d(held out, train) ) + ½ P( both equal ),      d(x, S) = the least ‖x − s‖ over s in S

    over all pairs of a sample and a held-out point: the statistic of Mann and Whitney. ½ for new data of the same
    distribution; 1 for a sampler that repeats its training data; near 0 for one that is far from all data.

    Args:
        train: (N, …), points, images or features of them; flattened here.
        held_out: (H, …) and fake: (M, …), of the same distribution as train, were the sampler perfect.

    Returns:
        In [0, 1].

    Raises:
        CourseError: one of the three is empty.

    Meehan, Chaudhuri & Dasgupta 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models, section 3.
    """
    if not (len(train) and len(held_out) and len(fake)):
        raise CourseError("Copying needs training points, held-out points and samples.")
    train, held_out, fake = (x.detach().flatten(1).float() for x in (train, held_out, fake))
    exact = "donot_use_mm_for_euclid_dist"  # by differences: a copy is at distance 0 exactly
    new, old = (torch.cdist(x, train, compute_mode=exact).amin(1) for x in (fake, held_out))
    nearer, equal = new[:, None] < old[None], new[:, None] == old[None]
    return float((nearer.double() + equal.double() / 2).mean())
