"""How rough an image is, and how far its values lie out: what a pre-image is asked to keep small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from course_lib.errors import CourseError


def total_variation(images: Tensor, *, beta: float = 2.0) -> Tensor:
    """The total variation of each image: how much neighbouring pixels differ, whichever way.

        sum over c, i, j of ((x[i, j+1] − x[i, j])² + (x[i+1, j] − x[i, j])²)^(beta/2)

    beta = 1 forgives a step as much as a ramp of the same height; beta = 2 makes one large step dearer than many small
    ones, and so blurs edges but leaves no spikes. Beyond the border the last pixel goes on: no difference there. Where
    both differences are 0 the gradient is 0.

    Args:
        images: (N, C, H, W), any range.
        beta: more than 0.

    Returns:
        (N,), at least 0; summed over channels and pixels; in units of the image to the power beta.

    Raises:
        CourseError: beta is not positive.

    Mahendran & Vedaldi 2015, Understanding Deep Image Representations by Inverting Them, section 2.
    """
    if beta <= 0:
        raise CourseError(f"The power of the total variation is more than 0, not {beta}; 1 and 2 are the usual ones.")
    across = pad(images.diff(dim=3), (0, 1))  # (N, C, H, W), 0 in the last column
    down = pad(images.diff(dim=2), (0, 0, 0, 1))
    squared = across.square() + down.square()
    if beta != 2:
        flat = squared == 0  # there a root has an infinite slope, and infinity times 0 is no gradient
        squared = torch.where(flat, 0, torch.where(flat, 1, squared) ** (beta / 2))
    return squared.sum((1, 2, 3))


def alpha_norm(images: Tensor, *, alpha: float = 6.0) -> Tensor:
    """The sum of |x|^alpha over each image: with a large alpha, small inside [-1, 1] and steep beyond.

    Args:
        images: (N, C, H, W); grey is 0.
        alpha: the paper's 6.

    Returns:
        (N,), at least 0.

    Mahendran & Vedaldi 2015, section 2.
    """
    return images.abs().pow(alpha).sum((1, 2, 3))
