"""Mode coverage: which of the modes of a known mixture a sampler reaches, and how many of its samples are any good."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.data.toys import GaussianMixture


class ModeCoverage(NamedTuple):
    """What `mode_coverage` returns.

    Attributes:
        modes: how many of the K modes are covered, 0..K.
        good: share of the samples that lie near a mode, in [0, 1].
        counts: good samples at each mode, (K,), int64, on the CPU.
    """

    modes: int
    good: float
    counts: Tensor


def mode_coverage(
    samples: Tensor, mixture: GaussianMixture, *, within: float = 3.0, least: float = 0.1
) -> ModeCoverage:
    """Modes covered and share of good samples.

    A sample is good if it lies within `within` standard deviations of the nearest mean (in units of that component's
    deviation). A mode is covered if at least `least` of the good samples it is due are there: `least` * w_k * N.
    In 2 dimensions and with 3 deviations the mixture itself has 1 - e^(-9/2) = 98.9 % good samples.

    Args:
        samples: (N, D), anywhere.
        mixture: what should have been learned, with K components.

    Returns:
        ModeCoverage(modes, good, counts).

    The usual measure on toy mixtures (Metz et al. 2017; Srivastava et al. 2017, VEEGAN, section 4.1, count a mode from
    its first good sample on: least=0, where one lucky sample is enough).
    """
    samples = samples.detach().cpu().float().flatten(1)
    distance = torch.cdist(samples, mixture.means) / mixture.stds  # (N, K), in standard deviations
    nearest, mode = distance.min(1)
    counts = torch.bincount(mode[nearest <= within], minlength=len(mixture.means))  # (K,)
    due = (least * mixture.weights * len(samples)).clamp(min=1)
    return ModeCoverage(int((counts >= due).sum()), float(counts.sum()) / len(samples), counts)
