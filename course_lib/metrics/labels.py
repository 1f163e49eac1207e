"""Label accuracy: does a conditional sampler draw what it was asked for?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import CourseError


class LabelAccuracy(NamedTuple):
    """What `label_accuracy` returns.

    Attributes:
        overall: share of the samples that are read as what was asked for, in [0, 1].
        by_class: the same for each class, (K,), float64, on the CPU; NaN where nothing was asked for.
        confusion: confusion[i, j] samples were to be i and are read as j, (K, K), int64, on the CPU.
    """

    overall: float
    by_class: Tensor
    confusion: Tensor


def label_accuracy(logits: Tensor, labels: Tensor) -> LabelAccuracy:
    """How often a classifier reads a sample as the class that it was drawn for.

    A sampler that ignores its label has 1/K where classes are asked for equally often. It is an upper bound of nothing:
    the classifier's own mistakes count against the sampler, and one good image of each class, repeated, has 1.

    Args:
        logits: the classifier's, of the samples, (N, K), N at least 1.
        labels: what was asked for, (N,), int64 in 0..K-1.

    Raises:
        CourseError: logits and labels do not belong together, or logits are not finite.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise CourseError(
            f"Logits (N, K) and labels (N,) are needed, not {tuple(logits.shape)}, {tuple(labels.shape)}."
        )
    classes = logits.shape[1]
    labels = labels.detach().cpu()
    if bool((labels < 0).any() | (labels >= classes).any()):
        raise CourseError(f"The classifier has the classes 0 to {classes - 1}; a label is outside.")
    if bool(logits.isnan().any()):
        raise CourseError("Logits hold NaN; look at the images and at the network first.")
    said = logits.detach().argmax(1).cpu()
    confusion = torch.bincount(labels * classes + said, minlength=classes**2).view(classes, classes)
    right, asked = confusion.diagonal().double(), confusion.sum(1).double()
    return LabelAccuracy(float(right.sum() / asked.sum()), right / asked, confusion)
