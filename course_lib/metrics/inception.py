"""The inception score: is each image of one class, and do the classes vary?"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.device import in_float64
from course_lib.errors import CourseError
from course_lib.losses.divergences import kl


class Score(NamedTuple):
    """Attributes: mean and standard deviation over the parts into which the images were split."""

    mean: float
    deviation: float


def inception_score(logits: Tensor, *, splits: int = 10) -> Score:
    """exp of the mean KL(p(y|x) ‖ p(y)): from 1, all images alike, to K, each certain and all K classes as often.

        IS = exp( E_x KL(p(y|x) ‖ p(y)) ),      p(y) = mean of p(y|x) over the images of a part

    It is e to the mutual information of image and label, as the classifier sees them. It does not look at real data:
    one good image of each class, repeated, has the highest score there is.

    Args:
        logits: a classifier's, (N, K), before softmax (log-probabilities are logits too).
        splits: parts of the images, in the order in which they come, each with a p(y) of its own; the paper's 10. The
            deviation over the parts is not the error of the mean: a part has fewer images, which biases it downwards.

    Raises:
        CourseError: fewer images than splits, or logits that hold NaN or infinity or are not (N, K).

    Salimans et al. 2016, Improved Techniques for Training GANs, section 4.
    """
    if logits.ndim != 2:
        raise CourseError(f"Logits have the shape (N, K), not {tuple(logits.shape)}.")
    if not 1 <= splits <= len(logits):
        raise CourseError(
            f"{len(logits)} images cannot be split into {splits} parts; splits is from 1 to their number."
        )
    if bool((logits.isnan() | (logits == torch.inf)).any()):
        raise CourseError("Logits hold NaN or infinity; look at the images and at the network first.")
    log_p = in_float64(logits).log_softmax(1)
    scores = []
    for part in log_p.tensor_split(splits):
        log_marginal = part.logsumexp(0) - math.log(len(part))
        scores.append(kl(part, log_marginal).mean().exp())
    all_of_them = torch.stack(scores)
    return Score(float(all_of_them.mean()), float(all_of_them.std(correction=0)))
