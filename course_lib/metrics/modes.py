"""Mode coverage: which of the modes of a known mixture a sampler reaches, and how many of its samples are any good."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.data.toys import GaussianMixture
from course_lib.errors import CourseError


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


def class_coverage(
    logits: Tensor, *, sure: float = 0.5, least: float = 0.1, weights: Tensor | None = None
) -> ModeCoverage:
    """Modes covered where the modes are the classes of data without a known density, as a classifier sees them.

    A sample is good if the classifier gives one class a probability of at least `sure`; that says that it is clear to
    the classifier, not that it looks right. A class is covered if at least `least` of the good samples that it is due
    are there: `least` * w_k * N, and at least one.

    Args:
        logits: the classifier's, of the samples, (N, K), N at least 1.
        sure: probability from which on a sample is good, in [0, 1].
        weights: (K,), how often each class should come; equal unless given.

    Returns:
        ModeCoverage(modes, good, counts), with K modes.

    Raises:
        CourseError: logits are not (N, K) or hold NaN, or there is another number of weights.

    As in the test on stacked MNIST of Metz et al. 2017, Unrolled Generative Adversarial Networks, section 3.3.1.
    """
    if logits.ndim != 2 or not len(logits) or bool(logits.isnan().any()):
        raise CourseError(f"Classes are counted in logits (N, K) without NaN; these are {tuple(logits.shape)}.")
    classes = logits.shape[1]
    weights = torch.ones(classes) if weights is None else weights.detach().cpu().float()
    if weights.shape != (classes,):
        raise CourseError(f"There are {classes} classes and weights of the shape {tuple(weights.shape)}.")
    probability, said = logits.detach().softmax(1).max(1)
    counts = torch.bincount(said[probability >= sure].cpu(), minlength=classes)  # (K,)
    due = (least * weights / weights.sum() * len(logits)).clamp(min=1)
    return ModeCoverage(int((counts >= due).sum()), float(counts.sum()) / len(logits), counts)
